package policy

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// The cluster of the table: three pods of a shop, one of another namespace, and
// two that policies must not see. All are on node a, except the database.
func cluster() Objects {
	o := Objects{
		Namespaces: []*corev1.Namespace{
			{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{"team": "sales"}}},
			{ObjectMeta: metav1.ObjectMeta{Name: "tools", Labels: map[string]string{"team": "ops"}}},
		},
		Pods: []*corev1.Pod{
			newPod("shop/front", "10.0.0.1", "http:8080"),
			newPod("shop/cart", "10.0.0.2", "http:9090"),
			newPod("shop/db", "10.0.1.3", "sql:5432"),
			newPod("tools/admin", "10.0.0.4", "http:7070"),
			newPod("shop/done", "10.0.0.5", "http:8080"),
			newPod("shop/hostnet", "192.168.0.1", "http:8080"),
		},
	}
	o.Pods[2].Spec.NodeName = "b"
	o.Pods[4].Status.Phase = corev1.PodSucceeded
	o.Pods[5].Spec.HostNetwork = true
	return o
}

func newPod(key, ip, port string) *corev1.Pod {
	ns, name, _ := strings.Cut(key, "/")
	portName, number, _ := strings.Cut(port, ":")
	var containerPort int32
	for _, digit := range number {
		containerPort = containerPort*10 + digit - '0'
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Labels: map[string]string{"app": name}},
		Spec: corev1.PodSpec{
			NodeName:   "a",
			Containers: []corev1.Container{{Ports: []corev1.ContainerPort{{Name: portName, ContainerPort: containerPort}}}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip},
	}
}

// policies parses specs, each given a name by its place, in namespace shop.
func policies(t *testing.T, specs ...string) []*networkingv1.NetworkPolicy {
	t.Helper()
	var list []*networkingv1.NetworkPolicy
	for i, spec := range specs {
		np := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: string(rune('a' + i))}}
		if err := yaml.UnmarshalStrict([]byte(spec), &np.Spec); err != nil {
			t.Fatalf("spec %d: %v", i, err)
		}
		list = append(list, np)
	}
	return list
}

// allowed reads the rulesets of both nodes as the firewall does: egress where
// the source is, then ingress where the destination is.
func allowed(rulesets []Ruleset, from, to string, protocol corev1.Protocol, port uint16) bool {
	source, destination := netip.MustParseAddr(from), netip.MustParseAddr(to)
	pass := func(direction networkingv1.PolicyType, own, other netip.Addr) bool {
		for _, chain := range slices.Concat(rulesets...) {
			if chain.Direction != direction || chain.Addr != own || own == other {
				continue
			}
			return slices.ContainsFunc(chain.Allow, func(r Rule) bool {
				in := func(p netip.Prefix) bool { return p.Contains(other) }
				return (r.Peers == nil || slices.ContainsFunc(r.Peers, in)) &&
					!slices.ContainsFunc(r.Except, in) &&
					(r.Protocol == "" || r.Protocol == protocol) &&
					(r.Ports == nil || slices.ContainsFunc(r.Ports, func(p PortRange) bool { return p.First <= port && port <= p.Last }))
			})
		}
		return true
	}
	return pass(networkingv1.PolicyTypeEgress, source, destination) && pass(networkingv1.PolicyTypeIngress, destination, source)
}

func TestCompile(t *testing.T) {
	const front, cart, db, admin, outside = "10.0.0.1", "10.0.0.2", "10.0.1.3", "10.0.0.4", "203.0.113.9"
	type packet struct {
		from, to string
		protocol corev1.Protocol
		port     uint16
		want     bool
	}
	const tcp, udp, sctp = corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP
	for _, test := range []struct {
		name     string
		policies []string
		packets  []packet
	}{
		{
			name: "without policies everything passes",
			packets: []packet{
				{front, cart, tcp, 9090, true},
				{outside, front, udp, 53, true},
			},
		},
		{
			name:     "an empty ingress isolates the whole namespace and only it",
			policies: []string{`podSelector: {}`},
			packets: []packet{
				{front, cart, tcp, 9090, false},
				{front, db, tcp, 5432, false},
				{front, admin, tcp, 7070, true},
				{front, outside, tcp, 443, true},
				{cart, cart, tcp, 9090, true},
				{front, "192.168.0.1", tcp, 8080, true},
				{front, "10.0.0.5", tcp, 8080, true},
			},
		},
		{
			name:     "policyTypes that name egress alone leave ingress open",
			policies: []string{`{podSelector: {matchLabels: {app: front}}, policyTypes: [Egress]}`},
			packets: []packet{
				{front, cart, tcp, 9090, false},
				{cart, front, tcp, 8080, true},
			},
		},
		{
			name:     "egress rules without policyTypes isolate both directions",
			policies: []string{`{podSelector: {matchLabels: {app: front}}, egress: [{to: [{podSelector: {matchLabels: {app: cart}}}]}]}`},
			packets: []packet{
				{front, cart, tcp, 9090, true},
				{front, db, tcp, 5432, false},
				{cart, front, tcp, 8080, false},
			},
		},
		{
			name:     "an empty rule lets everything in",
			policies: []string{`{podSelector: {}, ingress: [{}]}`},
			packets:  []packet{{outside, db, sctp, 1, true}},
		},
		{
			name: "policies add up",
			policies: []string{
				`{podSelector: {}}`,
				`{podSelector: {matchLabels: {app: cart}}, ingress: [{from: [{podSelector: {matchLabels: {app: front}}}], ports: [{port: 9090}]}]}`,
			},
			packets: []packet{
				{front, cart, tcp, 9090, true},
				{front, cart, tcp, 9091, false},
				{front, cart, udp, 9090, false},
				{db, cart, tcp, 9090, false},
			},
		},
		{
			name: "a podSelector alone means the policy's own namespace",
			policies: []string{
				`{podSelector: {matchLabels: {app: cart}}, ingress: [{from: [{podSelector: {}}]}]}`,
			},
			packets: []packet{
				{front, cart, tcp, 1, true},
				{admin, cart, tcp, 1, false},
			},
		},
		{
			name: "a namespaceSelector alone means every pod of those namespaces",
			policies: []string{
				`{podSelector: {matchLabels: {app: cart}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: ops}}}]}]}`,
			},
			packets: []packet{
				{admin, cart, tcp, 1, true},
				{front, cart, tcp, 1, false},
			},
		},
		{
			name: "both selectors in one peer must match",
			policies: []string{
				`{podSelector: {matchLabels: {app: cart}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: ops}}, podSelector: {matchLabels: {app: front}}}]}]}`,
			},
			packets: []packet{
				{admin, cart, tcp, 1, false},
				{front, cart, tcp, 1, false},
			},
		},
		{
			name: "exceptions hold for their own block",
			policies: []string{
				`{podSelector: {matchLabels: {app: front}}, egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}, {ipBlock: {cidr: 10.0.1.0/24}}, {ipBlock: {cidr: "::/0"}}]}]}`,
			},
			packets: []packet{
				{front, outside, tcp, 443, true},
				{front, cart, tcp, 9090, false},
				{front, db, tcp, 5432, true},
			},
		},
		{
			name: "ranges include both ends",
			policies: []string{
				`{podSelector: {matchLabels: {app: cart}}, ingress: [{ports: [{port: 1000, endPort: 2000}, {port: 2001, endPort: 2002}, {port: 53, protocol: UDP}, {protocol: SCTP}]}]}`,
			},
			packets: []packet{
				{front, cart, tcp, 999, false},
				{front, cart, tcp, 1000, true},
				{front, cart, tcp, 2002, true},
				{front, cart, tcp, 2003, false},
				{front, cart, udp, 53, true},
				{front, cart, sctp, 7, true},
			},
		},
		{
			name:     "a named port of ingress is the selected pod's own number",
			policies: []string{`{podSelector: {}, ingress: [{ports: [{port: http}]}]}`},
			packets: []packet{
				{admin, front, tcp, 8080, true},
				{admin, front, tcp, 9090, false},
				{admin, cart, tcp, 9090, true},
				{admin, db, tcp, 5432, false},
			},
		},
		{
			name:     "a named port of egress is each destination's number",
			policies: []string{`{podSelector: {matchLabels: {app: db}}, policyTypes: [Egress], egress: [{to: [{podSelector: {}}], ports: [{port: http}]}]}`},
			packets: []packet{
				{db, front, tcp, 8080, true},
				{db, cart, tcp, 9090, true},
				{db, cart, tcp, 8080, false},
				{db, admin, tcp, 7070, false},
			},
		},
		{
			name:     "a named port of egress to anywhere reaches pods only",
			policies: []string{`{podSelector: {matchLabels: {app: db}}, policyTypes: [Egress], egress: [{ports: [{port: http}]}]}`},
			packets: []packet{
				{db, admin, tcp, 7070, true},
				{db, outside, tcp, 7070, false},
			},
		},
		{
			name:     "peers that match nobody let nobody in",
			policies: []string{`{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: ghost}}}]}]}`},
			packets:  []packet{{front, cart, tcp, 9090, false}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			objects := cluster()
			objects.Policies = policies(t, test.policies...)
			var rulesets []Ruleset
			for _, node := range []string{"a", "b"} {
				rules, err := Compile(node, objects)
				if err != nil {
					t.Fatal(err)
				}
				rulesets = append(rulesets, rules)
			}
			for _, p := range test.packets {
				if got := allowed(rulesets, p.from, p.to, p.protocol, p.port); got != p.want {
					t.Errorf("%s to %s, %s %d: allowed is %t, want %t", p.from, p.to, p.protocol, p.port, got, p.want)
				}
			}
		})
	}
}

func TestNodesEnforceForTheirOwnPods(t *testing.T) {
	objects := cluster()
	objects.Policies = policies(t, `{podSelector: {}, policyTypes: [Ingress, Egress]}`)
	for node, want := range map[string][]string{
		"a": {"Egress shop/front", "Egress shop/cart", "Ingress shop/front", "Ingress shop/cart"},
		"b": {"Egress shop/db", "Ingress shop/db"},
		"c": nil,
	} {
		rules, err := Compile(node, objects)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, chain := range rules {
			got = append(got, string(chain.Direction)+" "+chain.Pod)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("node %s: chains differ (-want +got):\n%s", node, diff)
		}
	}
}

func TestTheYoungerOfTwoPodsHasTheAddress(t *testing.T) {
	objects := cluster()
	old := newPod("shop/old", "10.0.0.2", "http:1")
	old.CreationTimestamp = metav1.NewTime(time.Unix(1, 0))
	objects.Pods[1].CreationTimestamp = metav1.NewTime(time.Unix(2, 0))
	objects.Pods = append(objects.Pods, old)
	objects.Policies = policies(t, `{podSelector: {matchLabels: {app: old}}}`)
	rules, err := Compile("a", objects)
	if err != nil || len(rules) != 0 {
		t.Errorf("rules are %v and error %v, want none: the selected pod has given its address up", rules, err)
	}
}

func TestWhatIsNotUnderstoodLetsNothingThrough(t *testing.T) {
	objects := cluster()
	objects.Policies = policies(t, `{podSelector: {matchLabels: {app: cart}}, ingress: [{from: [{ipBlock: {cidr: nonsense}}]}, {ports: [{port: 9, endPort: 8}]}]}`)
	rules, err := Compile("a", objects)
	if err == nil || strings.Count(err.Error(), "networkpolicy shop/a") != 2 {
		t.Errorf("error is %v, want one line for the block and one for the ports", err)
	}
	if allowed([]Ruleset{rules}, "10.0.0.1", "10.0.0.2", corev1.ProtocolTCP, 9) {
		t.Error("a packet passes")
	}
}

func FuzzMerge(f *testing.F) {
	f.Add([]byte{1, 5, 4, 9, 20, 20})
	f.Fuzz(func(t *testing.T, data []byte) {
		var ranges []PortRange
		var covered [256]bool
		for pair := range slices.Chunk(data, 2) {
			if len(pair) == 2 {
				r := PortRange{uint16(min(pair[0], pair[1])), uint16(max(pair[0], pair[1]))}
				ranges = append(ranges, r)
				for p := r.First; p <= r.Last; p++ {
					covered[p] = true
				}
			}
		}
		if len(ranges) == 0 {
			return
		}
		var got [256]bool
		last := -2
		for _, r := range merge(ranges) {
			if int(r.First) <= last+1 {
				t.Fatalf("range %v overlaps or touches the one before it", r)
			}
			last = int(r.Last)
			for p := r.First; p <= r.Last; p++ {
				got[p] = true
			}
		}
		if got != covered {
			t.Fatal("the merged ranges cover other ports")
		}
	})
}
