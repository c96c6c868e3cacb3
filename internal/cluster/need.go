package cluster

import (
	"fmt"
	"slices"
	"strings"
)

// A Need is one kind of fact that a control reads. For Kubernetes objects it is
// "resource.group" as RBAC writes them ("pods", "networkpolicies.networking.k8s.io").
// The other needs are the constants below.
type Need string

// Needs beyond plain objects of the API.
const (
	// APIServerFlags are kube-apiserver's flags: from its static pod, its process,
	// or its own /flagz page.
	APIServerFlags         Need = "flags:kube-apiserver"
	ControllerManagerFlags Need = "flags:kube-controller-manager"
	SchedulerFlags         Need = "flags:kube-scheduler"
	EtcdFlags              Need = "flags:etcd"
	// ProxyFlags are kube-proxy's, or the settings of its configuration file in the form
	// of the flags that mean the same. Not every cluster has a kube-proxy.
	ProxyFlags Need = "flags:kube-proxy"
	// KubeletConfig is each node's effective KubeletConfiguration.
	KubeletConfig Need = "kubelet-config"
	// HostFiles are modes and owners of the files that a machine's components use.
	HostFiles Need = "host-files"
	// Listeners are the ports that components listen on and how they answer.
	Listeners Need = "listeners"
	// AuditFile and the following are the API server's configuration files.
	AuditFile          Need = "config:audit"
	EncryptionFile     Need = "config:encryption"
	AuthenticationFile Need = "config:authentication"
	AuthorizationFile  Need = "config:authorization"
	ABACFile           Need = "config:abac"
	AdmissionFile      Need = "config:admission"
	// StoredObjects is how etcd holds the objects that are to be encrypted. All members
	// of an etcd hold the same, so one machine answers for all.
	StoredObjects Need = "etcd:stored"
	// OwnWorkloads are the objects of all kinds with pod templates that the user named.
	OwnWorkloads Need = "workloads:own"
	// Images are what is inside of container images. Nothing asks for it but whoever looks
	// into images: a scan that does not is neither poorer nor incomplete.
	Images Need = "image-contents"
	// Input is a file or document that was given and could not be read.
	Input Need = "input"
)

// Needs for the objects that controls read.
const (
	Pods                Need = "pods"
	Namespaces          Need = "namespaces"
	Nodes               Need = "nodes"
	Services            Need = "services"
	Secrets             Need = "secrets"
	ConfigMaps          Need = "configmaps"
	ServiceAccounts     Need = "serviceaccounts"
	Deployments         Need = "deployments.apps"
	ReplicaSets         Need = "replicasets.apps"
	StatefulSets        Need = "statefulsets.apps"
	DaemonSets          Need = "daemonsets.apps"
	Jobs                Need = "jobs.batch"
	CronJobs            Need = "cronjobs.batch"
	ReplicationCtrls    Need = "replicationcontrollers"
	NetworkPolicies     Need = "networkpolicies.networking.k8s.io"
	Ingresses           Need = "ingresses.networking.k8s.io"
	Roles               Need = "roles.rbac.authorization.k8s.io"
	ClusterRoles        Need = "clusterroles.rbac.authorization.k8s.io"
	RoleBindings        Need = "rolebindings.rbac.authorization.k8s.io"
	ClusterRoleBindings Need = "clusterrolebindings.rbac.authorization.k8s.io"
	PersistentVolumes   Need = "persistentvolumes"

	ValidatingWebhooks       Need = "validatingwebhookconfigurations.admissionregistration.k8s.io"
	MutatingWebhooks         Need = "mutatingwebhookconfigurations.admissionregistration.k8s.io"
	ValidatingPolicies       Need = "validatingadmissionpolicies.admissionregistration.k8s.io"
	ValidatingPolicyBindings Need = "validatingadmissionpolicybindings.admissionregistration.k8s.io"
	MutatingPolicies         Need = "mutatingadmissionpolicies.admissionregistration.k8s.io"
	MutatingPolicyBindings   Need = "mutatingadmissionpolicybindings.admissionregistration.k8s.io"

	StorageClasses       Need = "storageclasses.storage.k8s.io"
	ResourceQuotas       Need = "resourcequotas"
	LimitRanges          Need = "limitranges"
	DisruptionBudgets    Need = "poddisruptionbudgets.policy"
	Autoscalers          Need = "horizontalpodautoscalers.autoscaling"
	VolumeAttachments    Need = "volumeattachments.storage.k8s.io"
	PodCertificates      Need = "podcertificaterequests.certificates.k8s.io"
	DeviceSlices         Need = "resourceslices.resource.k8s.io"
	DeviceClaims         Need = "resourceclaims.resource.k8s.io"
	DeviceClaimTemplates Need = "resourceclaimtemplates.resource.k8s.io"

	Gateways   Need = "gateways.gateway.networking.k8s.io"
	HTTPRoutes Need = "httproutes.gateway.networking.k8s.io"
	GRPCRoutes Need = "grpcroutes.gateway.networking.k8s.io"
	TLSRoutes  Need = "tlsroutes.gateway.networking.k8s.io"
	TCPRoutes  Need = "tcproutes.gateway.networking.k8s.io"
	UDPRoutes  Need = "udproutes.gateway.networking.k8s.io"
	// ReferenceGrants let routes lead to Services of other namespaces.
	ReferenceGrants Need = "referencegrants.gateway.networking.k8s.io"
	APIServices     Need = "apiservices.apiregistration.k8s.io"

	ClusterPolicies  Need = "clusternetworkpolicies.policy.networking.k8s.io"
	AdminPolicies    Need = "adminnetworkpolicies.policy.networking.k8s.io"
	BaselinePolicies Need = "baselineadminnetworkpolicies.policy.networking.k8s.io"
	Definitions      Need = "customresourcedefinitions.apiextensions.k8s.io"

	CiliumPolicies             Need = "ciliumnetworkpolicies.cilium.io"
	CiliumClusterPolicies      Need = "ciliumclusterwidenetworkpolicies.cilium.io"
	CalicoPolicies             Need = "networkpolicies.projectcalico.org"
	CalicoGlobalPolicies       Need = "globalnetworkpolicies.projectcalico.org"
	CalicoStoredPolicies       Need = "networkpolicies.crd.projectcalico.org"
	CalicoStoredGlobalPolicies Need = "globalnetworkpolicies.crd.projectcalico.org"
)

// Workloads are all the kinds that make pods, and pods.
var Workloads = append([]Need{Pods, Deployments, ReplicaSets, StatefulSets, DaemonSets, Jobs, CronJobs, ReplicationCtrls, OwnWorkloads}, customWorkloads()...)

func customWorkloads() []Need {
	var out []Need
	for _, k := range CustomKinds {
		if len(k.Templates) > 0 {
			out = append(out, k.Need)
		}
	}
	return out
}

// Isolation are all the kinds of policy that isolate pods.
var Isolation = []Need{
	NetworkPolicies, ClusterPolicies, AdminPolicies, BaselinePolicies, CiliumPolicies, CiliumClusterPolicies,
	CalicoPolicies, CalicoGlobalPolicies, CalicoStoredPolicies, CalicoStoredGlobalPolicies,
}

// RBAC are all the kinds that grant permissions.
var RBAC = []Need{Roles, ClusterRoles, RoleBindings, ClusterRoleBindings}

// IsObject reports whether the need is a resource of the API rather than a fact beside it.
func (n Need) IsObject() bool {
	return !strings.Contains(string(n), ":") && n != KubeletConfig && n != HostFiles && n != Listeners && n != Images && n != Input
}

// GroupResource splits an object need as RBAC wants it.
func (n Need) GroupResource() (group, resource string) {
	resource, group, _ = strings.Cut(string(n), ".")
	return group, resource
}

// A Gap is something that was looked for and could not be read. A control that
// needs it must not answer Holds for the scope of the gap.
type Gap struct {
	Need Need `json:"need"`
	// Scope is the namespace, node or file that is missing; empty means all of it.
	Scope  string `json:"scope,omitempty"`
	Reason string `json:"reason"`
	// Cluster is set as that of a Ref is.
	Cluster string `json:"cluster,omitempty"`
}

func (g Gap) String() string {
	if g.Need == Input {
		return fmt.Sprintf("%s: %s", g.Scope, g.Reason)
	}
	if g.Scope != "" {
		return fmt.Sprintf("%s of %s: %s", g.Need, g.Scope, g.Reason)
	}
	return fmt.Sprintf("%s: %s", g.Need, g.Reason)
}

// Gaps returns the gaps in the given needs, in the order they were recorded.
func (s *Snapshot) Gaps(needs ...Need) []Gap {
	var out []Gap
	for _, g := range s.gaps {
		if slices.Contains(needs, g.Need) {
			out = append(out, g)
		}
	}
	return out
}

// AllGaps returns every gap, in the order they were recorded.
func (s *Snapshot) AllGaps() []Gap { return slices.Clone(s.gaps) }

// Looked reports whether the need was part of this snapshot at all: a folder of
// manifests is never asked for kubelet configurations.
func (s *Snapshot) Looked(n Need) bool {
	return s.looked[n] || slices.ContainsFunc(s.gaps, func(g Gap) bool { return g.Need == n })
}

// Objects are all the kinds of objects that are read.
func Objects() []Need {
	out := slices.Concat(Workloads, RBAC, []Need{
		Namespaces, Nodes, Services, Secrets, ConfigMaps, ServiceAccounts, NetworkPolicies, Ingresses, PersistentVolumes,
		ValidatingWebhooks, MutatingWebhooks, ValidatingPolicies, ValidatingPolicyBindings, MutatingPolicies, MutatingPolicyBindings,
		StorageClasses, ResourceQuotas, LimitRanges, DisruptionBudgets, Autoscalers, DeviceClaims, DeviceClaimTemplates,
		DeviceSlices, VolumeAttachments, PodCertificates,
	})
	for _, k := range CustomKinds {
		out = append(out, k.Need)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
