package network

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/network-policy-api/apis/v1alpha1"
	"sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// A chance makes worlds of few names, so that things meet often.
type chance struct{ *rand.Rand }

func pick[T any](r chance, from ...T) T { return from[r.IntN(len(from))] }

func (r chance) in(n int) bool { return r.IntN(n) == 0 }

func (r chance) labels() map[string]string {
	out := map[string]string{}
	for _, k := range []string{"a", "b", "c"} {
		if !r.in(3) {
			out[k] = pick(r, "x", "y", "z")
		}
	}
	return out
}

func (r chance) selector(spaces bool) metav1.LabelSelector {
	var s metav1.LabelSelector
	if r.in(4) {
		return s
	}
	key := func() string {
		if spaces && r.in(3) {
			return "kubernetes.io/metadata.name"
		}
		return pick(r, "a", "b", "c")
	}
	value := func(k string) string {
		if k == "kubernetes.io/metadata.name" {
			return fmt.Sprintf("ns%d", r.IntN(4))
		}
		return pick(r, "x", "y", "z")
	}
	if r.in(2) {
		k := key()
		s.MatchLabels = map[string]string{k: value(k)}
	}
	if r.in(2) {
		k := key()
		e := metav1.LabelSelectorRequirement{Key: k, Operator: pick(r, metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn, metav1.LabelSelectorOpExists, metav1.LabelSelectorOpDoesNotExist)}
		if e.Operator == metav1.LabelSelectorOpIn || e.Operator == metav1.LabelSelectorOpNotIn {
			e.Values = []string{value(k)}
			if r.in(2) {
				e.Values = append(e.Values, value(k))
			}
		}
		s.MatchExpressions = append(s.MatchExpressions, e)
	}
	return s
}

func (r chance) selectorRef(spaces bool) *metav1.LabelSelector {
	s := r.selector(spaces)
	return &s
}

func (r chance) protocol() corev1.Protocol {
	return pick(r, corev1.ProtocolTCP, corev1.ProtocolTCP, corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP)
}

func (r chance) port() int32 { return pick[int32](r, 1, 79, 80, 81, 443, 8080, 8443, 65535) }

func (r chance) portName() string { return pick(r, "web", "api", "dns") }

// cidr is a range that covers some of the addresses that worlds use.
func (r chance) cidr() string {
	return pick(r, "0.0.0.0/0", "::/0", "10.0.0.0/16", "10.0.1.0/24", "10.0.1.0/30", "10.0.1.2/32", "192.168.0.0/24", "192.168.0.1/32",
		"203.0.113.0/24", "203.0.113.128/25", "fd00::/8", "fd00::1:0/112", "fd00::1:2/128", "10.0.0.0/15", "10.0.2.0/23", "2001:db8::/32")
}

// excepts are parts of a range.
func (r chance) excepts(cidr string) []string {
	p := netip.MustParsePrefix(cidr)
	var out []string
	for range 4 {
		q := netip.MustParsePrefix(r.cidr())
		if r.in(2) && q.Bits() > p.Bits() && p.Contains(q.Addr()) && q.Addr().Is4() == p.Addr().Is4() {
			out = append(out, q.String())
		}
	}
	return out
}

// world makes one in which everything is known.
func (r chance) world() *naive {
	n := &naive{}
	for i := range 2 + r.IntN(3) {
		n.spaces = append(n.spaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("ns%d", i), Labels: r.labels()}})
	}
	dual, six := r.in(3), r.in(4)
	for i := range 2 + r.IntN(2) {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("node%d", i), Labels: r.labels()}}
		if !six || dual {
			node.Status.Addresses = append(node.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("192.168.0.%d", i+1)})
		}
		if six || dual {
			node.Status.Addresses = append(node.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("fd00::%d", i+1)})
		}
		n.nodes = append(n.nodes, node)
	}
	for i := range 4 + r.IntN(8) {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: pick(r, n.spaces...).Name, Name: fmt.Sprintf("pod%d", i), Labels: r.labels()}}
		pod.Spec.NodeName = pick(r, n.nodes...).Name
		pod.Spec.HostNetwork = r.in(8)
		container := func() corev1.Container {
			c := corev1.Container{Name: "c"}
			for range r.IntN(4) {
				c.Ports = append(c.Ports, corev1.ContainerPort{Name: r.portName(), ContainerPort: r.port(), Protocol: r.protocol()})
			}
			return c
		}
		pod.Spec.Containers = []corev1.Container{container()}
		if r.in(3) {
			init := container()
			if r.in(2) {
				always := corev1.ContainerRestartPolicyAlways
				init.RestartPolicy = &always
			}
			pod.Spec.InitContainers = []corev1.Container{init}
		}
		if !pod.Spec.HostNetwork {
			if !six || dual {
				pod.Status.PodIPs = append(pod.Status.PodIPs, corev1.PodIP{IP: fmt.Sprintf("10.0.%d.%d", i%3, i+1)})
			}
			if six || dual && !r.in(3) {
				pod.Status.PodIPs = append(pod.Status.PodIPs, corev1.PodIP{IP: fmt.Sprintf("fd00::%d:%d", i%3, i+1)})
			}
		}
		n.pods = append(n.pods, pod)
	}
	for i := range 2 + r.IntN(7) {
		n.nps = append(n.nps, r.policy(fmt.Sprintf("np%d", i), pick(r, n.spaces...).Name))
	}
	if r.in(2) {
		n.admins(r)
	}
	return n
}

func (r chance) policy(name, namespace string) *networkingv1.NetworkPolicy {
	np := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	np.Spec.PodSelector = r.selector(false)
	np.Spec.PolicyTypes = pick(r, nil, []networkingv1.PolicyType{"Ingress"}, []networkingv1.PolicyType{"Egress"}, []networkingv1.PolicyType{"Ingress", "Egress"})
	for range r.IntN(3) {
		np.Spec.Ingress = append(np.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{From: r.peers(), Ports: r.ports()})
	}
	for range r.IntN(3) {
		np.Spec.Egress = append(np.Spec.Egress, networkingv1.NetworkPolicyEgressRule{To: r.peers(), Ports: r.ports()})
	}
	return np
}

func (r chance) peers() []networkingv1.NetworkPolicyPeer {
	var out []networkingv1.NetworkPolicyPeer
	for range pick(r, 0, 1, 2, 3) {
		var p networkingv1.NetworkPolicyPeer
		switch r.IntN(4) {
		case 0:
			p.PodSelector = r.selectorRef(false)
		case 1:
			p.NamespaceSelector = r.selectorRef(true)
		case 2:
			p.NamespaceSelector, p.PodSelector = r.selectorRef(true), r.selectorRef(false)
		case 3:
			cidr := r.cidr()
			p.IPBlock = &networkingv1.IPBlock{CIDR: cidr, Except: r.excepts(cidr)}
		}
		out = append(out, p)
	}
	return out
}

func (r chance) ports() []networkingv1.NetworkPolicyPort {
	var out []networkingv1.NetworkPolicyPort
	for range pick(r, 0, 0, 1, 2, 3) {
		var p networkingv1.NetworkPolicyPort
		if !r.in(2) {
			protocol := r.protocol()
			p.Protocol = &protocol
		}
		switch r.IntN(4) {
		case 0:
			name := intstr.FromString(r.portName())
			p.Port = &name
		case 1:
		default:
			first := intstr.FromInt32(r.port())
			p.Port = &first
			if last := r.port(); r.in(2) && last >= first.IntVal {
				p.EndPort = &last
			}
		}
		out = append(out, p)
	}
	return out
}

// admins adds policies of administrators, with priorities of their own.
func (n *naive) admins(r chance) {
	priority := int32(0)
	for i := range r.IntN(3) {
		priority += 1 + r.Int32N(5)
		p := &v1alpha2.ClusterNetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("cnp%d", i)}}
		p.Spec.Tier, p.Spec.Priority = pick(r, v1alpha2.AdminTier, v1alpha2.BaselineTier), priority
		if r.in(2) {
			p.Spec.Subject.Namespaces = r.selectorRef(true)
		} else {
			p.Spec.Subject.Pods = &v1alpha2.NamespacedPod{NamespaceSelector: r.selector(true), PodSelector: r.selector(false)}
		}
		for range r.IntN(3) {
			rule := v1alpha2.ClusterNetworkPolicyIngressRule{Action: pick[v1alpha2.ClusterNetworkPolicyRuleAction](r, "Accept", "Deny", "Pass"), Protocols: r.protocols()}
			for range 1 + r.IntN(2) {
				var f v1alpha2.ClusterNetworkPolicyIngressPeer
				switch r.IntN(9) {
				case 0: // a kind of peer that a later version may have
				case 1, 2, 3, 4:
					f.Namespaces = r.selectorRef(true)
				default:
					f.Pods = &v1alpha2.NamespacedPod{NamespaceSelector: r.selector(true), PodSelector: r.selector(false)}
				}
				rule.From = append(rule.From, f)
			}
			p.Spec.Ingress = append(p.Spec.Ingress, rule)
		}
		for range r.IntN(3) {
			rule := v1alpha2.ClusterNetworkPolicyEgressRule{Action: pick[v1alpha2.ClusterNetworkPolicyRuleAction](r, "Accept", "Deny", "Pass"), Protocols: r.protocols()}
			for range 1 + r.IntN(2) {
				var t v1alpha2.ClusterNetworkPolicyEgressPeer
				switch r.IntN(4) {
				case 0:
					t.Namespaces = r.selectorRef(true)
				case 1:
					t.Pods = &v1alpha2.NamespacedPod{NamespaceSelector: r.selector(true), PodSelector: r.selector(false)}
				case 2:
					t.Nodes = r.selectorRef(false)
				case 3:
					t.Networks = []v1alpha2.CIDR{v1alpha2.CIDR(r.cidr()), v1alpha2.CIDR(r.cidr())}
				}
				rule.To = append(rule.To, t)
			}
			p.Spec.Egress = append(p.Spec.Egress, rule)
		}
		n.cnps = append(n.cnps, p)
	}
	for i := range r.IntN(3) {
		priority += 1 + r.Int32N(5)
		p := &v1alpha1.AdminNetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("anp%d", i)}}
		p.Spec.Priority = priority
		if r.in(2) {
			p.Spec.Subject.Namespaces = r.selectorRef(true)
		} else {
			p.Spec.Subject.Pods = &v1alpha1.NamespacedPod{NamespaceSelector: r.selector(true), PodSelector: r.selector(false)}
		}
		for range r.IntN(3) {
			p.Spec.Ingress = append(p.Spec.Ingress, v1alpha1.AdminNetworkPolicyIngressRule{
				Action: pick[v1alpha1.AdminNetworkPolicyRuleAction](r, "Allow", "Deny", "Pass"), Ports: r.olderPorts(),
				From: []v1alpha1.AdminNetworkPolicyIngressPeer{{Namespaces: r.selectorRef(true)}, {Pods: &v1alpha1.NamespacedPod{NamespaceSelector: r.selector(true), PodSelector: r.selector(false)}}}[r.IntN(2):],
			})
		}
		for range r.IntN(3) {
			p.Spec.Egress = append(p.Spec.Egress, v1alpha1.AdminNetworkPolicyEgressRule{
				Action: pick[v1alpha1.AdminNetworkPolicyRuleAction](r, "Allow", "Deny", "Pass"), Ports: r.olderPorts(),
				To: []v1alpha1.AdminNetworkPolicyEgressPeer{{Networks: []v1alpha1.CIDR{v1alpha1.CIDR(r.cidr())}}, {Nodes: r.selectorRef(false)}, {Namespaces: r.selectorRef(true)}}[r.IntN(3):],
			})
		}
		n.anps = append(n.anps, p)
	}
	if r.in(2) {
		n.banp = &v1alpha1.BaselineAdminNetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
		n.banp.Spec.Subject.Namespaces = r.selectorRef(true)
		for range r.IntN(3) {
			n.banp.Spec.Ingress = append(n.banp.Spec.Ingress, v1alpha1.BaselineAdminNetworkPolicyIngressRule{
				Action: pick[v1alpha1.BaselineAdminNetworkPolicyRuleAction](r, "Allow", "Deny"), Ports: r.olderPorts(),
				From: []v1alpha1.AdminNetworkPolicyIngressPeer{{Namespaces: r.selectorRef(true)}},
			})
		}
	}
}

func (r chance) protocols() []v1alpha2.ClusterNetworkPolicyProtocol {
	var out []v1alpha2.ClusterNetworkPolicyProtocol
	for range pick(r, 0, 0, 1, 2) {
		var port *v1alpha2.Port
		switch a, b := r.port(), r.port(); {
		case r.in(3):
		case a < b:
			port = &v1alpha2.Port{Range: &v1alpha2.PortRange{Start: a, End: b}}
		default:
			port = &v1alpha2.Port{Number: a}
		}
		var p v1alpha2.ClusterNetworkPolicyProtocol
		switch r.IntN(4) {
		case 0:
			p.DestinationNamedPort = r.portName()
		case 1:
			p.UDP = &v1alpha2.ClusterNetworkPolicyProtocolUDP{DestinationPort: port}
		case 2:
			p.SCTP = &v1alpha2.ClusterNetworkPolicyProtocolSCTP{DestinationPort: port}
		default:
			p.TCP = &v1alpha2.ClusterNetworkPolicyProtocolTCP{DestinationPort: port}
		}
		out = append(out, p)
	}
	return out
}

func (r chance) olderPorts() *[]v1alpha1.AdminNetworkPolicyPort {
	if r.in(2) {
		return nil
	}
	var out []v1alpha1.AdminNetworkPolicyPort
	for range 1 + r.IntN(2) {
		switch a, b := r.port(), r.port(); {
		case r.in(3):
			name := r.portName()
			out = append(out, v1alpha1.AdminNetworkPolicyPort{NamedPort: &name})
		case a < b:
			out = append(out, v1alpha1.AdminNetworkPolicyPort{PortRange: &v1alpha1.PortRange{Protocol: r.protocol(), Start: a, End: b}})
		default:
			out = append(out, v1alpha1.AdminNetworkPolicyPort{PortNumber: &v1alpha1.Port{Protocol: r.protocol(), Port: a}})
		}
	}
	return &out
}

// snapshot hands the objects to a Builder in an order of its own.
func (n *naive) snapshot(t testing.TB, r chance) *cluster.Snapshot {
	t.Helper()
	type object struct {
		version, kind string
		o             metav1.Object
	}
	var all []object
	for _, o := range n.spaces {
		all = append(all, object{"v1", "Namespace", o.DeepCopy()})
	}
	for _, o := range n.nodes {
		all = append(all, object{"v1", "Node", o.DeepCopy()})
	}
	for _, o := range n.pods {
		all = append(all, object{"v1", "Pod", o.DeepCopy()})
	}
	for _, o := range n.nps {
		all = append(all, object{"networking.k8s.io/v1", "NetworkPolicy", o.DeepCopy()})
	}
	custom := func(version, kind string, o metav1.Object) {
		raw, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(cluster.CustomKinds, func(k cluster.CustomKind) bool { return k.Kind == kind })
		c, err := cluster.CustomKinds[i].ParseCustom(raw)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, object{version, kind, c})
	}
	for _, o := range n.cnps {
		custom("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy", o)
	}
	for _, o := range n.anps {
		custom("policy.networking.k8s.io/v1alpha1", "AdminNetworkPolicy", o)
	}
	if n.banp != nil {
		custom("policy.networking.k8s.io/v1alpha1", "BaselineAdminNetworkPolicy", n.banp)
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	b := cluster.NewBuilder("random", false)
	for _, o := range all {
		b.Add(o.version, o.kind, o.o, cluster.Source{})
	}
	return b.Snapshot()
}

func (n *naive) parties() []party {
	var out []party
	for _, p := range n.pods {
		out = append(out, party{pod: p})
	}
	for _, node := range n.nodes {
		out = append(out, party{node: node})
	}
	for _, ip := range []string{"203.0.113.9", "203.0.113.200", "10.0.1.99", "8.8.8.8", "fd00::1:99", "2001:db8::1"} {
		out = append(out, party{ip: ip})
	}
	return out
}

func (n *naive) dump() string {
	raw, _ := json.MarshalIndent(map[string]any{
		"namespaces": n.spaces, "nodes": n.nodes, "pods": n.pods, "networkpolicies": n.nps, "cnps": n.cnps, "anps": n.anps, "banp": n.banp,
	}, "", " ")
	return string(raw)
}

// TestAgreesWithTheNaive: in random worlds where everything is known, the engine answers
// 100,000 questions as the naive evaluator does, alone, among all ports and in the matrix.
func TestAgreesWithTheNaive(t *testing.T) {
	worlds := 500
	if testing.Short() {
		worlds = 50
	}
	asked, allowed := 0, 0
	for seed := range worlds {
		r := chance{rand.New(rand.NewPCG(uint64(seed), 1))}
		n := r.world()
		w := New(n.snapshot(t, r), Options{Profile: Generic()})
		for _, p := range w.Problems() {
			if p.Path != "" && !endsIn(p.Text, "fails closed", "they do nothing", "more than once") {
				t.Fatalf("seed %d: %s", seed, p)
			}
		}
		parties := n.parties()
		for range 200 {
			from, to, protocol, port := pick(r, parties...), pick(r, parties...), r.protocol(), r.port()
			if from.pod == nil && to.pod == nil {
				from.pod, from.node, from.ip = pick(r, n.pods...), nil, ""
			}
			want := Denied
			if n.allowed(from, to, protocol, port) {
				want = Allowed
				allowed++
			}
			asked++
			a, b := find(t, w, from.word()), find(t, w, to.word())
			got := w.Ask(a, b, protocol, port)
			if got.Verdict != want {
				t.Fatalf("seed %d: %s -> %s %s %d: %s, want %s\negress %s\ningress %s\n%s", seed, from.word(), to.word(), protocol, port, got.Verdict, want, got.Egress.Reason, got.Ingress.Reason, n.dump())
			}
			all := w.Connections(a, b)
			if v := all.Of(protocol, port); v != want {
				t.Fatalf("seed %d: %s -> %s %s %d is %s among all ports, want %s", seed, from.word(), to.word(), protocol, port, v, want)
			}
			if len(all.Unknown) > 0 {
				t.Fatalf("seed %d: %s -> %s: %s is unknown", seed, from.word(), to.word(), all.Unknown)
			}
			if from.pod != nil && to.pod != nil && from.pod != to.pod && n.onHost(from) == nil && n.onHost(to) == nil {
				cell := w.Matrix().Between(int(w.members[a.first().member].class), int(w.members[b.first().member].class))
				if !cell.Allowed.Equal(all.Allowed) || !cell.Denied.Equal(all.Denied) {
					t.Fatalf("seed %d: %s -> %s: the matrix allows %s, want %s", seed, from.word(), to.word(), cell.Allowed, all.Allowed)
				}
			}
		}
	}
	share := 100 * allowed / asked
	t.Logf("%d questions, %d %% allowed", asked, share)
	if share < 30 || share > 60 {
		t.Errorf("%d %% are allowed, want 30 to 60 for the test to mean much", share)
	}
}

func endsIn(s string, ends ...string) bool {
	return slices.ContainsFunc(ends, func(e string) bool { return len(s) >= len(e) && s[len(s)-len(e):] == e })
}
