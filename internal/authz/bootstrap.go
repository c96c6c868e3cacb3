package authz

import (
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// Default reports whether the role or binding is one that the API server makes at its
// start, and binds nobody beside those whom it binds. Anybody may write the label and a
// name that begins with "system:", and whoever was added to a binding stays there, so
// the names and the subjects have to be the API server's own. Rules that were added to a
// role are not looked at: they also reach whom it never bound.
func Default(o *cluster.Object) bool {
	if o.Meta.Labels["kubernetes.io/bootstrapping"] != "rbac-defaults" {
		return false
	}
	switch v := o.Value.(type) {
	case *rbacv1.ClusterRoleBinding:
		return bootstrapBinding(o.Ref, v.RoleRef, v.Subjects)
	case *rbacv1.RoleBinding:
		return bootstrapBinding(o.Ref, v.RoleRef, v.Subjects)
	}
	return bootstrap.roles[key(o.Namespace, o.Name)]
}

func bootstrapBinding(ref cluster.Ref, role rbacv1.RoleRef, subjects []rbacv1.Subject) bool {
	own, known := bootstrap.bindings[key(ref.Namespace, ref.Name)]
	return known && (role.Name == ref.Name || "system::"+role.Name == ref.Name) &&
		!slices.ContainsFunc(subjects, func(sub rbacv1.Subject) bool {
			is := cluster.Subject{Kind: sub.Kind, Name: sub.Name}
			if sub.Kind == rbacv1.ServiceAccountKind {
				is.Namespace = sub.Namespace
			}
			return !slices.Contains(own, is)
		})
}

func key(namespace, name string) string { return namespace + "/" + name }

// A policy is what the API server makes: roles, and bindings with their subjects.
type policy struct {
	roles    map[string]bool
	bindings map[string][]cluster.Subject
}

// bootstrap is the policy of every release that is still about
// (plugin/pkg/auth/authorizer/rbac/bootstrappolicy). A binding has the name of its role.
var bootstrap = func() policy {
	p := policy{map[string]bool{}, map[string][]cluster.Subject{}}
	bind := func(namespace, name string, subjects ...cluster.Subject) {
		p.roles[key(namespace, strings.TrimPrefix(name, "system::"))] = true
		p.roles[key(namespace, name)] = true
		p.bindings[key(namespace, name)] = subjects
	}
	group := func(name string) cluster.Subject { return cluster.Subject{Kind: rbacv1.GroupKind, Name: name} }
	user := func(name string) cluster.Subject { return cluster.Subject{Kind: rbacv1.UserKind, Name: name} }
	account := func(name string) cluster.Subject { return cluster.ServiceAccount("kube-system", name) }
	manager, scheduler := user("system:kube-controller-manager"), user("system:kube-scheduler")

	bind("", "cluster-admin", group("system:masters"))
	bind("", "system:monitoring", group("system:monitoring"))
	bind("", "system:discovery", group("system:authenticated"))
	bind("", "system:basic-user", group("system:authenticated"))
	bind("", "system:public-info-viewer", group("system:authenticated"), group("system:unauthenticated"))
	bind("", "system:service-account-issuer-discovery", group("system:serviceaccounts"))
	bind("", "system:cluster-trust-bundle-discovery", group("system:serviceaccounts"))
	bind("", "system:node") // the Node authorizer took its place
	bind("", "system:node-proxier", user("system:kube-proxy"))
	bind("", "system:kube-controller-manager", manager)
	bind("", "system:kube-scheduler", scheduler)
	bind("", "system:volume-scheduler", scheduler)
	bind("", "system:kube-dns", account("kube-dns"))
	for _, name := range controllers {
		bind("", "system:controller:"+name, account(name))
	}
	for _, name := range unbound {
		p.roles[key("", name)] = true
	}

	bind("kube-system", "system::extension-apiserver-authentication-reader", manager, scheduler)
	bind("kube-system", "system::leader-locking-kube-controller-manager", manager, account("kube-controller-manager"), account("leader-election-controller"))
	bind("kube-system", "system::leader-locking-kube-scheduler", scheduler, account("kube-scheduler"))
	bind("kube-public", "system:controller:bootstrap-signer", account("bootstrap-signer"))
	for _, name := range []string{"bootstrap-signer", "cloud-provider", "token-cleaner"} {
		bind("kube-system", "system:controller:"+name, account(name))
	}
	return p
}()

// controllers are those of the controller manager, each with an account in kube-system.
var controllers = []string{
	"attachdetach-controller", "certificate-controller", "clusterrole-aggregation-controller", "cronjob-controller",
	"daemon-set-controller", "deployment-controller", "device-taint-eviction-controller", "disruption-controller",
	"endpoint-controller", "endpointslice-controller", "endpointslicemirroring-controller", "ephemeral-volume-controller",
	"expand-controller", "generic-garbage-collector", "horizontal-pod-autoscaler", "job-controller",
	"kube-apiserver-serving-clustertrustbundle-publisher", "legacy-service-account-token-cleaner", "namespace-controller",
	"node-controller", "persistent-volume-binder", "pod-garbage-collector", "podcertificaterequestcleaner",
	"podgroup-protection-controller", "pv-protection-controller", "pvc-protection-controller", "replicaset-controller",
	"replication-controller", "resource-claim-controller", "resourcepoolstatusrequest-controller", "resourcequota-controller",
	"root-ca-cert-publisher", "route-controller", "selinux-warning-controller", "service-account-controller",
	"service-cidrs-controller", "service-controller", "statefulset-controller", "storage-version-garbage-collector",
	"storage-version-migrator-controller", "ttl-after-finished-controller", "ttl-controller",
	"validatingadmissionpolicy-status-controller", "volumeattributesclass-protection-controller",
}

// unbound are the roles that the API server makes for others to bind.
var unbound = []string{
	"admin", "edit", "view", "system:aggregate-to-admin", "system:aggregate-to-edit", "system:aggregate-to-view",
	"system:auth-delegator", "system:heapster", "system:kube-aggregator", "system:kubelet-api-admin",
	"system:node-bootstrapper", "system:node-problem-detector", "system:persistent-volume-provisioner",
	"system:certificates.k8s.io:certificatesigningrequests:nodeclient",
	"system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
	"system:certificates.k8s.io:kube-apiserver-client-approver",
	"system:certificates.k8s.io:kube-apiserver-client-kubelet-approver",
	"system:certificates.k8s.io:kubelet-serving-approver", "system:certificates.k8s.io:legacy-unknown-approver",
}
