// Package policy turns NetworkPolicies into the packet rules of one node.
//
// It holds the meaning of networking.k8s.io/v1 NetworkPolicy for IPv4: which
// pods are isolated, in which direction, and what is let through. It knows
// neither a client nor a firewall, so every case of it can be read in a table
// test. Package firewall installs the result.
//
// Each node enforces for its own pods: egress where a pod sends, ingress where
// it receives. Traffic between a pod and its own node is always allowed, as the
// API wants; it does not appear here because a node's own traffic is never
// forwarded.
package policy

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// Objects is what policies are compiled from: all pods, namespaces and
// policies of the cluster. They are only read.
type Objects struct {
	Pods       []*corev1.Pod
	Namespaces []*corev1.Namespace
	Policies   []*networkingv1.NetworkPolicy
}

// Ruleset holds one chain for each isolated pod of the node and direction,
// ordered by direction, then address. A pod without a chain is not isolated.
type Ruleset []Chain

// Chain is what an isolated pod may send or receive. What no rule lets through
// is dropped.
type Chain struct {
	Direction networkingv1.PolicyType
	Pod       string // namespace/name
	Addr      netip.Addr
	Allow     []Rule
}

// Rule lets packets through that match all of its conditions.
type Rule struct {
	Policy   string          // namespace/name of where it comes from
	Peers    []netip.Prefix  // the other end; nil means anywhere
	Except   []netip.Prefix  // the other end must not be one of these
	Protocol corev1.Protocol // empty means any protocol
	Ports    []PortRange     // destination ports; nil means any
}

// PortRange is an inclusive range of ports.
type PortRange struct {
	First, Last uint16
}

// Compile computes the rules that node must enforce. The error names the parts
// of policies that could not be understood; they let nothing through, and the
// ruleset is complete without them.
func Compile(node string, objects Objects) (Ruleset, error) {
	c := newCompiler(objects)
	var rules Ruleset
	for _, pod := range c.pods {
		if pod.Spec.NodeName != node {
			continue
		}
		for _, direction := range []networkingv1.PolicyType{networkingv1.PolicyTypeEgress, networkingv1.PolicyTypeIngress} {
			if chain, isolated := c.chain(pod, direction); isolated {
				rules = append(rules, chain)
			}
		}
	}
	slices.SortFunc(rules, func(a, b Chain) int {
		return cmp.Or(cmp.Compare(a.Direction, b.Direction), a.Addr.Compare(b.Addr))
	})
	return rules, errors.Join(c.errs...)
}

// pod is a pod that has an address of its own.
type pod struct {
	*corev1.Pod
	addr netip.Addr
}

// compiler holds the objects in the order and form that the rules need.
type compiler struct {
	pods       []pod // by address, one pod each
	namespaces map[string]*corev1.Namespace
	policies   []*networkingv1.NetworkPolicy // by namespace and name
	errs       []error
}

func newCompiler(objects Objects) *compiler {
	c := &compiler{
		namespaces: make(map[string]*corev1.Namespace, len(objects.Namespaces)),
		policies:   slices.Clone(objects.Policies),
	}
	for _, ns := range objects.Namespaces {
		c.namespaces[ns.Name] = ns
	}
	slices.SortFunc(c.policies, func(a, b *networkingv1.NetworkPolicy) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	for _, p := range objects.Pods {
		if addr, ok := ownAddr(p); ok {
			c.pods = append(c.pods, pod{p, addr})
		}
	}
	// Of two pods that report one address the younger has it: the other is on
	// its way out.
	slices.SortStableFunc(c.pods, func(a, b pod) int {
		return cmp.Or(a.addr.Compare(b.addr), b.CreationTimestamp.Compare(a.CreationTimestamp.Time))
	})
	c.pods = slices.CompactFunc(c.pods, func(a, b pod) bool { return a.addr == b.addr })
	return c
}

// ownAddr is the IPv4 address that belongs to the pod alone. Pods on the host's
// network have none, and completed pods have given theirs back.
func ownAddr(p *corev1.Pod) (netip.Addr, bool) {
	if p.Spec.HostNetwork || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
		return netip.Addr{}, false
	}
	candidates := []string{p.Status.PodIP}
	for _, ip := range p.Status.PodIPs {
		candidates = append(candidates, ip.IP)
	}
	for _, candidate := range candidates {
		if addr, err := netip.ParseAddr(candidate); err == nil && addr.Is4() {
			return addr, true
		}
	}
	return netip.Addr{}, false
}

// chain collects what the policies that select the pod let through.
func (c *compiler) chain(pod pod, direction networkingv1.PolicyType) (chain Chain, isolated bool) {
	chain = Chain{Direction: direction, Pod: pod.Namespace + "/" + pod.Name, Addr: pod.addr}
	for _, np := range c.policies {
		if np.Namespace != pod.Namespace || !applies(np, direction) || !c.matches(np, &np.Spec.PodSelector, pod.Labels) {
			continue
		}
		isolated = true
		if direction == networkingv1.PolicyTypeIngress {
			for _, rule := range np.Spec.Ingress {
				chain.Allow = append(chain.Allow, c.ingress(np, rule, pod)...)
			}
		} else {
			for _, rule := range np.Spec.Egress {
				chain.Allow = append(chain.Allow, c.egress(np, rule)...)
			}
		}
	}
	return chain, isolated
}

// applies tells whether the policy isolates in the direction. Without
// policyTypes it always isolates ingress, and egress if it has such rules.
func applies(np *networkingv1.NetworkPolicy, direction networkingv1.PolicyType) bool {
	if len(np.Spec.PolicyTypes) > 0 {
		return slices.Contains(np.Spec.PolicyTypes, direction)
	}
	return direction == networkingv1.PolicyTypeIngress || len(np.Spec.Egress) > 0
}

// ingress resolves named ports on the pod itself, since it is the destination.
func (c *compiler) ingress(np *networkingv1.NetworkPolicy, rule networkingv1.NetworkPolicyIngressRule, pod pod) []Rule {
	ports, named := c.numbered(np, rule.Ports)
	for _, port := range named {
		if number, ok := namedPort(pod, port); ok {
			ports.add(port.protocol, PortRange{number, number})
		}
	}
	var rules []Rule
	for _, group := range c.peers(np, rule.From) {
		rules = append(rules, ports.rules(Rule{Policy: key(np), Peers: group.prefixes(), Except: group.except})...)
	}
	return rules
}

// egress resolves named ports on each destination pod, which may give the same
// name different numbers.
func (c *compiler) egress(np *networkingv1.NetworkPolicy, rule networkingv1.NetworkPolicyEgressRule) []Rule {
	ports, named := c.numbered(np, rule.Ports)
	var rules []Rule
	for _, group := range c.peers(np, rule.To) {
		rules = append(rules, ports.rules(Rule{Policy: key(np), Peers: group.prefixes(), Except: group.except})...)
		for _, port := range named {
			destinations := make(map[uint16][]netip.Prefix)
			for _, pod := range c.pods {
				if number, ok := namedPort(pod, port); ok && group.contains(pod.addr) {
					destinations[number] = append(destinations[number], netip.PrefixFrom(pod.addr, 32))
				}
			}
			for _, number := range sortedKeys(destinations) {
				rules = append(rules, Rule{
					Policy: key(np), Peers: destinations[number],
					Protocol: port.protocol, Ports: []PortRange{{number, number}},
				})
			}
		}
	}
	return rules
}

func (c *compiler) fail(np *networkingv1.NetworkPolicy, format string, args ...any) {
	err := fmt.Errorf("networkpolicy %s: "+format, append([]any{key(np)}, args...)...)
	same := func(seen error) bool { return seen.Error() == err.Error() }
	if !slices.ContainsFunc(c.errs, same) { // a policy is looked at once for each pod
		c.errs = append(c.errs, err)
	}
}

func key(np *networkingv1.NetworkPolicy) string { return np.Namespace + "/" + np.Name }

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
