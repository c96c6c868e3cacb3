package suggest

import (
	"cmp"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/segment"
)

// A Port is one port of one protocol.
type Port struct {
	Protocol corev1.Protocol
	Number   uint16
}

func (p Port) String() string { return string(p.Protocol) + "/" + strconv.Itoa(int(p.Number)) }

func (p Port) compare(o Port) int {
	return cmp.Or(cmp.Compare(p.Number, o.Number), strings.Compare(string(p.Protocol), string(o.Protocol)))
}

// A Peer is one end of a wanted connection. Exactly one of its fields is set; the zero
// Peer is everybody, in the cluster and outside of it.
type Peer struct {
	Group *Group
	// Namespace is every pod of one; AllPods every pod of the cluster.
	Namespace string
	AllPods   bool
	// Net is a range of addresses that are no pods'.
	Net netip.Prefix
}

func (p Peer) String() string {
	switch {
	case p.Group != nil:
		return p.Group.String()
	case p.Namespace != "":
		return "namespace " + p.Namespace
	case p.AllPods:
		return "every pod"
	case p.Net.IsValid():
		return p.Net.String()
	}
	return "everybody"
}

// rank orders peers by how narrow they are.
func (p Peer) rank() int {
	switch {
	case p.Group != nil:
		return 0
	case p.Namespace != "":
		return 1
	case p.AllPods:
		return 2
	case p.Net.IsValid():
		return 3
	}
	return 4
}

func (p Peer) compare(o Peer) int {
	if c := cmp.Compare(p.rank(), o.rank()); c != 0 {
		return c
	}
	if p.Group != nil {
		return p.Group.Ref.Compare(o.Group.Ref)
	}
	return cmp.Or(strings.Compare(p.Namespace, o.Namespace), p.Net.Addr().Compare(o.Net.Addr()), cmp.Compare(p.Net.Bits(), o.Net.Bits()))
}

// An Edge is one connection that is wanted. One from everybody, or from every pod, says who
// may come in: a workload of the plan's own namespaces is let out by edges of its own.
type Edge struct {
	From, To Peer
	Port     Port
}

func (e Edge) String() string { return fmt.Sprintf("%s to %s %s", e.From, e.To, e.Port) }

// wants collects edges and what there is to say of them.
type wants struct {
	edges map[Edge]bool
	notes []string
	noted map[string]bool
}

func newWants() *wants { return &wants{edges: map[Edge]bool{}, noted: map[string]bool{}} }

func (w *wants) add(from, to Peer, p Port) { w.edges[Edge{from, to, p}] = true }

func (w *wants) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !w.noted[text] {
		w.noted[text] = true
		w.notes = append(w.notes, text)
	}
}

// resolvers are the groups that answer names, and the ports they answer on.
func resolvers(all []*Group, svcs []service) map[*Group][]Port {
	out := map[*Group][]Port{}
	for _, svc := range svcs {
		if svc.ref.Namespace != metav1.NamespaceSystem && !strings.Contains(svc.ref.Name, "dns") {
			continue
		}
		for _, port := range svc.spec.Spec.Ports {
			if port.Port != 53 {
				continue
			}
			for _, g := range svc.groups {
				if !g.Host {
					out[g] = append(out[g], targets(g, port)...)
				}
			}
		}
	}
	if len(out) > 0 {
		return out
	}
	for _, g := range all {
		if g.Ref.Namespace == metav1.NamespaceSystem && g.stable["k8s-app"] == "kube-dns" && !g.Host {
			out[g] = []Port{{corev1.ProtocolUDP, 53}, {corev1.ProtocolTCP, 53}}
		}
	}
	return out
}

// declaredWants are the connections that the objects speak of: within a namespace, whatever
// is declared; across namespaces, what is mentioned by name; from outside, what is
// published.
func declaredWants(s *cluster.Snapshot, all []*Group, svcs []service, target func(string) bool) *wants {
	w := newWants()
	for _, g := range all {
		if g.Host || !target(g.Ref.Namespace) {
			continue
		}
		for _, spec := range g.Specs {
			for port := range declared(spec) {
				w.add(Peer{Namespace: g.Ref.Namespace}, Peer{Group: g}, port)
			}
		}
	}
	published := ingressed(s)
	byName := map[string][]service{}
	for _, svc := range svcs {
		byName[svc.ref.Namespace+"/"+svc.ref.Name] = append(byName[svc.ref.Namespace+"/"+svc.ref.Name], svc)
		for _, g := range svc.groups {
			if g.Host || !target(g.Ref.Namespace) {
				continue
			}
			for _, port := range svc.spec.Spec.Ports {
				for _, t := range targets(g, port) {
					w.add(Peer{Namespace: g.Ref.Namespace}, Peer{Group: g}, t)
					switch {
					case svc.spec.Spec.Type == corev1.ServiceTypeLoadBalancer, svc.spec.Spec.Type == corev1.ServiceTypeNodePort, len(svc.spec.Spec.ExternalIPs) > 0:
						w.add(Peer{}, Peer{Group: g}, t)
					case published[svc.ref]:
						w.add(Peer{AllPods: true}, Peer{Group: g}, t)
						w.note("%s is behind an Ingress or a route: every pod may reach it, because which of them is the controller is not declared (--observed tells); a controller in one of these namespaces is not let out to it", g)
					}
				}
			}
		}
	}
	for _, g := range all {
		if g.Host {
			continue
		}
		for m := range mentions(g) {
			for _, svc := range byName[cmp.Or(m.namespace, g.Ref.Namespace)+"/"+m.name] {
				for _, to := range svc.groups {
					if to.Host || to == g || !target(g.Ref.Namespace) && !target(to.Ref.Namespace) {
						continue
					}
					for _, port := range svc.spec.Spec.Ports {
						if m.port != 0 && m.port != port.Port {
							continue
						}
						for _, t := range targets(to, port) {
							w.add(Peer{Group: g}, Peer{Group: to}, t)
						}
					}
				}
			}
		}
	}
	return w
}

// ingressed are the Services that an Ingress or a Gateway's route leads to.
func ingressed(s *cluster.Snapshot) map[cluster.Ref]bool {
	out := map[cluster.Ref]bool{}
	put := func(namespace, name string) {
		out[cluster.Ref{Kind: "Service", Namespace: namespace, Name: name}] = true
	}
	for o, ing := range cluster.All[*networkingv1.Ingress](s, "Ingress") {
		if b := ing.Spec.DefaultBackend; b != nil && b.Service != nil {
			put(o.Namespace, b.Service.Name)
		}
		for _, rule := range ing.Spec.Rules {
			if rule.HTTP == nil {
				continue
			}
			for _, p := range rule.HTTP.Paths {
				if p.Backend.Service != nil {
					put(o.Namespace, p.Backend.Service.Name)
				}
			}
		}
	}
	for _, kind := range segment.RouteKinds {
		for o, route := range cluster.All[*cluster.Custom](s, kind) {
			rules, _ := route.Field("spec.rules").([]any)
			for _, r := range rules {
				rule, _ := r.(map[string]any)
				refs, _ := rule["backendRefs"].([]any)
				for _, b := range refs {
					ref, _ := b.(map[string]any)
					name, _ := ref["name"].(string)
					namespace, _ := ref["namespace"].(string)
					if kind, ok := ref["kind"].(string); !ok || kind == "Service" {
						put(cmp.Or(namespace, o.Namespace), name)
					}
				}
			}
		}
	}
	return out
}

// A mention is a Service's name in a container's environment or arguments.
type mention struct {
	namespace, name string
	port            int32 // 0 where none stands beside it
}

// hostname finds what could be a Service's DNS name, with what stands around it. A bare
// word is a name only where it is the whole text, or an address's host.
var hostname = regexp.MustCompile(`(^|[^-a-zA-Z0-9._])([a-z]([-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)\.?(?::([0-9]{1,5}))?($|[^-a-zA-Z0-9._])`)

// mentions iterates over the names in a group's containers. Nothing else of the texts is
// looked at, and nothing of them is kept.
func mentions(g *Group) func(func(mention) bool) {
	return func(yield func(mention) bool) {
		for _, spec := range g.Specs {
			for _, c := range spec.Containers {
				texts := slices.Concat(c.Command, c.Args)
				for _, e := range c.Env {
					texts = append(texts, e.Value)
				}
				for _, text := range texts {
					for _, m := range named(text) {
						if !yield(m) {
							return
						}
					}
				}
			}
		}
	}
}

func named(text string) []mention {
	var out []mention
	for at := 0; at < len(text); {
		m := hostname.FindStringSubmatchIndex(text[at:])
		if m == nil {
			break
		}
		before, host := text[:at+m[3]], text[at+m[4]:at+m[5]]
		whole := m[4]+at == 0 && m[1]+at == len(text)
		var one mention
		if m[10] >= 0 {
			n, _ := strconv.Atoi(text[at+m[10] : at+m[11]])
			one.port = int32(n) //nolint:gosec // five digits
		}
		host = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(host, ".cluster.local"), ".svc"), ".")
		parts := strings.Split(host, ".")
		switch {
		case len(parts) == 2:
			one.name, one.namespace = parts[0], parts[1]
			out = append(out, one)
		case len(parts) == 3:
			// A pod of a headless Service: POD.SERVICE.NAMESPACE.svc.
			one.name, one.namespace = parts[1], parts[2]
			out = append(out, one)
		case len(parts) == 1 && (whole || one.port != 0 || strings.HasSuffix(before, "//") || strings.HasSuffix(before, "@")):
			one.name = host
			out = append(out, one)
		}
		at += max(m[5], 1) // the character after a name may begin the next
	}
	return out
}
