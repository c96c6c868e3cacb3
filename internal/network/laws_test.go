package network

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// table is all that a world says of all pairs of parties. Of pods the matrix has to say
// the same, also where not everything is known.
func (n *naive) table(t testing.TB, w *World) map[string]Connections {
	t.Helper()
	out := map[string]Connections{}
	parties := n.parties()
	for _, a := range parties {
		for _, b := range parties {
			from, to := find(t, w, a.word()), find(t, w, b.word())
			c := w.Connections(from, to)
			out[a.word()+" "+b.word()] = c
			if x, y := w.classOfEnd(from), w.classOfEnd(to); x >= 0 && y >= 0 && from.Ref != to.Ref {
				if m := w.Matrix().Between(int(x), int(y)); !m.Allowed.Equal(c.Allowed) || !m.Denied.Equal(c.Denied) {
					t.Fatalf("%s to %s: allowed %s, denied %s; in the matrix %s and %s", from, to, c.Allowed, c.Denied, m.Allowed, m.Denied)
				}
			}
		}
	}
	return out
}

// differ calls f for each pair that the two tables have in common.
func differ(a, b map[string]Connections, f func(pair string, a, b Connections)) {
	for _, k := range slices.Sorted(maps.Keys(a)) {
		if other, ok := b[k]; ok {
			f(k, a[k], other)
		}
	}
}

func worlds(t *testing.T, f func(t *testing.T, r chance, n *naive)) {
	t.Helper()
	for seed := range 60 {
		r := chance{rand.New(rand.NewPCG(uint64(seed), 7))}
		n := r.world()
		t.Run(fmt.Sprint(seed), func(t *testing.T) { f(t, r, n) })
	}
}

// same fails where two tables differ.
func same(t *testing.T, what string, a, b map[string]Connections) {
	t.Helper()
	differ(a, b, func(pair string, a, b Connections) {
		if !a.Allowed.Equal(b.Allowed) || !a.Denied.Equal(b.Denied) {
			t.Fatalf("%s: %s: allowed were %s, now %s", what, pair, a.Allowed, b.Allowed)
		}
	})
}

// TestOrderIsNothing: objects in another order give the same answers.
func TestOrderIsNothing(t *testing.T) {
	worlds(t, func(t *testing.T, r chance, n *naive) {
		opts := Options{Profile: Generic()}
		same(t, "order", n.table(t, New(n.snapshot(t, r), opts)), n.table(t, New(n.snapshot(t, r), opts)))
	})
}

// TestStrangersAreNothing: a namespace that no selector asks for by what it has changes
// nothing between the others.
func TestStrangersAreNothing(t *testing.T) {
	worlds(t, func(t *testing.T, r chance, n *naive) {
		opts := Options{Profile: Generic()}
		before := n.table(t, New(n.snapshot(t, r), opts))
		m := *n
		m.spaces = append(slices.Clone(n.spaces), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "stranger", Labels: r.labels()}})
		m.pods = append(slices.Clone(n.pods), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "stranger", Name: "pod", Labels: r.labels()}})
		m.nps = append(slices.Clone(n.nps), r.policy("np", "stranger"))
		same(t, "a stranger", before, n.table(t, New(m.snapshot(t, r), opts)))
	})
}

// TestNamesOfLabelsAreNothing: labels renamed everywhere, keys and values, change nothing.
func TestNamesOfLabelsAreNothing(t *testing.T) {
	rename := func(s string) string {
		if s == "kubernetes.io/metadata.name" || len(s) > 2 && s[:2] == "ns" {
			return s
		}
		return "renamed-" + s
	}
	set := func(in map[string]string) map[string]string {
		if in == nil {
			return nil
		}
		out := map[string]string{}
		for k, v := range in {
			out[rename(k)] = rename(v)
		}
		return out
	}
	sel := func(s *metav1.LabelSelector) {
		if s == nil {
			return
		}
		s.MatchLabels = set(s.MatchLabels)
		for i := range s.MatchExpressions {
			e := &s.MatchExpressions[i]
			e.Key = rename(e.Key)
			for j := range e.Values {
				e.Values[j] = rename(e.Values[j])
			}
		}
	}
	worlds(t, func(t *testing.T, r chance, n *naive) {
		n.cnps, n.anps, n.banp = nil, nil, nil
		opts := Options{Profile: Generic()}
		before := n.table(t, New(n.snapshot(t, r), opts))
		for _, o := range n.spaces {
			o.Labels = set(o.Labels)
		}
		for _, o := range n.pods {
			o.Labels = set(o.Labels)
		}
		for _, np := range n.nps {
			sel(&np.Spec.PodSelector)
			for i := range np.Spec.Ingress {
				for _, p := range np.Spec.Ingress[i].From {
					sel(p.PodSelector)
					sel(p.NamespaceSelector)
				}
			}
			for i := range np.Spec.Egress {
				for _, p := range np.Spec.Egress[i].To {
					sel(p.PodSelector)
					sel(p.NamespaceSelector)
				}
			}
		}
		same(t, "new names", before, n.table(t, New(n.snapshot(t, r), opts)))
	})
}

// TestOneMorePolicy: a NetworkPolicy never lets more through between pods that none
// isolated, and never less where all that it selects were isolated already.
func TestOneMorePolicy(t *testing.T) {
	var fewer, more int
	worlds(t, func(t *testing.T, r chance, n *naive) {
		n.cnps, n.anps, n.banp = nil, nil, nil
		opts := Options{Profile: Generic()}
		old := New(n.snapshot(t, r), opts)
		before := n.table(t, old)
		m := *n
		added := r.policy("added", n.spaces[0].Name)
		m.nps = append(slices.Clone(n.nps), added)
		after := n.table(t, New(m.snapshot(t, r), opts))
		ingress, egress := Isolates(added)
		fresh, known := true, true // none, or each, of those selected was isolated
		for _, p := range n.pods {
			if p.Namespace != added.Namespace || p.Spec.HostNetwork || !has(added.Spec.PodSelector, p.Labels) {
				continue
			}
			lists := old.classes[old.members[find(t, old, p.Namespace+"/"+p.Name).first().member].class].lists
			for d, on := range [2]bool{Ingress: ingress, Egress: egress} {
				if on {
					fresh, known = fresh && lists[d] == nil, known && lists[d] != nil
				}
			}
		}
		differ(before, after, func(pair string, a, b Connections) {
			grown, lost := b.Allowed.Minus(a.Allowed), a.Allowed.Minus(b.Allowed)
			if fresh && len(grown) > 0 {
				t.Fatalf("%s: %s are allowed by a policy on pods that none isolated", pair, grown)
			}
			if known && len(lost) > 0 {
				t.Fatalf("%s: %s are denied by a policy on pods that were isolated", pair, lost)
			}
			if len(grown) > 0 {
				more++
			}
			if len(lost) > 0 {
				fewer++
			}
		})
	})
	if fewer == 0 || more == 0 {
		t.Errorf("%d pairs lost and %d gained: the law was not put to the test", fewer, more)
	}
}

// TestLessKnown: an answer given with less knowledge is never another one, only unknown.
func TestLessKnown(t *testing.T) {
	var unknown, kept int
	worlds(t, func(t *testing.T, r chance, n *naive) {
		before := n.table(t, New(n.snapshot(t, r), Options{Profile: Generic()}))
		m := *n
		opts := Options{Profile: Generic()}
		switch r.IntN(4) {
		case 0: // namespaces without their objects
			m.spaces = nil
		case 1: // pods without addresses
			m.pods = nil
			for _, p := range n.pods {
				q := p.DeepCopy()
				q.Status = corev1.PodStatus{}
				m.pods = append(m.pods, q)
			}
		case 2: // another network, which is not known
			opts.Profile, _ = FindProfile("unknown")
		case 3: // templates instead of pods are below; here pods without nodes
			m.pods = nil
			for _, p := range n.pods {
				q := p.DeepCopy()
				q.Spec.NodeName = ""
				m.pods = append(m.pods, q)
			}
		}
		after := n.table(t, New(m.snapshot(t, r), opts))
		strangers := map[string]bool{} // pairs without a family in common
		for _, a := range n.parties() {
			for _, b := range n.parties() {
				strangers[a.word()+" "+b.word()] = (n.address(a, false) == "" || n.address(b, false) == "") && (n.address(a, true) == "" || n.address(b, true) == "")
			}
		}
		differ(before, after, func(pair string, a, b Connections) {
			if strangers[pair] {
				return
			}
			if wrong := b.Allowed.Minus(a.Allowed); len(wrong) > 0 {
				t.Fatalf("%s: %s are allowed, and were not\n%s", pair, wrong, m.dump())
			}
			if wrong := b.Denied.Minus(a.Denied); len(wrong) > 0 {
				t.Fatalf("%s: %s are denied, and were not\n%s", pair, wrong, m.dump())
			}
			if len(b.Unknown) > 0 {
				unknown++
			} else {
				kept++
			}
		})
	})
	if unknown == 0 || kept == 0 {
		t.Errorf("%d are unknown and %d are not: the law was not put to the test", unknown, kept)
	}
}

// TestUnreadPolicies: a gap leaves what it cannot change.
func TestUnreadPolicies(t *testing.T) {
	snapshot := func(gap cluster.Need) *World {
		b := cluster.NewBuilder("live", true)
		b.Looked(cluster.Isolation...)
		for _, name := range []string{"open", "closed"} {
			b.Add("v1", "Pod", &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: map[string]string{"app": name}}}, cluster.Source{})
		}
		b.Add("networking.k8s.io/v1", "NetworkPolicy", &networkingv1.NetworkPolicy{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "closed"},
			Spec: networkingv1.NetworkPolicySpec{
				PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "closed"}},
				Ingress:     []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "open"}}}}}},
			},
		}, cluster.Source{})
		if gap != "" {
			b.Gap(cluster.Gap{Need: gap, Reason: "forbidden"})
		}
		return New(b.Snapshot(), Options{Profile: Generic()})
	}
	for _, tt := range []struct {
		gap                        cluster.Need
		openToClosed, closedToOpen Verdict
	}{
		{"", Allowed, Allowed},
		{cluster.NetworkPolicies, Unknown, Unknown}, // another may isolate open's egress
		{cluster.ClusterPolicies, Unknown, Unknown},
		{cluster.CalicoPolicies, Unknown, Unknown},
	} {
		w := snapshot(tt.gap)
		if got := ask(t, w, "shop/open shop/closed TCP 80"); got.Verdict != tt.openToClosed {
			t.Errorf("gap in %q: open to closed is %s, want %s", tt.gap, got.Verdict, tt.openToClosed)
		}
		if got := ask(t, w, "shop/closed shop/open TCP 80"); got.Verdict != tt.closedToOpen {
			t.Errorf("gap in %q: closed to open is %s, want %s", tt.gap, got.Verdict, tt.closedToOpen)
		}
		if tt.gap == cluster.NetworkPolicies {
			if got := ask(t, w, "203.0.113.1 shop/closed TCP 80"); got.Verdict != Unknown {
				t.Errorf("outside to closed is %s, want unknown", got.Verdict)
			}
		}
	}
}
