package policy

import (
	"net/netip"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// group is a set of addresses at the other end. An ipBlock is a group of its
// own, because its exceptions hold for it alone.
type group struct {
	anywhere bool
	within   []netip.Prefix
	except   []netip.Prefix
}

// prefixes is the form of a Rule: nil means anywhere.
func (g group) prefixes() []netip.Prefix {
	if g.anywhere {
		return nil
	}
	return g.within
}

func (g group) contains(addr netip.Addr) bool {
	holds := func(p netip.Prefix) bool { return p.Contains(addr) }
	return (g.anywhere || slices.ContainsFunc(g.within, holds)) && !slices.ContainsFunc(g.except, holds)
}

// peers resolves the from or to of a rule. No peers at all mean anywhere; peers
// that match nothing yield no group, and so let nothing through.
func (c *compiler) peers(np *networkingv1.NetworkPolicy, peers []networkingv1.NetworkPolicyPeer) []group {
	if len(peers) == 0 {
		return []group{{anywhere: true}}
	}
	var groups []group
	var pods []netip.Prefix
	for _, pod := range c.pods {
		selected := func(peer networkingv1.NetworkPolicyPeer) bool { return c.selects(np, peer, pod) }
		if slices.ContainsFunc(peers, selected) {
			pods = append(pods, netip.PrefixFrom(pod.addr, 32))
		}
	}
	if len(pods) > 0 {
		groups = append(groups, group{within: pods})
	}
	for _, peer := range peers {
		if peer.IPBlock == nil {
			continue
		}
		if g, ok := c.block(np, *peer.IPBlock); ok {
			groups = append(groups, g)
		}
	}
	return groups
}

// selects tells whether the selectors of the peer match the pod. Without a
// namespaceSelector only the policy's own namespace is meant.
func (c *compiler) selects(np *networkingv1.NetworkPolicy, peer networkingv1.NetworkPolicyPeer, pod pod) bool {
	if peer.PodSelector == nil && peer.NamespaceSelector == nil {
		return false
	}
	if peer.NamespaceSelector == nil {
		if pod.Namespace != np.Namespace {
			return false
		}
	} else {
		ns, known := c.namespaces[pod.Namespace]
		if !known || !c.matches(np, peer.NamespaceSelector, ns.Labels) {
			return false
		}
	}
	return peer.PodSelector == nil || c.matches(np, peer.PodSelector, pod.Labels)
}

// block resolves an ipBlock; one of IPv6 matches nothing here.
func (c *compiler) block(np *networkingv1.NetworkPolicy, block networkingv1.IPBlock) (group, bool) {
	within, err := netip.ParsePrefix(block.CIDR)
	if err != nil {
		c.fail(np, "ipBlock.cidr: %w", err)
		return group{}, false
	}
	if !within.Addr().Is4() {
		return group{}, false
	}
	g := group{within: []netip.Prefix{within.Masked()}}
	for _, cidr := range block.Except {
		except, err := netip.ParsePrefix(cidr)
		if err != nil {
			c.fail(np, "ipBlock.except: %w", err)
			return group{}, false
		}
		if except.Addr().Is4() {
			g.except = append(g.except, except.Masked())
		}
	}
	g.except = disjoint(g.except)
	return g, true
}

// disjoint drops the prefixes that lie within others and sorts the rest: a set
// of nftables takes no overlaps.
func disjoint(prefixes []netip.Prefix) []netip.Prefix {
	slices.SortFunc(prefixes, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	var kept []netip.Prefix
	for _, p := range prefixes {
		if len(kept) == 0 || !kept[len(kept)-1].Contains(p.Addr()) {
			kept = append(kept, p)
		}
	}
	return kept
}

func (c *compiler) matches(np *networkingv1.NetworkPolicy, selector *metav1.LabelSelector, set labels.Set) bool {
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		c.fail(np, "selector: %w", err)
		return false
	}
	return s.Matches(set)
}
