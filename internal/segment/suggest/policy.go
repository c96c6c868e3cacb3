package suggest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// A Policy is a suggested NetworkPolicy, with what it is for.
type Policy struct {
	*networkingv1.NetworkPolicy
	Why string
}

// A ruleset is what one direction of one group needs: the ports of each peer.
type ruleset map[Peer]map[Port]bool

func (r ruleset) add(p Peer, port Port) {
	if r[p] == nil {
		r[p] = map[Port]bool{}
	}
	r[p][port] = true
}

// policies writes what is wanted as policies, for each namespace: one that denies, one
// that lets names be resolved, one for each group that needs more.
func (m *maker) policies() []Policy {
	in, out := map[*Group]ruleset{}, map[*Group]ruleset{}
	put := func(to map[*Group]ruleset, g *Group, peer Peer, port Port) {
		if to[g] == nil {
			to[g] = ruleset{}
		}
		to[g].add(peer, port)
	}
	inside := map[string]bool{} // namespaces whose pods talk to each other as declared
	for e := range m.wants.edges {
		switch {
		case e.From.Namespace != "" && e.To.Group != nil && e.To.Group.Ref.Namespace == e.From.Namespace:
			inside[e.From.Namespace] = true
		case e.From.Group != nil && m.target(e.From.Group.Ref.Namespace) && !m.isDNS(e):
			put(out, e.From.Group, e.To, e.Port)
		}
		if g := e.To.Group; g != nil && m.target(g.Ref.Namespace) {
			put(in, g, e.From, e.Port)
		}
	}
	for g, rules := range out { // allow-within lets them out already
		maps.DeleteFunc(rules, func(p Peer, _ map[Port]bool) bool {
			return inside[g.Ref.Namespace] && p.Group != nil && p.Group.Ref.Namespace == g.Ref.Namespace
		})
	}
	byNamespace := map[string][]*Group{}
	for _, g := range m.groups {
		if m.target(g.Ref.Namespace) && !g.Host {
			byNamespace[g.Ref.Namespace] = append(byNamespace[g.Ref.Namespace], g)
		}
	}
	var all []Policy
	for _, ns := range slices.Sorted(maps.Keys(byNamespace)) {
		all = append(all, Policy{m.policy(ns, "default-deny", metav1.LabelSelector{}, true, true), "nothing comes in or goes out that no other policy allows"})
		if dns := m.dns(ns); dns != nil {
			all = append(all, Policy{dns, "every pod may resolve names"})
		}
		if inside[ns] {
			p := m.policy(ns, "allow-within", metav1.LabelSelector{}, false, true)
			p.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{To: []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{}}}}}
			all = append(all, Policy{p, "pods may reach each other here, on the ports that the policies below open"})
		}
		all = append(all, m.forGroups(ns, byNamespace[ns], in, out)...)
	}
	return all
}

// forGroups writes one policy for each group of a namespace that needs one. Groups that
// policies cannot tell apart share theirs.
func (m *maker) forGroups(ns string, groups []*Group, in, out map[*Group]ruleset) []Policy {
	taken := map[string]bool{"default-deny": true, "allow-dns": true, "allow-within": true}
	var all []Policy
	for _, g := range groups {
		if len(in[g]) == 0 && len(out[g]) == 0 || g.Select == nil {
			continue
		}
		name := g.Ref.Name
		if taken[name] {
			name += "-" + strings.ToLower(g.Ref.Kind)
		}
		taken[name] = true
		p := m.policy(ns, name, metav1.LabelSelector{MatchLabels: g.Select}, len(in[g]) > 0, len(out[g]) > 0)
		for _, r := range merge(in[g]) {
			p.Spec.Ingress = append(p.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{From: m.peers(ns, r.peers), Ports: r.policyPorts()})
		}
		for _, r := range merge(out[g]) {
			p.Spec.Egress = append(p.Spec.Egress, networkingv1.NetworkPolicyEgressRule{To: m.peers(ns, r.peers), Ports: r.policyPorts()})
		}
		all = append(all, Policy{p, g.String()})
	}
	return all
}

func (m *maker) policy(namespace, name string, selects metav1.LabelSelector, ingress, egress bool) *networkingv1.NetworkPolicy {
	p := &networkingv1.NetworkPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       networkingv1.NetworkPolicySpec{PodSelector: selects},
	}
	if ingress {
		p.Spec.PolicyTypes = append(p.Spec.PolicyTypes, networkingv1.PolicyTypeIngress)
	}
	if egress {
		p.Spec.PolicyTypes = append(p.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
	}
	return p
}

// dns lets every pod of a namespace ask for names.
func (m *maker) dns(ns string) *networkingv1.NetworkPolicy {
	rules := ruleset{}
	for g, ports := range m.resolvers {
		for _, port := range ports {
			rules.add(Peer{Group: g}, port)
		}
	}
	for _, addr := range m.nodeResolvers {
		for _, port := range dnsPorts {
			rules.add(Peer{Net: addr}, port)
		}
	}
	p := m.policy(ns, "allow-dns", metav1.LabelSelector{}, false, true)
	if len(m.resolvers) == 0 {
		// What every installer calls it; there is nothing here to look it up in.
		p.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{
			To: []networkingv1.NetworkPolicyPeer{{
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{metav1LabelName: metav1.NamespaceSystem}},
				PodSelector:       &metav1.LabelSelector{MatchLabels: map[string]string{"k8s-app": "kube-dns"}},
			}},
			Ports: rule{ports: dnsPorts}.policyPorts(),
		}}
	}
	for _, r := range merge(rules) {
		p.Spec.Egress = append(p.Spec.Egress, networkingv1.NetworkPolicyEgressRule{To: m.peers(ns, r.peers), Ports: r.policyPorts()})
	}
	return p
}

// metav1LabelName is the label that the API server gives each namespace
// (k8s.io/api/core/v1, LabelMetadataName).
const metav1LabelName = "kubernetes.io/metadata.name"

// A rule is peers that need the same ports.
type rule struct {
	peers []Peer
	ports []Port
}

// covered reports whether a wider peer may use the port.
func (r ruleset) covered(peer Peer, port Port) bool {
	switch {
	case peer == Peer{}:
		return false
	case r[Peer{}][port]:
		return true
	case peer.AllPods || peer.Net.IsValid():
		return false
	case r[Peer{AllPods: true}][port]:
		return true
	}
	return peer.Group != nil && r[Peer{Namespace: peer.Group.Ref.Namespace}][port]
}

// merge gathers peers with equal ports, in a fixed order. What all may is not repeated for
// some of them.
func merge(rs ruleset) []rule {
	byPorts := map[string]*rule{}
	var all []*rule
	for _, peer := range slices.SortedFunc(maps.Keys(rs), Peer.compare) {
		var ports []Port
		for port := range rs[peer] {
			if !rs.covered(peer, port) {
				ports = append(ports, port)
			}
		}
		if len(ports) == 0 {
			continue
		}
		slices.SortFunc(ports, Port.compare)
		key := fmt.Sprint(ports, peer == Peer{})
		if byPorts[key] == nil {
			byPorts[key] = &rule{ports: ports}
			all = append(all, byPorts[key])
		}
		byPorts[key].peers = append(byPorts[key].peers, peer)
	}
	out := make([]rule, len(all))
	for i, r := range all {
		out[i] = *r
	}
	return out
}

func (r rule) policyPorts() []networkingv1.NetworkPolicyPort {
	var out []networkingv1.NetworkPolicyPort
	for _, p := range r.ports {
		protocol, number := p.Protocol, intstr.FromInt32(int32(p.Number))
		out = append(out, networkingv1.NetworkPolicyPort{Protocol: &protocol, Port: &number})
	}
	return out
}

// peers says who is meant; nil is everybody.
func (m *maker) peers(ns string, all []Peer) []networkingv1.NetworkPolicyPeer {
	var out []networkingv1.NetworkPolicyPeer
	for _, p := range all {
		var one networkingv1.NetworkPolicyPeer
		switch {
		case p.Group != nil:
			one.PodSelector = &metav1.LabelSelector{MatchLabels: p.Group.Select}
			if p.Group.Ref.Namespace != ns {
				one.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{metav1LabelName: p.Group.Ref.Namespace}}
			}
		case p.Namespace == ns:
			one.PodSelector = &metav1.LabelSelector{}
		case p.Namespace != "":
			one.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{metav1LabelName: p.Namespace}}
		case p.AllPods:
			one.NamespaceSelector = &metav1.LabelSelector{}
		case p.Net.IsValid():
			one.IPBlock = &networkingv1.IPBlock{CIDR: p.Net.String()}
		default:
			return nil
		}
		out = append(out, one)
	}
	return out
}

// replaced are the policies of the target namespaces that there are now.
func (m *maker) replaced(s *cluster.Snapshot) []cluster.Ref {
	var out []cluster.Ref
	for _, o := range s.Kind("NetworkPolicy") {
		if m.target(o.Namespace) {
			out = append(out, o.Ref)
		}
	}
	slices.SortFunc(out, func(a, b cluster.Ref) int { return cmp.Or(a.Compare(b)) })
	return out
}
