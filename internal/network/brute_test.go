package network

import (
	"maps"
	"net"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/network-policy-api/apis/v1alpha1"
	"sigs.k8s.io/network-policy-api/apis/v1alpha2"
)

// A naive is the same question asked of the objects themselves, rule by rule and word by
// word as the API's documentation has it. It shares nothing with the engine, not even
// how labels are matched and addresses parsed, and is as slow as it looks.
type naive struct {
	spaces []*corev1.Namespace
	nodes  []*corev1.Node
	pods   []*corev1.Pod
	nps    []*networkingv1.NetworkPolicy
	cnps   []*v1alpha2.ClusterNetworkPolicy
	anps   []*v1alpha1.AdminNetworkPolicy
	banp   *v1alpha1.BaselineAdminNetworkPolicy
}

// A party is one end: a pod, a node, or an address.
type party struct {
	pod  *corev1.Pod
	node *corev1.Node
	ip   string
}

func (p party) word() string {
	switch {
	case p.pod != nil:
		return p.pod.Namespace + "/" + p.pod.Name
	case p.node != nil:
		return "Node:" + p.node.Name
	}
	return p.ip
}

// onHost returns the node whose network the party has, if it has one's.
func (n *naive) onHost(p party) *corev1.Node {
	if p.node != nil {
		return p.node
	}
	if p.pod == nil || !p.pod.Spec.HostNetwork {
		return nil
	}
	for _, node := range n.nodes {
		if node.Name == p.pod.Spec.NodeName {
			return node
		}
	}
	return nil
}

func is6(ip string) bool { return strings.Contains(ip, ":") }

// address returns the party's address of a family.
func (n *naive) address(p party, six bool) string {
	if node := n.onHost(p); node != nil {
		for _, a := range node.Status.Addresses {
			if is6(a.Address) == six {
				return a.Address
			}
		}
		return ""
	}
	if p.pod != nil {
		for _, a := range p.pod.Status.PodIPs {
			if is6(a.IP) == six {
				return a.IP
			}
		}
		return ""
	}
	if is6(p.ip) == six {
		return p.ip
	}
	return ""
}

func (n *naive) allowed(from, to party, protocol corev1.Protocol, port int32) bool {
	for _, six := range []bool{false, true} {
		if n.address(from, six) != "" && n.address(to, six) != "" && n.allowedBy(six, from, to, protocol, port) {
			return true
		}
	}
	return false
}

func (n *naive) allowedBy(six bool, from, to party, protocol corev1.Protocol, port int32) bool {
	src, dst := n.onHost(from), n.onHost(to)
	if src == nil && dst == nil && from.pod != nil && from.pod == to.pod {
		return true
	}
	if from.pod != nil && src == nil && (dst == nil || dst.Name != from.pod.Spec.NodeName) {
		if !n.passes(true, six, from.pod, to, to, protocol, port) {
			return false
		}
	}
	if to.pod != nil && dst == nil && (src == nil || src.Name != to.pod.Spec.NodeName) {
		if !n.passes(false, six, to.pod, from, to, protocol, port) {
			return false
		}
	}
	return true
}

// passes goes through the tiers for one pod and direction.
func (n *naive) passes(egress, six bool, pod *corev1.Pod, peer, dst party, protocol corev1.Protocol, port int32) bool {
	switch n.tier(true, egress, six, pod, peer, dst, protocol, port) {
	case "Accept":
		return true
	case "Deny":
		return false
	}
	isolated := false
	for _, np := range n.nps {
		if np.Namespace != pod.Namespace || !has(np.Spec.PodSelector, pod.Labels) {
			continue
		}
		if egress {
			named := slices.Contains(np.Spec.PolicyTypes, "Egress")
			if !named && (len(np.Spec.PolicyTypes) > 0 || len(np.Spec.Egress) == 0) {
				continue
			}
			isolated = true
			for _, r := range np.Spec.Egress {
				if n.peersOf(np.Namespace, r.To, peer, six) && n.portsOf(r.Ports, dst, protocol, port) {
					return true
				}
			}
		} else {
			if len(np.Spec.PolicyTypes) > 0 && !slices.Contains(np.Spec.PolicyTypes, "Ingress") {
				continue
			}
			isolated = true
			for _, r := range np.Spec.Ingress {
				if n.peersOf(np.Namespace, r.From, peer, six) && n.portsOf(r.Ports, dst, protocol, port) {
					return true
				}
			}
		}
	}
	if isolated {
		return false
	}
	return n.tier(false, egress, six, pod, peer, dst, protocol, port) != "Deny"
}

func (n *naive) peersOf(namespace string, list []networkingv1.NetworkPolicyPeer, peer party, six bool) bool {
	if len(list) == 0 {
		return true
	}
	for _, p := range list {
		if p.IPBlock != nil {
			if inBlock(p.IPBlock, n.address(peer, six)) {
				return true
			}
			continue
		}
		if peer.pod == nil || peer.pod.Spec.HostNetwork {
			continue
		}
		if p.NamespaceSelector == nil && peer.pod.Namespace != namespace {
			continue
		}
		if p.NamespaceSelector != nil && !has(*p.NamespaceSelector, n.space(peer.pod.Namespace)) {
			continue
		}
		if p.PodSelector == nil || has(*p.PodSelector, peer.pod.Labels) {
			return true
		}
	}
	return false
}

func inBlock(b *networkingv1.IPBlock, ip string) bool {
	_, block, err := net.ParseCIDR(b.CIDR)
	if err != nil || strings.Contains(b.CIDR, ":") != is6(ip) || !block.Contains(net.ParseIP(ip)) {
		return false
	}
	for _, e := range b.Except {
		if _, except, err := net.ParseCIDR(e); err == nil && except.Contains(net.ParseIP(ip)) {
			return false
		}
	}
	return true
}

func (n *naive) portsOf(list []networkingv1.NetworkPolicyPort, dst party, protocol corev1.Protocol, port int32) bool {
	if len(list) == 0 {
		return true
	}
	for _, p := range list {
		want := corev1.ProtocolTCP
		if p.Protocol != nil {
			want = *p.Protocol
		}
		if want != protocol {
			continue
		}
		switch {
		case p.Port == nil:
			return true
		case p.Port.Type == intstr.String:
			if named := numbers(dst, p.Port.StrVal, protocol); slices.Contains(named, port) {
				return true
			}
		case p.EndPort != nil:
			if p.Port.IntVal <= port && port <= *p.EndPort {
				return true
			}
		case p.Port.IntVal == port:
			return true
		}
	}
	return false
}

// numbers are what a name means on the destination, if it is a pod with its own network.
func numbers(dst party, name string, protocol corev1.Protocol) []int32 {
	if dst.pod == nil || dst.pod.Spec.HostNetwork {
		return nil
	}
	var out []int32
	list := slices.Clone(dst.pod.Spec.Containers)
	for _, c := range dst.pod.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			list = append(list, c)
		}
	}
	for _, c := range list {
		for _, p := range c.Ports {
			if p.Name == name && (p.Protocol == protocol || p.Protocol == "" && protocol == corev1.ProtocolTCP) {
				out = append(out, p.ContainerPort)
			}
		}
	}
	return out
}

func (n *naive) space(name string) map[string]string {
	out := map[string]string{}
	for _, ns := range n.spaces {
		if ns.Name == name {
			maps.Copy(out, ns.Labels)
		}
	}
	out["kubernetes.io/metadata.name"] = name
	return out
}

func has(s metav1.LabelSelector, labels map[string]string) bool {
	for k, v := range s.MatchLabels {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	for _, e := range s.MatchExpressions {
		got, ok := labels[e.Key]
		switch e.Operator {
		case metav1.LabelSelectorOpIn:
			if !ok || !slices.Contains(e.Values, got) {
				return false
			}
		case metav1.LabelSelectorOpNotIn:
			if ok && slices.Contains(e.Values, got) {
				return false
			}
		case metav1.LabelSelectorOpExists:
			if !ok {
				return false
			}
		case metav1.LabelSelectorOpDoesNotExist:
			if ok {
				return false
			}
		}
	}
	return true
}

// tier goes through the rules of the Admin or the Baseline tier; "" is neither.
func (n *naive) tier(admin, egress, six bool, pod *corev1.Pod, peer, dst party, protocol corev1.Protocol, port int32) string {
	type ranked struct {
		priority int32
		decide   func() string
	}
	var all []ranked
	subject := func(namespaces *metav1.LabelSelector, in, pods *metav1.LabelSelector) bool {
		if namespaces != nil {
			return has(*namespaces, n.space(pod.Namespace))
		}
		return has(*in, n.space(pod.Namespace)) && has(*pods, pod.Labels)
	}
	for _, p := range n.cnps {
		var in, pods *metav1.LabelSelector
		if p.Spec.Subject.Pods != nil {
			in, pods = &p.Spec.Subject.Pods.NamespaceSelector, &p.Spec.Subject.Pods.PodSelector
		}
		if (p.Spec.Tier == v1alpha2.AdminTier) != admin || !subject(p.Spec.Subject.Namespaces, in, pods) {
			continue
		}
		all = append(all, ranked{p.Spec.Priority, func() string { return n.cluster(p, egress, six, peer, dst, protocol, port) }})
	}
	if admin {
		for _, p := range n.anps {
			var in, pods *metav1.LabelSelector
			if p.Spec.Subject.Pods != nil {
				in, pods = &p.Spec.Subject.Pods.NamespaceSelector, &p.Spec.Subject.Pods.PodSelector
			}
			if subject(p.Spec.Subject.Namespaces, in, pods) {
				all = append(all, ranked{p.Spec.Priority, func() string { return n.older(p, egress, six, peer, dst, protocol, port) }})
			}
		}
	} else if p := n.banp; p != nil && has(*p.Spec.Subject.Namespaces, n.space(pod.Namespace)) {
		all = append(all, ranked{0, func() string {
			for _, r := range p.Spec.Ingress {
				if !egress && slices.ContainsFunc(r.From, func(f v1alpha1.AdminNetworkPolicyIngressPeer) bool {
					return n.selects(f.Namespaces, olderPods(f.Pods), peer)
				}) && n.olderPortsOf(r.Ports, dst, protocol, port) {
					return string(r.Action)
				}
			}
			return ""
		}})
	}
	slices.SortFunc(all, func(a, b ranked) int { return int(a.priority - b.priority) })
	for _, r := range all {
		switch got := r.decide(); got {
		case "":
		case "Pass":
			return ""
		case "Allow":
			return "Accept"
		default:
			return got
		}
	}
	return ""
}

type podsIn struct{ in, pods metav1.LabelSelector }

func olderPods(p *v1alpha1.NamespacedPod) *podsIn {
	if p == nil {
		return nil
	}
	return &podsIn{p.NamespaceSelector, p.PodSelector}
}

func newerPods(p *v1alpha2.NamespacedPod) *podsIn {
	if p == nil {
		return nil
	}
	return &podsIn{p.NamespaceSelector, p.PodSelector}
}

func (n *naive) selects(namespaces *metav1.LabelSelector, pods *podsIn, peer party) bool {
	if peer.pod == nil || peer.pod.Spec.HostNetwork {
		return false
	}
	if namespaces != nil {
		return has(*namespaces, n.space(peer.pod.Namespace))
	}
	return pods != nil && has(pods.in, n.space(peer.pod.Namespace)) && has(pods.pods, peer.pod.Labels)
}

func (n *naive) isNode(sel *metav1.LabelSelector, peer party) bool {
	node := n.onHost(peer)
	return sel != nil && node != nil && has(*sel, node.Labels)
}

func (n *naive) cluster(p *v1alpha2.ClusterNetworkPolicy, egress, six bool, peer, dst party, protocol corev1.Protocol, port int32) string {
	onPort := func(list []v1alpha2.ClusterNetworkPolicyProtocol) bool {
		at := func(want corev1.Protocol, p *v1alpha2.Port) bool {
			switch {
			case want != protocol:
				return false
			case p == nil:
				return true
			case p.Range != nil:
				return p.Range.Start <= port && port <= p.Range.End
			}
			return p.Number == port
		}
		return len(list) == 0 || slices.ContainsFunc(list, func(q v1alpha2.ClusterNetworkPolicyProtocol) bool {
			switch {
			case q.TCP != nil:
				return at(corev1.ProtocolTCP, q.TCP.DestinationPort)
			case q.UDP != nil:
				return at(corev1.ProtocolUDP, q.UDP.DestinationPort)
			case q.SCTP != nil:
				return at(corev1.ProtocolSCTP, q.SCTP.DestinationPort)
			}
			return slices.Contains(numbers(dst, q.DestinationNamedPort, protocol), port)
		})
	}
	if !egress {
		for _, r := range p.Spec.Ingress {
			lost := slices.ContainsFunc(r.From, func(f v1alpha2.ClusterNetworkPolicyIngressPeer) bool { return f.Namespaces == nil && f.Pods == nil })
			if lost && r.Action == "Accept" {
				continue
			}
			if lost {
				return "Deny"
			}
			if slices.ContainsFunc(r.From, func(f v1alpha2.ClusterNetworkPolicyIngressPeer) bool {
				return n.selects(f.Namespaces, newerPods(f.Pods), peer)
			}) && onPort(r.Protocols) {
				return string(r.Action)
			}
		}
		return ""
	}
	for _, r := range p.Spec.Egress {
		if slices.ContainsFunc(r.To, func(f v1alpha2.ClusterNetworkPolicyEgressPeer) bool {
			return n.selects(f.Namespaces, newerPods(f.Pods), peer) || n.isNode(f.Nodes, peer) ||
				slices.ContainsFunc(f.Networks, func(c v1alpha2.CIDR) bool {
					return inBlock(&networkingv1.IPBlock{CIDR: string(c)}, n.address(peer, six))
				})
		}) && onPort(r.Protocols) {
			return string(r.Action)
		}
	}
	return ""
}

func (n *naive) olderPortsOf(list *[]v1alpha1.AdminNetworkPolicyPort, dst party, protocol corev1.Protocol, port int32) bool {
	if list == nil {
		return true
	}
	for _, p := range *list {
		switch {
		case p.PortNumber != nil:
			if p.PortNumber.Protocol == protocol && p.PortNumber.Port == port {
				return true
			}
		case p.PortRange != nil:
			if p.PortRange.Protocol == protocol && p.PortRange.Start <= port && port <= p.PortRange.End {
				return true
			}
		case p.NamedPort != nil:
			if slices.Contains(numbers(dst, *p.NamedPort, protocol), port) {
				return true
			}
		}
	}
	return false
}

func (n *naive) older(p *v1alpha1.AdminNetworkPolicy, egress, six bool, peer, dst party, protocol corev1.Protocol, port int32) string {
	if !egress {
		for _, r := range p.Spec.Ingress {
			if slices.ContainsFunc(r.From, func(f v1alpha1.AdminNetworkPolicyIngressPeer) bool {
				return n.selects(f.Namespaces, olderPods(f.Pods), peer)
			}) && n.olderPortsOf(r.Ports, dst, protocol, port) {
				return string(r.Action)
			}
		}
		return ""
	}
	for _, r := range p.Spec.Egress {
		if slices.ContainsFunc(r.To, func(f v1alpha1.AdminNetworkPolicyEgressPeer) bool {
			return n.selects(f.Namespaces, olderPods(f.Pods), peer) || n.isNode(f.Nodes, peer) ||
				slices.ContainsFunc(f.Networks, func(c v1alpha1.CIDR) bool {
					return inBlock(&networkingv1.IPBlock{CIDR: string(c)}, n.address(peer, six))
				})
		}) && n.olderPortsOf(r.Ports, dst, protocol, port) {
			return string(r.Action)
		}
	}
	return ""
}
