package network

import (
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// A Tri is an answer that may be missing. Maybe is what nobody told.
type Tri int8

// The answers, so ordered that the lesser of two is their conjunction.
const (
	No Tri = iota
	Maybe
	Yes
)

func (t Tri) String() string { return [...]string{"no", "maybe", "yes"}[t] }

// A Profile is what a network does where the API leaves it open.
type Profile struct {
	Name string
	// Enforced: it enforces NetworkPolicies at all.
	Enforced Tri
	// Cluster: it enforces ClusterNetworkPolicies; Admin: the older AdminNetworkPolicies
	// and BaselineAdminNetworkPolicies.
	Cluster, Admin Tri
	// BlocksMatchPods: an ipBlock of a NetworkPolicy takes in pods by their addresses.
	BlocksMatchPods Tri
	// BlocksMatchNodes: an ipBlock takes in nodes, and pods on their networks, by the
	// nodes' addresses.
	BlocksMatchNodes Tri
	// EgressToOwnNode: a pod's egress policies hold against its own node as well. The
	// API's documentation exempts that traffic.
	EgressToOwnNode Tri
	// Source says where this was learnt.
	Source string

	agents []string // parts of the names of its DaemonSets
	marks  []string // beginnings of the labels and annotations that it leaves on nodes
}

// Profiles are the networks that are known. The last one is for a network that could not
// be told: whatever depends on it is unknown.
func Profiles() []Profile { return slices.Clone(profiles) }

var profiles = []Profile{
	{
		Name: "generic", Enforced: Yes, Cluster: Yes, Admin: Yes, BlocksMatchPods: Yes, BlocksMatchNodes: Yes, EgressToOwnNode: No,
		Source: "kubernetes.io, Network Policies, and network-policy-api.sigs.k8s.io, each taken at its word",
	},
	{
		Name: "calico", Enforced: Yes, Cluster: Yes, Admin: Yes, BlocksMatchPods: Yes,
		// With IP in IP or VXLAN a node speaks to pods elsewhere from its tunnel's address,
		// which is not in its status.
		BlocksMatchNodes: Maybe, EgressToOwnNode: Yes,
		Source: "docs.tigera.io: policy by sets of addresses, whosesoever; DefaultEndpointToHostAction applies after a pod's egress policy; AdminNetworkPolicy up to v3.31, ClusterNetworkPolicy (tier kube-admin) from v3.32, each while its API is served at all",
		agents: []string{"calico", "canal"}, marks: []string{"projectcalico.org/"},
	},
	{
		Name: "cilium", Enforced: Yes, Cluster: Maybe, Admin: No, BlocksMatchPods: No,
		BlocksMatchNodes: No, EgressToOwnNode: Yes,
		Source: "docs.cilium.io, CIDR based policies: they do not apply to endpoints that Cilium manages, nor to nodes unless policy-cidr-match-mode says so",
		agents: []string{"cilium"}, marks: []string{"network.cilium.io/", "io.cilium."},
	},
	{
		Name: "kube-network-policies", Enforced: Yes, Cluster: Yes, Admin: Yes, BlocksMatchPods: Yes,
		BlocksMatchNodes: Yes, EgressToOwnNode: No,
		Source: "github.com/kubernetes-sigs/kube-network-policies: packets judged by their addresses; kindnet has the same engine",
		agents: []string{"kube-network-policies", "kindnet"},
	},
	{
		Name: "antrea", Enforced: Yes, Cluster: Maybe, Admin: Yes, BlocksMatchPods: Yes, BlocksMatchNodes: Maybe, EgressToOwnNode: Maybe,
		Source: "antrea.io: policies are flows by address; AdminNetworkPolicy behind a feature gate",
		agents: []string{"antrea-agent"}, marks: []string{"node.antrea.io/"},
	},
	{
		Name: "ovn-kubernetes", Enforced: Yes, Cluster: Yes, Admin: Yes, BlocksMatchPods: Yes, BlocksMatchNodes: Maybe, EgressToOwnNode: Maybe,
		Source: "ovn-kubernetes.io: policies are ACLs on address sets",
		agents: []string{"ovnkube"}, marks: []string{"k8s.ovn.org/"},
	},
	{
		Name: "kube-router", Enforced: Yes, Cluster: No, Admin: No, BlocksMatchPods: Yes, BlocksMatchNodes: Maybe, EgressToOwnNode: Maybe,
		Source: "kube-router.io: policies are iptables and ipsets of addresses; NetworkPolicy alone",
		agents: []string{"kube-router"}, marks: []string{"kube-router.io/"},
	},
	{
		Name: "bulwark-lab", Enforced: Yes, Cluster: No, Admin: No, BlocksMatchPods: Yes,
		BlocksMatchNodes: Yes, EgressToOwnNode: No,
		Source: "lab/internal/policy and lab/internal/firewall: nftables at the forward hook, NetworkPolicy alone",
		agents: []string{"lab-net"}, marks: []string{"lab.bulwark.test/network"},
	},
	{
		Name: "none", Enforced: No, Cluster: No, Admin: No, BlocksMatchPods: No, BlocksMatchNodes: No, EgressToOwnNode: No,
		Source: "a network such as flannel carries packets and reads no policy",
		agents: []string{"kube-flannel"}, marks: []string{"flannel.alpha.coreos.com/"},
	},
	{
		Name: "unknown", Enforced: Yes, Cluster: Maybe, Admin: Maybe, BlocksMatchPods: Maybe, BlocksMatchNodes: Maybe, EgressToOwnNode: Maybe,
		Source: "what the API's documentation holds every network to",
	},
}

// Generic is the network that does what the APIs say, all of them.
func Generic() Profile { return profiles[0] }

// FindProfile returns the profile of a name.
func FindProfile(name string) (Profile, bool) {
	i := slices.IndexFunc(profiles, func(p Profile) bool { return p.Name == name })
	if i < 0 {
		return Profile{}, false
	}
	return profiles[i], true
}

// Detect tells the network of a running cluster by its DaemonSets, and where those do not
// tell by the marks on its nodes: an agent may be no pod. Of several that are there, one
// that enforces policies goes before one that does not. Files seldom tell: what they say is
// taken at its word.
func Detect(s *cluster.Snapshot) Profile {
	for _, p := range profiles {
		for o := range cluster.All[*appsv1.DaemonSet](s, "DaemonSet") {
			if slices.ContainsFunc(p.agents, func(a string) bool { return strings.Contains(o.Name, a) }) {
				return p
			}
		}
	}
	for _, p := range profiles {
		for _, o := range s.Kind("Node") {
			for _, mark := range p.marks {
				if marked(o.Meta.Labels, mark) || marked(o.Meta.Annotations, mark) {
					return p
				}
			}
		}
	}
	if !s.Live {
		return Generic()
	}
	return profiles[len(profiles)-1]
}

func marked(m map[string]string, prefix string) bool {
	for k := range m {
		if strings.HasPrefix(k, prefix) {
			return true
		}
	}
	return false
}
