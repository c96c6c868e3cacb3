package reach

import (
	"cmp"
	"encoding/json"
	"iter"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// Fronted are the facts that Fronts is told from.
var Fronted = []cluster.Need{
	cluster.Ingresses, cluster.Gateways, cluster.HTTPRoutes, cluster.GRPCRoutes, cluster.TLSRoutes,
	cluster.TCPRoutes, cluster.UDPRoutes, cluster.ReferenceGrants, cluster.Namespaces,
}

// Fronts are the Services that are led to from outside, each with what leads there first,
// an Ingress or the route of a Gateway; and all that is open to the outside itself.
func Fronts(s *cluster.Snapshot) (before map[cluster.Ref]cluster.Ref, open []cluster.Ref) {
	before = map[cluster.Ref]cluster.Ref{}
	lead := func(from cluster.Ref, namespace, name string) {
		ref := cluster.Ref{Kind: "Service", Namespace: namespace, Name: name}
		if _, ok := before[ref]; !ok {
			before[ref] = from
		}
	}
	for o, ing := range cluster.All[*networkingv1.Ingress](s, "Ingress") {
		open = append(open, o.Ref)
		for name := range backends(ing) {
			lead(o.Ref, o.Namespace, name)
		}
	}
	gateways := map[cluster.Ref]*gateway{}
	for o, c := range cluster.All[*cluster.Custom](s, "Gateway") {
		gateways[o.Ref] = decode[gateway](c)
		open = append(open, o.Ref)
	}
	grants := grantsOf(s)
	for _, kind := range []string{"HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute"} {
		for o, c := range cluster.All[*cluster.Custom](s, kind) {
			r := decode[route](c)
			if !attached(s, o, r, gateways) {
				continue
			}
			open = append(open, o.Ref)
			for _, rule := range r.Spec.Rules {
				for _, b := range rule.BackendRefs {
					if b.Group != "" || b.Kind != "" && b.Kind != "Service" || b.Weight != nil && *b.Weight == 0 {
						continue
					}
					if b.Namespace == "" || b.Namespace == o.Namespace || grants.allow(o, b) {
						lead(o.Ref, cmp.Or(b.Namespace, o.Namespace), b.Name)
					}
				}
			}
		}
	}
	return before, open
}

// backends are the names of the Services that an Ingress leads to.
func backends(ing *networkingv1.Ingress) iter.Seq[string] {
	return func(yield func(string) bool) {
		name := func(b *networkingv1.IngressBackend) bool {
			return b == nil || b.Service == nil || yield(b.Service.Name)
		}
		if !name(ing.Spec.DefaultBackend) {
			return
		}
		for _, rule := range ing.Spec.Rules {
			if rule.HTTP == nil {
				continue
			}
			for i := range rule.HTTP.Paths {
				if !name(&rule.HTTP.Paths[i].Backend) {
					return
				}
			}
		}
	}
}

// The parts of the Gateway API that say where requests go
// (sigs.k8s.io/gateway-api/apis/v1).
type gateway struct {
	Spec struct {
		Listeners []listener `json:"listeners"`
	} `json:"spec"`
}

type listener struct {
	Name          string `json:"name"`
	Port          int    `json:"port"`
	Protocol      string `json:"protocol"`
	AllowedRoutes struct {
		Namespaces struct {
			From     string                `json:"from"`
			Selector *metav1.LabelSelector `json:"selector"`
		} `json:"namespaces"`
		Kinds []struct {
			Kind string `json:"kind"`
		} `json:"kinds"`
	} `json:"allowedRoutes"`
}

type route struct {
	Spec struct {
		ParentRefs []parent `json:"parentRefs"`
		Rules      []struct {
			BackendRefs []backend `json:"backendRefs"`
		} `json:"rules"`
	} `json:"spec"`
}

type parent struct {
	Kind        string `json:"kind"`
	Namespace   string `json:"namespace"`
	Name        string `json:"name"`
	SectionName string `json:"sectionName"`
	Port        int    `json:"port"`
}

type backend struct {
	Group     string `json:"group"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Weight    *int   `json:"weight"`
}

// decode reads the fields that are known; a field of another type is as if it were not
// there, which the API's own server does not let through.
func decode[T any](c *cluster.Custom) *T {
	out := new(T)
	if raw, err := json.Marshal(c.Content); err == nil {
		_ = json.Unmarshal(raw, out)
	}
	return out
}

// attached reports whether a listener of a Gateway takes the route. Hostnames are not
// compared. In files, a Gateway may be elsewhere, and then takes it.
func attached(s *cluster.Snapshot, o *cluster.Object, r *route, gateways map[cluster.Ref]*gateway) bool {
	for _, p := range r.Spec.ParentRefs {
		if p.Kind != "" && p.Kind != "Gateway" {
			continue // a Service, within a mesh
		}
		ref := cluster.Ref{Kind: "Gateway", Namespace: cmp.Or(p.Namespace, o.Namespace), Name: p.Name}
		g, ok := gateways[ref]
		if !ok {
			if !s.Live {
				return true
			}
			continue
		}
		for i := range g.Spec.Listeners {
			l := &g.Spec.Listeners[i]
			if (p.SectionName == "" || p.SectionName == l.Name) && (p.Port == 0 || p.Port == l.Port) && l.takes(o.Kind) && l.admits(s, ref.Namespace, o.Namespace) {
				return true
			}
		}
	}
	return false
}

// served are the kinds of routes of each protocol, where the listener names none.
var served = map[string]map[string]bool{
	"HTTP":  {"HTTPRoute": true, "GRPCRoute": true},
	"HTTPS": {"HTTPRoute": true, "GRPCRoute": true},
	"TLS":   {"TLSRoute": true, "TCPRoute": true},
	"TCP":   {"TCPRoute": true},
	"UDP":   {"UDPRoute": true},
}

func (l *listener) takes(kind string) bool {
	for _, k := range l.AllowedRoutes.Kinds {
		if k.Kind == kind {
			return true
		}
	}
	kinds, known := served[l.Protocol]
	return len(l.AllowedRoutes.Kinds) == 0 && (!known || kinds[kind])
}

// admits reports whether the listener of a Gateway takes routes of a namespace; from its
// own alone, where it does not say.
func (l *listener) admits(s *cluster.Snapshot, own, namespace string) bool {
	switch n := l.AllowedRoutes.Namespaces; n.From {
	case "All":
		return true
	case "None":
		return false
	case "Selector":
		selector, err := metav1.LabelSelectorAsSelector(n.Selector)
		if err != nil {
			return false
		}
		o := s.Get(cluster.Ref{Kind: "Namespace", Name: namespace})
		if o == nil {
			return !s.Live // its labels are elsewhere
		}
		return selector.Matches(labels.Set(o.Meta.Labels))
	default:
		return own == namespace
	}
}

// grants are the ReferenceGrants by the namespace that gives them.
type grants map[string][]*referenceGrant

type referenceGrant struct {
	Spec struct {
		From []struct {
			Kind      string `json:"kind"`
			Namespace string `json:"namespace"`
		} `json:"from"`
		To []struct {
			Group string `json:"group"`
			Kind  string `json:"kind"`
			Name  string `json:"name"`
		} `json:"to"`
	} `json:"spec"`
}

func grantsOf(s *cluster.Snapshot) grants {
	out := grants{}
	for o, c := range cluster.All[*cluster.Custom](s, "ReferenceGrant") {
		out[o.Namespace] = append(out[o.Namespace], decode[referenceGrant](c))
	}
	return out
}

// allow reports whether a route may lead to a Service in another namespace.
func (g grants) allow(o *cluster.Object, b backend) bool {
	for _, one := range g[b.Namespace] {
		for _, from := range one.Spec.From {
			if from.Kind != o.Kind || from.Namespace != o.Namespace {
				continue
			}
			for _, to := range one.Spec.To {
				if to.Group == "" && to.Kind == "Service" && (to.Name == "" || to.Name == b.Name) {
					return true
				}
			}
		}
	}
	return false
}
