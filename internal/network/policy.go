package network

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// A Direction is seen from the pod that a policy is for.
type Direction uint8

// The directions.
const (
	Ingress Direction = iota
	Egress
)

func (d Direction) String() string { return [...]string{"ingress", "egress"}[d] }

// A tier is asked before the next one.
type tier uint8

const (
	foreign    tier = iota // policies of which it is not known what they let through
	admin                  // ClusterNetworkPolicy of tier Admin, AdminNetworkPolicy
	namespaced             // NetworkPolicy
	baseline               // ClusterNetworkPolicy of tier Baseline, BaselineAdminNetworkPolicy
)

// An Action is what a rule does with what it matches.
type Action string

// The actions, in the words of ClusterNetworkPolicy.
const (
	Accept Action = "Accept"
	Deny   Action = "Deny"
	Pass   Action = "Pass"
	// unclear is that of a policy which may do either.
	unclear Action = "unclear"
)

// A policy is a policy of any kind, compiled.
type policy struct {
	object   *cluster.Object // nil where it stands for policies that could not be read
	tier     tier
	priority int32
	subject  int32 // a term
	// applies: it isolates, or has rules, in the direction.
	applies [2]bool
	rules   [2][]rule
	// doubt says why it may be as if it were not there.
	doubt string
}

// A rule matches connections with some peers on some ports.
type rule struct {
	path   string // "spec.ingress[0]"
	place  int32  // among the rules of its policy
	action Action
	peers  peers
	ports  ports
}

// peers are who a rule is about.
type peers struct {
	any     bool
	terms   []int32 // sets of pods
	blocks  []block
	nodes   []int32
	outside bool   // names of hosts: whoever is no pod may have one of them
	doubt   string // why there may be others
}

// ports are what a rule is about.
type ports struct {
	set   PortSet
	named []named
	doubt string // why there may be others
}

// A named port is one that its pods have under a name, in one protocol or, where none is
// given, in each.
type named struct {
	protocol corev1.Protocol
	name     string
}

// A Problem is a part of a policy that could not be understood, or does not do what it
// seems to. Where a verdict depends on what was not understood, it is unknown.
type Problem struct {
	Object *cluster.Object
	Path   string
	Text   string
}

func (p Problem) String() string {
	if p.Path == "" {
		return fmt.Sprintf("%s: %s", p.Object, p.Text)
	}
	return fmt.Sprintf("%s: %s: %s", p.Object, p.Path, p.Text)
}

// A compiler turns objects into policies.
type compiler struct {
	terms    *terms
	policies []*policy
	problems []Problem
	prefixes [2][]netip.Prefix
	named    map[string]bool // names of ports that rules ask for
}

func (c *compiler) problem(o *cluster.Object, path, format string, args ...any) string {
	text := fmt.Sprintf(format, args...)
	c.problems = append(c.problems, Problem{o, path, text})
	return path + ": " + text
}

// selector keeps a selector and reports one that cannot be read.
func (c *compiler) selector(o *cluster.Object, path string, sel *metav1.LabelSelector) int32 {
	id, err := c.terms.selector(sel)
	if err != nil {
		c.problem(o, path, "%v", err)
	}
	return id
}

// networkPolicy compiles a NetworkPolicy with the defaults that the API server would
// have given it (pkg/apis/networking/v1/defaults.go), for files do not have them.
func (c *compiler) networkPolicy(o *cluster.Object, np *networkingv1.NetworkPolicy) {
	p := &policy{object: o, tier: namespaced}
	own := c.terms.namespace(o.Namespace)
	p.subject = c.terms.term(own, c.selector(o, "spec.podSelector", &np.Spec.PodSelector))
	p.applies[Ingress], p.applies[Egress] = Isolates(np)
	for i, t := range np.Spec.PolicyTypes {
		if t != networkingv1.PolicyTypeIngress && t != networkingv1.PolicyTypeEgress {
			c.problem(o, fmt.Sprintf("spec.policyTypes[%d]", i), "%q is neither Ingress nor Egress", t)
		}
	}
	if p.applies[Ingress] {
		p.rules[Ingress] = make([]rule, len(np.Spec.Ingress))
		for i := range np.Spec.Ingress {
			r := &np.Spec.Ingress[i]
			p.rules[Ingress][i] = c.namespacedRule(o, own, fmt.Sprintf("spec.ingress[%d]", i), "from", r.From, r.Ports)
			p.rules[Ingress][i].place = int32(i)
		}
	} else if len(np.Spec.Ingress) > 0 {
		c.problem(o, "spec.ingress", "has rules, and policyTypes does not name Ingress: they do nothing")
	}
	if p.applies[Egress] {
		p.rules[Egress] = make([]rule, len(np.Spec.Egress))
		for i := range np.Spec.Egress {
			r := &np.Spec.Egress[i]
			p.rules[Egress][i] = c.namespacedRule(o, own, fmt.Sprintf("spec.egress[%d]", i), "to", r.To, r.Ports)
			p.rules[Egress][i].place = int32(i)
		}
	} else if len(np.Spec.Egress) > 0 {
		c.problem(o, "spec.egress", "has rules, and policyTypes does not name Egress: they do nothing")
	}
	c.policies = append(c.policies, p)
}

// Isolates reports which directions a NetworkPolicy isolates. Without policyTypes it is
// ingress, and egress if there are egress rules.
func Isolates(np *networkingv1.NetworkPolicy) (ingress, egress bool) {
	if len(np.Spec.PolicyTypes) == 0 {
		return true, len(np.Spec.Egress) > 0
	}
	for _, t := range np.Spec.PolicyTypes {
		ingress = ingress || t == networkingv1.PolicyTypeIngress
		egress = egress || t == networkingv1.PolicyTypeEgress
	}
	return ingress, egress
}

// AllAddresses reports whether a peer is every address of a family.
func AllAddresses(peer networkingv1.NetworkPolicyPeer) bool {
	b := peer.IPBlock
	return b != nil && len(b.Except) == 0 && (b.CIDR == "0.0.0.0/0" || b.CIDR == "::/0")
}

func (c *compiler) namespacedRule(o *cluster.Object, own int32, path, field string, from []networkingv1.NetworkPolicyPeer, list []networkingv1.NetworkPolicyPort) rule {
	r := rule{path: path, action: Accept, ports: c.namespacedPorts(o, path+".ports", list)}
	r.peers.any = len(from) == 0
	for i := range from {
		c.namespacedPeer(o, own, fmt.Sprintf("%s.%s[%d]", path, field, i), &from[i], &r.peers)
	}
	return r
}

// namespacedPeer adds one peer: pods of the policy's namespace, all pods of others, pods
// of others, or addresses (k8s.io/api/networking/v1/types.go, NetworkPolicyPeer).
func (c *compiler) namespacedPeer(o *cluster.Object, own int32, path string, peer *networkingv1.NetworkPolicyPeer, to *peers) {
	selects := peer.PodSelector != nil || peer.NamespaceSelector != nil
	switch {
	case peer.IPBlock != nil && selects:
		to.doubt = c.problem(o, path, "ipBlock stands beside a selector")
	case peer.IPBlock != nil:
		c.block(o, path+".ipBlock", peer.IPBlock.CIDR, peer.IPBlock.Except, false, to)
	case !selects:
		to.doubt = c.problem(o, path, "names no peer")
	default:
		in, pods := own, int32(0)
		if peer.NamespaceSelector != nil {
			in = c.terms.selected(c.selector(o, path+".namespaceSelector", peer.NamespaceSelector))
		}
		if peer.PodSelector != nil {
			pods = c.selector(o, path+".podSelector", peer.PodSelector)
		} else {
			pods = c.terms.everyone()
		}
		to.terms = append(to.terms, c.terms.term(in, pods))
	}
}

// block adds a range of addresses.
func (c *compiler) block(o *cluster.Object, path, cidr string, except []string, pods bool, to *peers) {
	p, err := parsePrefix(cidr)
	if err != nil {
		to.doubt = c.problem(o, path+".cidr", "%v", err)
		return
	}
	b := block{cidr: p, pods: pods}
	c.prefixes[familyOf(p.Addr())] = append(c.prefixes[familyOf(p.Addr())], p)
	for i, e := range except {
		at := fmt.Sprintf("%s.except[%d]", path, i)
		q, err := parsePrefix(e)
		switch {
		case err != nil:
			to.doubt = c.problem(o, at, "%v", err)
		case q.Addr().Is4() != p.Addr().Is4() || q.Bits() <= p.Bits() || !p.Contains(q.Addr()):
			c.problem(o, at, "%s is no part of %s", e, cidr)
			fallthrough
		default:
			b.except = append(b.except, q)
			c.prefixes[familyOf(q.Addr())] = append(c.prefixes[familyOf(q.Addr())], q)
		}
	}
	to.blocks = append(to.blocks, b)
}

// parsePrefix reads a CIDR in one of its canonical notations. The API server used to take
// others as well, such as 010.0.0.0/8, which different readers take for different ranges.
func parsePrefix(cidr string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(cidr)
	if err != nil {
		return p, fmt.Errorf("%q is no CIDR", cidr)
	}
	if p.Addr().Is4In6() {
		return p, fmt.Errorf("%q is an IPv4 address written as IPv6", cidr)
	}
	return p.Masked(), nil
}

func (c *compiler) namespacedPorts(o *cluster.Object, path string, list []networkingv1.NetworkPolicyPort) ports {
	if len(list) == 0 {
		return ports{set: AllPorts}
	}
	var out ports
	var set []Ports
	for i := range list {
		p, at := &list[i], fmt.Sprintf("%s[%d]", path, i)
		protocol := corev1.ProtocolTCP
		if p.Protocol != nil {
			protocol = *p.Protocol
		}
		switch {
		case !known(protocol):
			out.doubt = c.problem(o, at+".protocol", "%q is none of TCP, UDP and SCTP", protocol)
		case p.Port == nil && p.EndPort != nil:
			out.doubt = c.problem(o, at+".endPort", "stands without a port")
		case p.Port == nil:
			set = append(set, Ports{protocol, 1, maxPort})
		case p.Port.Type == intstr.String && p.EndPort != nil:
			out.doubt = c.problem(o, at+".endPort", "stands beside a port that has a name")
		case p.Port.Type == intstr.String:
			c.named[p.Port.StrVal] = true
			out.named = append(out.named, named{protocol, p.Port.StrVal})
		default:
			last := p.Port.IntVal
			if p.EndPort != nil {
				last = *p.EndPort
			}
			c.numbers(o, at, protocol, p.Port.IntVal, last, &set, &out)
		}
	}
	out.set = normal(slices.Clone(set))
	if size(set) > size(out.set) {
		c.problem(o, path, "some ports are named more than once")
	}
	return out
}

func size(set []Ports) (n int32) {
	for _, p := range set {
		n += p.Last - p.First + 1
	}
	return n
}

// numbers adds a range of ports.
func (c *compiler) numbers(o *cluster.Object, path string, protocol corev1.Protocol, first, last int32, set *[]Ports, to *ports) {
	if first < 1 || last > maxPort || last < first {
		to.doubt = c.problem(o, path, "ports %d to %d are no range within 1 to %d", first, last, maxPort)
		return
	}
	*set = append(*set, Ports{protocol, first, last})
}

func known(p corev1.Protocol) bool {
	return p == corev1.ProtocolTCP || p == corev1.ProtocolUDP || p == corev1.ProtocolSCTP
}
