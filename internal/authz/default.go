package authz

import (
	"slices"
	"sync"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// Default reports whether the role or binding is one that the API server makes at its
// start, and binds nobody beside those whom it binds. Anybody may write the label and a
// name that begins with "system:", and whoever was added to a binding stays there, so
// the names and the subjects have to be the API server's own. Rules that were added to a
// role are not looked at.
func Default(o *cluster.Object) bool {
	if o.Meta.Labels["kubernetes.io/bootstrapping"] != "rbac-defaults" {
		return false
	}
	own, known := defaults()[o.Ref]
	switch v := o.Value.(type) {
	case *rbacv1.ClusterRoleBinding:
		return known && own.binds(v.RoleRef, v.Subjects)
	case *rbacv1.RoleBinding:
		return known && own.binds(v.RoleRef, v.Subjects)
	}
	return known
}

// A defaultObject is what is asked of an object that the API server makes: of a binding,
// the role and the subjects.
type defaultObject struct {
	role     string
	subjects []rbacv1.Subject
}

func (d defaultObject) binds(role rbacv1.RoleRef, subjects []rbacv1.Subject) bool {
	return role.Name == d.role && !slices.ContainsFunc(subjects, func(sub rbacv1.Subject) bool {
		return !slices.ContainsFunc(d.subjects, func(own rbacv1.Subject) bool {
			return own.Kind == sub.Kind && own.Namespace == sub.Namespace && own.Name == sub.Name
		})
	})
}

// defaults are the objects of the table, and those that only some gates or releases have.
var defaults = sync.OnceValue(func() map[cluster.Ref]defaultObject {
	out := map[cluster.Ref]defaultObject{}
	bind := func(name string, subject rbacv1.Subject) {
		out[cluster.Ref{Kind: "ClusterRole", Name: name}] = defaultObject{}
		out[cluster.Ref{Kind: "ClusterRoleBinding", Name: name}] = defaultObject{name, []rbacv1.Subject{subject}}
	}
	for _, controller := range []string{
		"kube-apiserver-serving-clustertrustbundle-publisher", "podcertificaterequestcleaner", "podgroup-protection-controller",
		"resourcepoolstatusrequest-controller", "storage-version-garbage-collector", "storage-version-migrator-controller",
	} {
		bind("system:controller:"+controller, rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: "kube-system", Name: controller})
	}
	bind("system:cluster-trust-bundle-discovery", rbacv1.Subject{Kind: rbacv1.GroupKind, Name: "system:serviceaccounts"})
	own := bootstrap()
	for _, r := range own.roles {
		out[r.object.Ref] = defaultObject{}
	}
	for _, b := range own.bindings {
		out[b.object.Ref] = defaultObject{b.role.Name, b.subjects}
	}
	return out
})
