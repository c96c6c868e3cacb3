package network

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/manifest"
)

// read builds a snapshot of manifests.
func read(t testing.TB, yaml string) *cluster.Snapshot {
	t.Helper()
	b := cluster.NewBuilder("test", false)
	r := manifest.NewReader(b, "")
	r.Read("test.yaml", strings.NewReader(yaml))
	for _, p := range r.Outcome().Problems {
		t.Fatal(p)
	}
	return b.Snapshot()
}

// find is the end that a word names: an address or range, Kind:namespace/name, Node:name,
// or namespace/name for a pod.
func find(t testing.TB, w *World, word string) Endpoint {
	t.Helper()
	if p, err := netip.ParsePrefix(word); err == nil {
		return w.Outside(p)
	}
	if a, err := netip.ParseAddr(word); err == nil {
		return w.Address(a)
	}
	kind, name, ok := strings.Cut(word, ":")
	if !ok {
		kind, name = "Pod", word
	}
	ref := cluster.Ref{Kind: kind, Name: name}
	if ns, name, ok := strings.Cut(name, "/"); ok {
		ref.Namespace, ref.Name = ns, name
	}
	e, ok := w.Find(ref)
	if !ok {
		t.Fatalf("%s is not there", word)
	}
	return e
}

// ask answers "shop/front shop/cart TCP 80".
func ask(t testing.TB, w *World, question string) Answer {
	t.Helper()
	f := strings.Fields(question)
	port, err := strconv.Atoi(f[3])
	if err != nil {
		t.Fatal(err)
	}
	return w.Ask(find(t, w, f[0]), find(t, w, f[1]), corev1.Protocol(f[2]), int32(port))
}

// shop is what the policies of the table are for: three pods of a shop, one of another
// namespace, two that policies must not see, and a workload without pods.
const shop = `
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: sales}}
---
apiVersion: v1
kind: Namespace
metadata: {name: tools, labels: {team: ops}}
---
apiVersion: v1
kind: Node
metadata: {name: a, labels: {zone: one}}
spec: {podCIDR: 10.0.0.0/24}
status: {addresses: [{type: InternalIP, address: 192.168.0.1}]}
---
apiVersion: v1
kind: Node
metadata: {name: b, labels: {zone: two}}
spec: {podCIDR: 10.0.1.0/24}
status: {addresses: [{type: InternalIP, address: 192.168.0.2}]}
---
apiVersion: v1
kind: Pod
metadata: {name: front, namespace: shop, labels: {app: front}}
spec: {nodeName: a, containers: [{name: c, ports: [{name: http, containerPort: 8080}]}]}
status: {podIP: 10.0.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: cart, namespace: shop, labels: {app: cart}}
spec:
  nodeName: a
  initContainers:
  - {name: once, ports: [{name: once, containerPort: 7}]}
  - {name: proxy, restartPolicy: Always, ports: [{name: mesh, containerPort: 15001}]}
  containers:
  - {name: c, ports: [{name: http, containerPort: 9090}, {name: dns, containerPort: 53, protocol: UDP}, {name: dns, containerPort: 5353}]}
status: {podIP: 10.0.0.2}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
spec: {nodeName: b, containers: [{name: c, ports: [{name: sql, containerPort: 5432}]}]}
status: {podIP: 10.0.1.3}
---
apiVersion: v1
kind: Pod
metadata: {name: admin, namespace: tools, labels: {app: admin}}
spec: {nodeName: b, containers: [{name: c, ports: [{name: http, containerPort: 7070}]}]}
status: {podIP: 10.0.1.4}
---
apiVersion: v1
kind: Pod
metadata: {name: hostnet, namespace: shop, labels: {app: cart}}
spec: {nodeName: b, hostNetwork: true, containers: [{name: c}]}
status: {podIP: 192.168.0.2}
---
apiVersion: v1
kind: Pod
metadata: {name: done, namespace: shop, labels: {app: cart}}
spec: {nodeName: b, containers: [{name: c}]}
status: {podIP: 10.0.1.9, phase: Succeeded}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: mail, namespace: shop}
spec:
  selector: {matchLabels: {app: mail}}
  template:
    metadata: {labels: {app: mail}}
    spec: {containers: [{name: c, ports: [{name: smtp, containerPort: 2525}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {clusterIP: 10.96.0.10, selector: {app: cart}, ports: [{name: web, port: 80, targetPort: http}, {name: all, port: 90, targetPort: 9091}]}
---
apiVersion: v1
kind: Service
metadata: {name: direct, namespace: shop}
spec: {clusterIP: None, selector: {app: cart}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: away, namespace: shop}
spec: {type: ExternalName, externalName: example.com}
---
apiVersion: v1
kind: Service
metadata: {name: byhand, namespace: shop}
spec: {clusterIP: 10.96.0.11, ports: [{port: 80}]}
`

// policyOf is a NetworkPolicy of the shop with a spec in YAML's flow style.
func policyOf(name, spec string) string {
	return "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: " + name + ", namespace: shop}\nspec: " + spec + "\n"
}

func TestAsk(t *testing.T) {
	for _, tt := range []struct {
		name     string
		policies string
		profile  string // bulwark-lab if empty
		want     string // questions with their verdicts, a line each
	}{
		{
			name: "without policies everything passes",
			want: `
				shop/front shop/cart TCP 9090 allowed
				203.0.113.9 shop/front UDP 53 allowed
				shop/front 203.0.113.9 SCTP 53 allowed
				shop/front fd00::1 TCP 53 denied`,
		},
		{
			name:     "an empty ingress isolates the whole namespace and only it",
			policies: policyOf("a", "{podSelector: {}}"),
			want: `
				shop/front shop/cart TCP 9090 denied
				shop/front shop/db TCP 5432 denied
				shop/front tools/admin TCP 7070 allowed
				shop/front 203.0.113.9 TCP 443 allowed
				shop/cart shop/cart TCP 9090 allowed
				shop/front shop/hostnet TCP 8080 allowed
				shop/front 10.0.1.9 TCP 80 allowed
				Node:a shop/front TCP 8080 allowed
				Node:b shop/front TCP 8080 denied
				shop/hostnet shop/db TCP 5432 allowed
				shop/hostnet shop/cart TCP 9090 denied
				203.0.113.9 Deployment:shop/mail TCP 25 denied
				Node:a Deployment:shop/mail TCP 25 unknown
				0.0.0.0/0 shop/cart TCP 9090 denied`,
		},
		{
			name:     "policyTypes that name egress alone leave ingress open",
			policies: policyOf("a", "{podSelector: {matchLabels: {app: front}}, policyTypes: [Egress]}"),
			want: `
				shop/front shop/cart TCP 9090 denied
				shop/front Node:b TCP 10250 denied
				shop/front Node:a TCP 10250 allowed
				shop/cart shop/front TCP 8080 allowed`,
		},
		{
			name:     "egress rules without policyTypes isolate both directions",
			policies: policyOf("a", "{podSelector: {matchLabels: {app: front}}, egress: [{to: [{podSelector: {matchLabels: {app: cart}}}]}]}"),
			want: `
				shop/front shop/cart TCP 9090 allowed
				shop/front shop/hostnet TCP 9090 denied
				shop/front shop/db TCP 5432 denied
				shop/cart shop/front TCP 8080 denied`,
		},
		{
			name:     "both ends have to agree on one port",
			policies: policyOf("a", "{podSelector: {matchLabels: {app: front}}, policyTypes: [Egress], egress: [{ports: [{port: 80}]}]}") + policyOf("b", "{podSelector: {matchLabels: {app: cart}}, ingress: [{ports: [{port: 9090}]}]}"),
			want: `
				shop/front shop/cart TCP 80 denied
				shop/front shop/cart TCP 9090 denied
				shop/front shop/db TCP 80 allowed
				shop/db shop/cart TCP 9090 allowed`,
		},
		{
			name:     "selectors of one peer are and, peers are or",
			policies: policyOf("a", "{podSelector: {matchLabels: {app: cart}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: ops}}, podSelector: {matchLabels: {app: nobody}}}, {podSelector: {matchLabels: {app: db}}}]}]}"),
			want: `
				tools/admin shop/cart TCP 1 denied
				shop/db shop/cart TCP 1 allowed
				shop/front shop/cart TCP 1 denied`,
		},
		{
			name:     "the name of a namespace is its label, and what is missing is not in",
			policies: policyOf("a", "{podSelector: {matchLabels: {app: cart}}, ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: tools}}}, {podSelector: {matchExpressions: [{key: gone, operator: DoesNotExist}, {key: app, operator: NotIn, values: [front]}]}}]}]}"),
			want: `
				tools/admin shop/cart TCP 1 allowed
				shop/db shop/cart TCP 1 allowed
				shop/front shop/cart TCP 1 denied`,
		},
		{
			name:     "ports by name are the destination's, per protocol, with sidecars",
			policies: policyOf("a", "{podSelector: {}, ingress: [{ports: [{port: http}, {port: dns, protocol: UDP}, {port: mesh}, {port: once}]}]}"),
			want: `
				shop/db shop/cart TCP 9090 allowed
				shop/db shop/cart TCP 8080 denied
				shop/db shop/front TCP 8080 allowed
				shop/db shop/cart UDP 53 allowed
				shop/db shop/cart TCP 5353 denied
				shop/db shop/cart TCP 15001 allowed
				shop/db shop/cart TCP 7 denied`,
		},
		{
			name:     "a port by name meets no address",
			policies: policyOf("a", "{podSelector: {matchLabels: {app: front}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: http}]}]}"),
			want: `
				shop/front 203.0.113.9 TCP 8080 denied
				shop/front shop/cart TCP 9090 allowed`,
		},
		{
			name:     "endPort is in",
			policies: policyOf("a", "{podSelector: {}, ingress: [{ports: [{port: 100, endPort: 200}, {port: 300, protocol: SCTP}]}]}"),
			want: `
				shop/db shop/cart TCP 99 denied
				shop/db shop/cart TCP 100 allowed
				shop/db shop/cart TCP 200 allowed
				shop/db shop/cart TCP 201 denied
				shop/db shop/cart TCP 300 denied
				shop/db shop/cart SCTP 300 allowed`,
		},
		{
			name:     "ipBlock with exceptions, which another rule may take back",
			policies: policyOf("a", "{podSelector: {matchLabels: {app: cart}}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/16, except: [10.0.1.0/24]}}]}, {from: [{ipBlock: {cidr: 10.0.1.4/32}}]}]}"),
			want: `
				shop/front shop/cart TCP 1 allowed
				shop/db shop/cart TCP 1 denied
				tools/admin shop/cart TCP 1 allowed
				10.0.1.200 shop/cart TCP 1 denied
				10.0.2.200 shop/cart TCP 1 allowed
				10.0.0.0/15 shop/cart TCP 1 allowed
				Deployment:shop/mail shop/cart TCP 1 unknown
				fd00::1 shop/cart TCP 1 denied`,
		},
		{
			name:     "Cilium's blocks are not for pods",
			profile:  "cilium",
			policies: policyOf("a", "{podSelector: {matchLabels: {app: cart}}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}"),
			want: `
				shop/front shop/cart TCP 1 denied
				Deployment:shop/mail shop/cart TCP 1 denied
				Node:b shop/cart TCP 1 denied
				203.0.113.9 shop/cart TCP 1 allowed`,
		},
		{
			name:     "of a network that is not known, blocks may be for pods",
			profile:  "unknown",
			policies: policyOf("a", "{podSelector: {matchLabels: {app: cart}}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/24}}]}]}"),
			want: `
				shop/front shop/cart TCP 1 unknown
				shop/db shop/cart TCP 1 denied
				Deployment:shop/mail shop/cart TCP 1 unknown
				203.0.113.9 shop/cart TCP 1 denied`,
		},
		{
			name:     "flannel enforces nothing",
			profile:  "none",
			policies: policyOf("a", "{podSelector: {}}"),
			want:     `shop/front shop/cart TCP 9090 allowed`,
		},
		{
			name:     "Services are asked at their pods",
			policies: policyOf("a", "{podSelector: {matchLabels: {app: cart}}, ingress: [{ports: [{port: http}]}]}"),
			want: `
				shop/front Service:shop/cart TCP 80 allowed
				shop/front 10.96.0.10 TCP 80 allowed
				shop/front Service:shop/cart TCP 8080 denied
				shop/front Service:shop/direct TCP 9090 allowed
				shop/front Service:shop/away TCP 80 allowed
				shop/front Service:shop/byhand TCP 80 unknown
				shop/cart Service:shop/cart TCP 80 allowed`,
		},
		{
			name:     "where another name leads is not known",
			policies: policyOf("a", "{podSelector: {matchLabels: {app: front}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 203.0.113.0/24}}]}, {to: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: 443}]}]}"),
			want: `
				shop/front Service:shop/away TCP 80 unknown
				shop/front Service:shop/away TCP 443 allowed`,
		},
		{
			name:     "what cannot be read is unknown, and the rest is not",
			policies: policyOf("a", "{podSelector: {matchLabels: {app: cart}}, ingress: [{from: [{ipBlock: {cidr: 010.0.0.0/8}}, {podSelector: {matchLabels: {app: db}}}], ports: [{port: 80}]}]}"),
			want: `
				shop/front shop/cart TCP 80 unknown
				shop/front shop/cart TCP 81 denied
				shop/db shop/cart TCP 80 allowed`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name := tt.profile
			if name == "" {
				name = "bulwark-lab"
			}
			profile, ok := FindProfile(name)
			if !ok {
				t.Fatal(name)
			}
			w := New(read(t, shop+tt.policies), Options{Profile: profile})
			for line := range strings.Lines(tt.want) {
				line = strings.TrimSpace(line)
				at := strings.LastIndex(line, " ")
				if at < 0 {
					continue
				}
				question, want := line[:at], line[at+1:]
				got := ask(t, w, question)
				if got.Verdict.String() != want {
					t.Errorf("%s: %s, want %s\negress %s\ningress %s\n%s", question, got.Verdict, want, got.Egress.Reason, got.Ingress.Reason, got.Reason)
				}
				if got.Verdict == Unknown && got.Reason == "" && len(got.Egress.Doubts)+len(got.Ingress.Doubts) == 0 {
					t.Errorf("%s is unknown without a reason", question)
				}
				f := strings.Fields(question)
				if strings.HasPrefix(f[1], "Service:") || f[1] == "10.96.0.10" {
					continue
				}
				port, _ := strconv.Atoi(f[3])
				all := w.Connections(find(t, w, f[0]), find(t, w, f[1]))
				if v := all.Of(corev1.Protocol(f[2]), int32(port)); v != got.Verdict {
					t.Errorf("%s is %s alone and %s among all ports", question, got.Verdict, v)
				}
			}
		})
	}
}
