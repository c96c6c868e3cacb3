package segment

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/manifest"
	"github.com/bulwark-k8s/bulwark/internal/network"
)

func view(t *testing.T, in string) *View {
	t.Helper()
	b := cluster.NewBuilder("test", false)
	r := manifest.NewReader(b, "")
	r.Read("in", strings.NewReader(in))
	if out := r.Outcome(); len(out.Problems)+len(out.Skipped) > 0 {
		t.Fatal(out)
	}
	calico, _ := network.FindProfile("calico")
	return NewView(b.Snapshot(), network.Options{Profile: calico})
}

func TestNames(t *testing.T) {
	for text, want := range map[string]Name{
		"internet":       {Kind: Internet},
		"pods":           {Kind: AllPods},
		"shop/web-1":     {Namespace: "shop", Name: "web-1"},
		"web":            {Namespace: "here", Name: "web"},
		"deploy/web":     {Kind: "deployment", Namespace: "here", Name: "web"},
		"shop/sts/db":    {Kind: "statefulset", Namespace: "shop", Name: "db"},
		"shop/svc/db":    {Kind: Service, Namespace: "shop", Name: "db"},
		"shop/rollout/a": {Kind: "rollout", Namespace: "shop", Name: "a"},
		"shop/*":         {Kind: Namespace, Namespace: "shop"},
		"namespace/shop": {Kind: Namespace, Namespace: "shop"},
		"node/n1":        {Kind: Node, Name: "n1"},
		"10.0.0.1":       {Kind: Addresses, Net: netip.MustParsePrefix("10.0.0.1/32")},
		"::ffff:1.2.3.4": {Kind: Addresses, Net: netip.MustParsePrefix("1.2.3.4/32")},
		"10.0.0.1/8":     {Kind: Addresses, Net: netip.MustParsePrefix("10.0.0.0/8")},
	} {
		want.Text = text
		got, err := ParseName(text, "here")
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
	for _, text := range []string{"", "a//b", "a/b/c/d", "/", "fe80::1%eth0", "::ffff:1.2.3.4/100"} {
		if n, err := ParseName(text, "here"); err == nil {
			t.Errorf("%q is %+v", text, n)
		}
	}
}

// FuzzParseName: a name that is read has a kind or a name, and is in one place.
func FuzzParseName(f *testing.F) {
	for _, text := range []string{"shop/deploy/web", "10.0.0.0/8", "shop/*", "internet", "a/b/c/d"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := ParseName(text, "here")
		switch {
		case err != nil:
		case n.Kind == Addresses && n.Net.Masked() != n.Net:
			t.Errorf("%q: %s has bits beyond its length", text, n.Net)
		case n.Kind == AnyKind && (n.Name == "" || n.Namespace == "" || strings.Contains(n.Name+n.Namespace, "/")):
			t.Errorf("%q is %+v", text, n)
		}
	})
}

// FuzzParsePorts: ports that are read are within their range and are read again as the same.
func FuzzParsePorts(f *testing.F) {
	for _, text := range []string{"80", "TCP/80", "udp/53-60", "SCTP", "TCP/65536", "-1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		set, err := ParsePorts([]string{text})
		if err != nil {
			return
		}
		for _, p := range set {
			again, err := ParsePorts([]string{fmt.Sprintf("%s/%d-%d", p.Protocol, p.First, p.Last)})
			if err != nil || p.First < 1 || p.Last > 65535 || !again.Equal(set) {
				t.Errorf("%q is %v, and %v, %v", text, set, again, err)
			}
		}
	})
}

// TestRanges: every address is in exactly one range, and in the one of the narrowest
// prefix that has it.
func TestRanges(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var list []netip.Prefix
		for range r.IntN(6) {
			a := netip.AddrFrom4([4]byte{10, byte(r.IntN(2)), byte(r.IntN(4)), byte(r.IntN(256))})
			list = append(list, netip.PrefixFrom(a, 6+r.IntN(27)).Masked())
		}
		ranges := Ranges(list)
		for range 50 {
			a := netip.AddrFrom4([4]byte{10, byte(r.IntN(3)), byte(r.IntN(5)), byte(r.IntN(256))})
			var want netip.Prefix
			for _, p := range list {
				if p.Contains(a) && (!want.IsValid() || p.Bits() > want.Bits()) {
					want = p
				}
			}
			var in []netip.Prefix
			for _, one := range ranges {
				for _, p := range one.Parts {
					if p.Contains(a) {
						in = append(in, one.Of)
					}
				}
			}
			if len(in) != 1 || in[0] != want {
				t.Fatalf("%s is in %v of %v, want %v", a, in, list, want)
			}
		}
	}
	for _, p := range public {
		if p.Contains(netip.MustParseAddr("10.1.1.1")) || p.Contains(netip.MustParseAddr("169.254.169.254")) || p.Contains(netip.MustParseAddr("192.168.1.1")) {
			t.Errorf("%s is of the internet", p)
		}
	}
	if !slices.ContainsFunc(public, func(p netip.Prefix) bool { return p.Contains(netip.MustParseAddr("8.8.8.8")) }) {
		t.Error("8.8.8.8 is not of the internet")
	}
}

// TestAlike: units of one band can be exchanged and the grid stays the same, and those of
// two cannot.
func TestAlike(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	same := func(g *Grid, a, b int) bool {
		to := func(i int) int {
			switch i {
			case a:
				return b
			case b:
				return a
			}
			return i
		}
		for i := range g.Units {
			for j := range g.Units {
				if g.At(i, j).State != g.At(to(i), to(j)).State {
					return false
				}
			}
		}
		return true
	}
	for range 300 {
		g := NewGrid(make([]Unit, 1+r.IntN(6)))
		for i := range g.cells {
			g.cells[i].State = []State{Closed, Closed, Closed, Open}[r.IntN(4)]
		}
		band := map[int]int{}
		for n, b := range g.Alike() {
			for _, i := range b {
				band[i] = n
			}
		}
		for a := range g.Units {
			for b := range g.Units {
				if got, want := band[a] == band[b], same(g, a, b); got != want {
					t.Fatalf("%d and %d in one band is %t, want %t: %+v", a, b, got, want, g.cells)
				}
			}
		}
	}
}

const twoNamespaces = `
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: one, labels: {app: a}}
spec: {containers: [{name: c, image: c:1}]}
status: {phase: Running, podIP: 10.0.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: b, namespace: one, labels: {app: b}}
spec: {containers: [{name: c, image: c:1}]}
status: {phase: Running, podIP: 10.0.0.2}
---
apiVersion: v1
kind: Pod
metadata: {name: c, namespace: two, labels: {app: c}}
spec: {containers: [{name: c, image: c:1}]}
status: {phase: Running, podIP: 10.0.0.3}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: b, namespace: one}
spec: {podSelector: {matchLabels: {app: b}}, ingress: [{from: [{podSelector: {}}], ports: [{port: 80}]}]}
`

// TestGridAgreesWithPairs: a cell says what asking every pair of pods says.
func TestGridAgreesWithPairs(t *testing.T) {
	v := view(t, twoNamespaces)
	g := v.Grid(Scope{})
	got := map[string]string{}
	for i, from := range g.Units {
		for j, to := range g.Units {
			got[from.String()+">"+to.String()] = g.At(i, j).Text()
		}
	}
	want := map[string]string{
		"one>one": "part: all ports, not to everybody", "one>two": "open: all ports", "one>internet": "open: all ports",
		"two>one": "part: all ports (1 of 2 pairs of pods)", "two>two": "no pods", "two>internet": "open: all ports",
		"internet>one": "part: all ports (1 of 2 pairs of pods)", "internet>two": "open: all ports", "internet>internet": "no pods",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("cells (-want +got):\n%s", diff)
	}
}

// TestDiff: a state differs from itself in nothing, and what is gained one way is lost the
// other way.
func TestDiff(t *testing.T) {
	was, is := view(t, twoNamespaces), view(t, strings.Replace(twoNamespaces, "port: 80", "port: 81", 1))
	if d := Diff(was, was); len(d.Gained)+len(d.Lost)+len(d.Unclear) != 0 || d.Same != d.Pairs {
		t.Errorf("it differs from itself: %+v", d)
	}
	there, back := Diff(was, is), Diff(is, was)
	if diff := cmp.Diff(there.Gained, back.Lost); diff != "" {
		t.Errorf("gained there and lost back:\n%s", diff)
	}
	want := []Change{{From: "one/a", To: "one/b", Ports: network.OnePort("TCP", 81)}}
	if diff := cmp.Diff(want, there.Gained); diff != "" {
		t.Errorf("gained (-want +got):\n%s", diff)
	}
}
