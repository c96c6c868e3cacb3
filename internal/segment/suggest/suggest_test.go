package suggest

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/flow"
	"github.com/bulwark-k8s/bulwark/internal/manifest"
	"github.com/bulwark-k8s/bulwark/internal/network"
	"github.com/bulwark-k8s/bulwark/internal/segment"
)

func snapshot(t *testing.T, in string) *cluster.Snapshot {
	t.Helper()
	b := cluster.NewBuilder("test", false)
	r := manifest.NewReader(b, "")
	r.Read("in", strings.NewReader(in))
	if out := r.Outcome(); len(out.Problems)+len(out.Skipped) > 0 {
		t.Fatal(out)
	}
	return b.Snapshot()
}

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// workload is a Deployment with labels, a port, and more of its container.
func workload(namespace, name, labels, container string) string {
	return fmt.Sprintf(`
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  selector: {matchLabels: {%[3]s}}
  template:
    metadata: {labels: {%[3]s}}
    spec: {containers: [{name: c, image: c:1, %[4]s}]}
`, namespace, name, labels, container)
}

func svc(namespace, name, selector, spec string) string {
	return fmt.Sprintf("\n---\napiVersion: v1\nkind: Service\nmetadata: {name: %s, namespace: %s}\nspec: {selector: {%s}, %s}\n", name, namespace, selector, spec)
}

const dns = `
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: coredns, namespace: kube-system}
spec:
  selector: {matchLabels: {k8s-app: kube-dns}}
  template: {metadata: {labels: {k8s-app: kube-dns}}, spec: {containers: [{name: c, image: c:1}]}}
---
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec: {selector: {k8s-app: kube-dns}, clusterIP: 10.96.0.10, ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53}]}
`

func shop() string {
	return dns +
		workload("shop", "web", "app: web, tier: front", "ports: [{name: http, containerPort: 8080}], env: [{name: DB, value: 'postgres://shop@db.data:5432/shop'}]") +
		svc("shop", "web", "app: web", "type: LoadBalancer, ports: [{port: 80, targetPort: http}]") +
		workload("shop", "cart", "app: cart, tier: back", "ports: [{containerPort: 9000}]") +
		workload("data", "db", "app: db", "ports: [{containerPort: 5432}]") +
		svc("data", "db", "app: db", "ports: [{port: 5432}]")
}

func TestWhatIsDeclared(t *testing.T) {
	p := Make(snapshot(t, shop()), Options{})
	var got []string
	for _, e := range p.Wanted {
		got = append(got, e.String())
	}
	want := []string{
		"namespace data to deployment data/db TCP/5432",
		"deployment shop/web to deployment data/db TCP/5432",
		"deployment data/db to deployment kube-system/coredns TCP/53",
		"deployment data/db to deployment kube-system/coredns UDP/53",
		"deployment shop/cart to deployment kube-system/coredns TCP/53",
		"deployment shop/cart to deployment kube-system/coredns UDP/53",
		"deployment shop/web to deployment kube-system/coredns TCP/53",
		"deployment shop/web to deployment kube-system/coredns UDP/53",
		"namespace shop to deployment shop/cart TCP/9000",
		"namespace shop to deployment shop/web TCP/8080",
		"everybody to deployment shop/web TCP/8080",
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("wanted (-want +got):\n%s", diff)
	}
	var b strings.Builder
	if err := WriteYAML(&b, p.Policies); err != nil {
		t.Fatal(err)
	}
	golden(t, "shop.yaml", b.String())
}

// TestWhatIsBehindAGateway: whatever kind of route leads to a Service, its pods stay open
// to the Gateway.
func TestWhatIsBehindAGateway(t *testing.T) {
	for _, kind := range segment.RouteKinds {
		route := "---\napiVersion: gateway.networking.k8s.io/v1\nkind: " + kind + "\nmetadata: {name: r, namespace: shop}\n" +
			"spec: {rules: [{backendRefs: [{name: db, namespace: data, port: 5432}]}]}\n"
		p := Make(snapshot(t, shop()+route), Options{})
		if !slices.ContainsFunc(p.Wanted, func(e Edge) bool {
			return e.From.AllPods && e.String() == "every pod to deployment data/db TCP/5432"
		}) {
			t.Errorf("%s: what leads to the database is cut off: %v", kind, p.Wanted)
		}
	}
}

// TestPoliciesAreReadAsTheyWereMeant: what is written is what was made, whatever labels
// look like.
func TestPoliciesAreReadAsTheyWereMeant(t *testing.T) {
	in := shop() + workload("odd", "odd", `"yes": "no", "1e3": "0x1f", a.b/c: "12:30"`, "ports: [{containerPort: 80, protocol: UDP}]") +
		workload("odd", "bare", `app: "", z: "007"`, "ports: [{containerPort: 80}]")
	p := Make(snapshot(t, in), Options{})
	var b strings.Builder
	if err := WriteYAML(&b, p.Policies); err != nil {
		t.Fatal(err)
	}
	read := map[string]networkingv1.NetworkPolicySpec{}
	for o, np := range cluster.All[*networkingv1.NetworkPolicy](snapshot(t, b.String()), "NetworkPolicy") {
		read[o.Namespace+"/"+o.Name] = np.Spec
	}
	made := map[string]networkingv1.NetworkPolicySpec{}
	for _, one := range p.Policies {
		made[one.Namespace+"/"+one.Name] = one.Spec
	}
	if diff := cmp.Diff(made, read); diff != "" {
		t.Errorf("read (-made +read):\n%s\n%s", diff, b.String())
	}
}

func TestLabelsThatLast(t *testing.T) {
	pod := func(name, labels, owner string) string {
		return fmt.Sprintf("\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: %s, namespace: shop, labels: {%s}%s}\nspec: {containers: [{name: c, image: c:1}]}\n", name, labels, owner)
	}
	const owned = ", ownerReferences: [{apiVersion: x/v1, kind: Thing, name: t, uid: u, controller: true}]"
	in := workload("shop", "a", "app: x, role: a, pod-template-hash: h", "ports: []") +
		workload("shop", "b", "app: x, role: b, version: v1", "ports: []") +
		workload("shop", "c", "app.kubernetes.io/name: c, app: c", "ports: []") +
		workload("shop", "d", "app: twin", "ports: []") + workload("shop", "e", "app: twin", "ports: []") +
		pod("t-0", "app: t, apps.kubernetes.io/pod-index: \"0\", shard: s0", owned) + pod("t-1", "app: t, apps.kubernetes.io/pod-index: \"1\", shard: s1", owned) +
		pod("bare", "pod-template-hash: x", "")
	got := map[string]map[string]string{}
	for _, g := range groups(snapshot(t, in)) {
		got[g.String()] = g.Select
	}
	want := map[string]map[string]string{
		"deployment shop/a": {"role": "a"},
		"deployment shop/b": {"role": "b"},
		"deployment shop/c": {"app.kubernetes.io/name": "c"},
		"deployment shop/d": {"app": "twin"},
		"deployment shop/e": {"app": "twin"},
		"thing shop/t":      {"app": "t"},
		"pod shop/bare":     nil,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
}

func TestNamesInTexts(t *testing.T) {
	for text, want := range map[string][]mention{
		"db":                                   {{"", "db", 0}},
		"the db is here":                       nil,
		"db:5432":                              {{"", "db", 5432}},
		"http://cart/x":                        {{"", "cart", 0}},
		"http://cart.shop:80/x":                {{"shop", "cart", 80}},
		"cart.shop.svc":                        {{"shop", "cart", 0}},
		"u:p@db.data.svc.cluster.local:5432/x": {{"data", "db", 5432}},
		"--to=a.b:1,c.d:2":                     {{"b", "a", 1}, {"d", "c", 2}},
		"kafka-0.kafka.bus.svc:9":              {{"bus", "kafka", 9}},
		"10.0.0.1:80":                          nil,
		"":                                     nil,
	} {
		if diff := cmp.Diff(want, named(text), cmp.AllowUnexported(mention{})); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

// FuzzNamed: names are found wherever they stand, and each is a part of the text.
func FuzzNamed(f *testing.F) {
	f.Add("http://cart.shop:80/x,", "db:99999")
	f.Fuzz(func(t *testing.T, before, after string) {
		for _, m := range named(before) {
			if !strings.Contains(before, m.name) || !strings.Contains(before, m.namespace) || m.name == "" {
				t.Errorf("%q: %+v does not stand in it", before, m)
			}
		}
		if !slices.Contains(named(before+" cart.shop:80 "+after), mention{"shop", "cart", 80}) {
			t.Errorf("%q, %q: cart.shop:80 between them is not found", before, after)
		}
	})
}

const running = `
---
apiVersion: v1
kind: Node
metadata: {name: n1}
spec: {podCIDRs: [10.1.1.0/24]}
status: {addresses: [{type: InternalIP, address: 192.168.0.1}]}
---
apiVersion: v1
kind: Node
metadata: {name: n2}
spec: {podCIDRs: [10.1.2.0/24]}
status: {addresses: [{type: InternalIP, address: 192.168.0.2}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: shop, labels: {app: web}}
spec: {nodeName: n1, containers: [{name: c, image: c:1, ports: [{containerPort: 8080}]}]}
status: {phase: Running, podIP: 10.1.1.5, podIPs: [{ip: 10.1.1.5}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db-0, namespace: shop, labels: {app: db}}
spec: {nodeName: n2, containers: [{name: c, image: c:1, ports: [{containerPort: 40000}]}]}
status: {phase: Running, podIP: 10.1.2.5, podIPs: [{ip: 10.1.2.5}]}
---
apiVersion: v1
kind: Pod
metadata: {name: agent, namespace: shop, labels: {app: agent}}
spec: {nodeName: n1, hostNetwork: true, containers: [{name: c, image: c:1}]}
status: {phase: Running, podIP: 192.168.0.1, podIPs: [{ip: 192.168.0.1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: idle, namespace: shop, labels: {app: idle}}
spec: {nodeName: n1, containers: [{name: c, image: c:1}]}
status: {phase: Running, podIP: 10.1.1.6, podIPs: [{ip: 10.1.1.6}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, clusterIP: 10.96.0.7, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: kubernetes, namespace: default}
spec: {clusterIP: 10.96.0.1, ports: [{port: 443}]}
`

func TestWhatWasObserved(t *testing.T) {
	f := func(from, to string, port, fromPort uint16) flow.Flow {
		return flow.Flow{From: from, To: to, Protocol: "TCP", Port: port, FromPort: fromPort}
	}
	for _, c := range []struct {
		name  string
		flows []flow.Flow
		want  []string
		says  func(*Observation, *Plan) string
		word  string
	}{
		{
			"an address is a pod's, and a Service's is those of its pods",
			[]flow.Flow{f("10.1.2.5", "10.96.0.7", 80, 0), f("shop/web-1", "10.1.2.5", 40000, 0)},
			[]string{"pod shop/db-0 to pod shop/web-1 TCP/8080", "pod shop/web-1 to pod shop/db-0 TCP/40000"},
			nil, "",
		},
		{
			"an answer is no connection: by the port that it comes from, or because the other way was opened",
			[]flow.Flow{f("10.1.1.5", "10.1.2.5", 51000, 8080), f("10.1.2.5", "10.1.1.6", 80, 0), f("10.1.1.6", "10.1.2.5", 52000, 0)},
			[]string{"pod shop/db-0 to pod shop/idle TCP/80"},
			func(o *Observation, _ *Plan) string { return fmt.Sprint(o.Replies) }, "2",
		},
		{
			"a pod's own node needs no leave, another node does; nodes among themselves are none of it",
			[]flow.Flow{f("192.168.0.1", "10.1.1.5", 8080, 0), f("10.1.1.1", "10.1.1.5", 8080, 0), f("192.168.0.2", "10.1.1.5", 8080, 0), f("shop/agent", "10.1.1.5", 8080, 0), f("192.168.0.1", "192.168.0.2", 10250, 0)},
			[]string{"192.168.0.2/32 to pod shop/web-1 TCP/8080"},
			func(o *Observation, _ *Plan) string { return fmt.Sprint(o.Own) }, "4",
		},
		{
			"outside is an address, and one for pods that no pod has is of one that is gone",
			[]flow.Flow{f("10.1.1.5", "198.51.100.7", 443, 0), f("10.1.1.5", "10.1.2.99", 80, 0), f("shop/nobody", "10.1.1.5", 80, 0), f("10.1.1.5", "10.1.2.99", 81, 0)},
			[]string{"pod shop/web-1 to 198.51.100.7/32 TCP/443"},
			func(o *Observation, _ *Plan) string { return fmt.Sprint(o.Unknown) }, "map[10.1.2.99:2 shop/nobody:1]",
		},
		{
			"what stands behind no pod cannot be said",
			[]flow.Flow{f("10.1.1.5", "10.96.0.1", 443, 0)},
			nil,
			func(_ *Observation, p *Plan) string { return strings.Join(p.Cannot, "; ") },
			"10.1.1.5 to 10.96.0.1 TCP/443: no pod stands behind service default/kubernetes on that port, and policies are about what stands behind it",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := Make(snapshot(t, running), Options{Observed: true, Flows: c.flows})
			var got []string
			for _, e := range p.Wanted {
				got = append(got, e.String())
			}
			slices.Sort(got)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("wanted (-want +got):\n%s", diff)
			}
			if c.says != nil {
				if got := c.says(p.Observation, p); got != c.word {
					t.Errorf("it says %q, want %q", got, c.word)
				}
			}
		})
	}
	p := Make(snapshot(t, running), Options{Observed: true, Flows: []flow.Flow{f("10.1.1.5", "10.1.2.5", 80, 0)}})
	if diff := cmp.Diff([]cluster.Ref{{Kind: "Pod", Namespace: "shop", Name: "idle"}}, p.Observation.Silent); diff != "" {
		t.Errorf("silent (-want +got):\n%s", diff)
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{"web": "web", "yes": `"yes"`, "": `""`, "1e3": `"1e3"`, "a.b/c": "a.b/c", "12:30": `"12:30"`, "10.0.0.0/8": `"10.0.0.0/8"`} {
		if got := quote(in); got != want {
			t.Errorf("quote(%q) is %s, want %s", in, got, want)
		}
	}
}

func TestThePoliciesAllowWhatIsWantedAndNothingElse(t *testing.T) {
	flows := []flow.Flow{
		{From: "10.1.1.5", To: "10.1.2.5", Protocol: "TCP", Port: 5432},
		{From: "10.1.1.5", To: "198.51.100.7", Protocol: "TCP", Port: 443},
		{From: "192.168.0.2", To: "10.1.1.5", Protocol: "TCP", Port: 8080},
		{From: "203.0.113.9", To: "10.1.1.5", Protocol: "TCP", Port: 8080},
	}
	for _, c := range []struct {
		name, in string
		o        Options
		refused  string
	}{
		{"what is declared", shop(), Options{}, ""},
		{"only one of two namespaces", shop(), Options{Namespaces: []string{"shop"}}, ""},
		{"what was observed", running + dns, Options{Observed: true, Flows: flows}, ""},
		{"nothing was observed", running + dns, Options{Observed: true}, ""},
		{"twins that no label tells apart", shop() + workload("shop", "twin", "app: cart, tier: back", ""), Options{}, "extra"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := Make(snapshot(t, c.in), c.o)
			calico, _ := network.FindProfile("calico")
			proof := p.Prove(network.Options{Profile: calico})
			if proof.Exact() != (c.refused == "") {
				t.Errorf("exact is %t: extra %v, missing %v, unknown %v", proof.Exact(), proof.Extra, proof.Missing, proof.Unknown)
			}
			if proof.Pairs == 0 {
				t.Error("no pair was asked about")
			}
		})
	}
}

// TestAProofFindsWhatIsWrong: taking a rule away is missed, and adding one is seen.
func TestAProofFindsWhatIsWrong(t *testing.T) {
	fresh := func() *Plan { return Make(snapshot(t, shop()), Options{}) }
	for name, change := range map[string]func(p *networkingv1.NetworkPolicy){
		"no egress to the database": func(p *networkingv1.NetworkPolicy) { p.Spec.Egress = nil },
		"everything may come in":    func(p *networkingv1.NetworkPolicy) { p.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{}} },
		"it selects everybody":      func(p *networkingv1.NetworkPolicy) { p.Spec.PodSelector.MatchLabels = nil },
		"it selects nobody":         func(p *networkingv1.NetworkPolicy) { p.Spec.PodSelector.MatchLabels = map[string]string{"a": "b"} },
		"the internet may be reached": func(p *networkingv1.NetworkPolicy) {
			p.Spec.Egress = append(p.Spec.Egress, networkingv1.NetworkPolicyEgressRule{To: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: "8.8.8.8/32"}}}})
		},
	} {
		p := fresh()
		for _, one := range p.Policies {
			if one.Namespace == "shop" && one.Name == "web" {
				change(one.NetworkPolicy)
			}
		}
		if proof := p.Prove(network.Options{}); !proof.Refused() {
			t.Errorf("%s: the proof does not see it", name)
		}
	}
}
