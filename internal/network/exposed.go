package network

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"sync"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// A Way leads from outside the cluster to a port of a workload. Whether a firewall stands
// before it is not known here.
type Way struct {
	// Kind is LoadBalancer, NodePort, ExternalIP, Ingress, a kind of a Gateway's routes,
	// HostPort or HostNetwork.
	Kind string
	// Through is the Service, Ingress or route; the workload itself for a host's port.
	Through cluster.Ref
	// Outer is the port that is asked from outside; 0 for an Ingress or a route.
	Outer int32
	To    cluster.Ref
	// Protocol and Port are the workload's own.
	Protocol corev1.Protocol
	Port     int32
	// Verdict is what the policies say, and Reason why.
	Verdict Verdict
	Reason  string
	// Some reports that it is open to some addresses only; From is one of them.
	Some bool
	From string
}

// routes are the kinds by which a Gateway leads to Services.
var routes = []string{"HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute"}

// everybody is all addresses outside.
var everybody = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}

// outside is everybody in the ranges, in one end.
func (w *World) outside(ranges []netip.Prefix) Endpoint {
	var e Endpoint
	for _, p := range ranges {
		e.groups = append(e.groups, w.Outside(p).groups...)
	}
	return e
}

// Exposed returns every way into the cluster, by workload.
func (w *World) Exposed() []Way {
	var out []Way
	anyone := w.outside(everybody)
	for o, svc := range cluster.All[*corev1.Service](w.snapshot, "Service") {
		out = append(out, w.serviceWays(o, svc, anyone)...)
	}
	sums := sync.OnceValues(w.fromPods) // only where there is a route
	for o, ing := range cluster.All[*networkingv1.Ingress](w.snapshot, "Ingress") {
		for _, b := range ingressBackends(ing) {
			out = append(out, w.routeWays("Ingress", o, o.Namespace, b.Name, b.Port.Number, b.Port.Name, sums)...)
		}
	}
	for _, kind := range routes {
		for o, route := range cluster.All[*cluster.Custom](w.snapshot, kind) {
			for _, b := range routeBackends(route, o.Namespace) {
				out = append(out, w.routeWays(kind, o, b.namespace, b.name, b.port, "", sums)...)
			}
		}
	}
	for i := range w.members {
		out = append(out, w.hostWays(int32(i), anyone)...)
	}
	slices.SortStableFunc(out, func(a, b Way) int {
		return cmp.Or(a.To.Compare(b.To), cmp.Compare(a.Kind, b.Kind), a.Through.Compare(b.Through), cmp.Compare(a.Outer, b.Outer), cmp.Compare(a.Port, b.Port))
	})
	return slices.Compact(out)
}

// first is one of the points, of an end that has some.
func (e Endpoint) first() point { return e.groups[0][0] }

// serviceWays are the ways through a Service that is open to the outside itself.
func (w *World) serviceWays(o *cluster.Object, svc *corev1.Service, anyone Endpoint) []Way {
	type entry struct {
		kind   string
		outer  func(p *corev1.ServicePort) int32
		policy corev1.ServiceExternalTrafficPolicy
		from   Endpoint
	}
	var entries []entry
	policy := cmp.Or(svc.Spec.ExternalTrafficPolicy, corev1.ServiceExternalTrafficPolicyCluster)
	from := anyone
	if svc.Spec.Type == corev1.ServiceTypeLoadBalancer {
		var ranges []netip.Prefix
		for _, r := range svc.Spec.LoadBalancerSourceRanges {
			if p, err := parsePrefix(r); err == nil {
				ranges = append(ranges, p)
			}
		}
		narrowed := anyone
		if len(ranges) > 0 {
			narrowed = w.outside(ranges)
		}
		entries = append(entries, entry{"LoadBalancer", func(p *corev1.ServicePort) int32 { return p.Port }, policy, narrowed})
	}
	nodePorts := svc.Spec.Type == corev1.ServiceTypeNodePort ||
		svc.Spec.Type == corev1.ServiceTypeLoadBalancer && (svc.Spec.AllocateLoadBalancerNodePorts == nil || *svc.Spec.AllocateLoadBalancerNodePorts)
	if nodePorts {
		entries = append(entries, entry{"NodePort", func(p *corev1.ServicePort) int32 { return p.NodePort }, policy, from})
	}
	if len(svc.Spec.ExternalIPs) > 0 {
		entries = append(entries, entry{"ExternalIP", func(p *corev1.ServicePort) int32 { return p.Port }, policy, from})
	}
	var out []Way
	for _, e := range entries {
		for i := range svc.Spec.Ports {
			p := &svc.Spec.Ports[i]
			protocol := cmp.Or(p.Protocol, corev1.ProtocolTCP)
			backends, _ := w.behind(o, protocol, p.Port)
			for _, b := range backends {
				way := Way{Kind: e.kind, Through: o.Ref, Outer: e.outer(p), To: w.owner(b.end), Protocol: protocol, Port: b.port}
				w.judgeWay(&way, e.from, b.end, e.policy == corev1.ServiceExternalTrafficPolicyCluster)
				out = append(out, way)
			}
		}
	}
	return out
}

func (w *World) owner(e Endpoint) cluster.Ref { return w.members[e.first().member].owner }

// judgeWay asks for everybody outside. With masked, the node that takes a connection may
// put its own address in the place of the client's before the policies see it
// (k8s.io/api/core/v1/types.go, ServiceExternalTrafficPolicyCluster).
func (w *World) judgeWay(way *Way, from, to Endpoint, masked bool) {
	port := OnePort(way.Protocol, way.Port)
	a := w.askPoints(from, to, port)
	way.Verdict, way.Some, way.From = a.Verdict, false, ""
	way.Reason = cmp.Or(a.Reason, a.Ingress.Reason)
	if a.Verdict == Allowed {
		w.pairs(from, to, func(p, q point, near Tri) {
			if common(p.side, q.side) != nil && w.outcome(p, q, near, port).connections().Of(way.Protocol, way.Port) != Allowed {
				way.Some, way.From = true, a.From
			}
		})
	}
	if !masked || to.first().side.kind == hostKind || w.classes[w.members[to.first().member].class].lists[Ingress] == nil {
		return
	}
	if a.Verdict != Allowed || way.Some {
		way.Verdict, way.Some, way.From = Unknown, false, ""
		way.Reason = "the node that takes the connection may answer for its client (externalTrafficPolicy Cluster), and nodes reach their own pods: " + way.Reason
	}
}

// routeWays are the ways through what a controller inside the cluster carries on. Which
// pods that controller is made of is not known.
func (w *World) routeWays(kind string, o *cluster.Object, namespace, name string, port int32, portName string, sums func() (every, some []*outcome)) []Way {
	svc := w.services[cluster.Ref{Kind: "Service", Namespace: namespace, Name: name}]
	if svc == nil {
		return nil
	}
	every, some := sums()
	var out []Way
	for i := range svc.Spec.Ports {
		p := &svc.Spec.Ports[i]
		if p.Port != port && (portName == "" || p.Name != portName) {
			continue
		}
		protocol := cmp.Or(p.Protocol, corev1.ProtocolTCP)
		backends, _ := w.behind(w.snapshot.Get(cluster.Ref{Kind: "Service", Namespace: namespace, Name: name}), protocol, p.Port)
		for _, b := range backends {
			way := Way{Kind: kind, Through: o.Ref, To: w.owner(b.end), Protocol: protocol, Port: b.port}
			c := w.members[b.end.first().member].class
			outside := w.askPoints(w.outside(everybody), b.end, OnePort(protocol, b.port))
			switch {
			case w.classes[c].lists[Ingress] == nil:
				way.Verdict, way.Reason = Allowed, "no policy isolates it for ingress"
			case every[c] == nil:
				way.Reason = "which pods carry it on is not known"
			case every[c].connections().Of(protocol, b.port) == Allowed:
				way.Verdict, way.Reason = Allowed, "every pod may open it"
			case some[c].connections().Of(protocol, b.port) == Denied && outside.Verdict == Denied:
				way.Verdict, way.Reason = Denied, "no pod may open it, and nobody outside"
			default:
				way.Reason = "it depends on which pods carry it on: some may open it and some may not"
			}
			out = append(out, way)
		}
	}
	return out
}

func ingressBackends(ing *networkingv1.Ingress) []networkingv1.IngressServiceBackend {
	var out []networkingv1.IngressServiceBackend
	add := func(b *networkingv1.IngressBackend) {
		if b != nil && b.Service != nil {
			out = append(out, *b.Service)
		}
	}
	add(ing.Spec.DefaultBackend)
	for _, rule := range ing.Spec.Rules {
		if rule.HTTP == nil {
			continue
		}
		for i := range rule.HTTP.Paths {
			add(&rule.HTTP.Paths[i].Backend)
		}
	}
	return out
}

type routeBackend struct {
	namespace, name string
	port            int32
}

// routeBackends are the Services that a route leads to
// (sigs.k8s.io/gateway-api/apis/v1, BackendObjectReference).
func routeBackends(route *cluster.Custom, namespace string) []routeBackend {
	var out []routeBackend
	rules, _ := route.Field("spec.rules").([]any)
	for _, r := range rules {
		rule, _ := r.(map[string]any)
		refs, _ := rule["backendRefs"].([]any)
		for _, b := range refs {
			ref, _ := b.(map[string]any)
			if kind, ok := ref["kind"].(string); ok && kind != "Service" {
				continue
			}
			name, _ := ref["name"].(string)
			in, _ := ref["namespace"].(string)
			port, _ := strconv.ParseInt(fmt.Sprint(ref["port"]), 10, 32)
			if name != "" && port > 0 && port <= maxPort {
				out = append(out, routeBackend{cmp.Or(in, namespace), name, int32(port)})
			}
		}
	}
	return out
}

// hostWays are a pod's ports on its node.
func (w *World) hostWays(i int32, anyone Endpoint) []Way {
	m := &w.members[i]
	var out []Way
	for _, c := range m.spec.Containers {
		for _, p := range c.Ports {
			protocol := cmp.Or(p.Protocol, corev1.ProtocolTCP)
			way := Way{Through: m.owner, To: m.owner, Outer: p.HostPort, Protocol: protocol, Port: p.ContainerPort}
			switch {
			case m.spec.Spec.HostNetwork:
				// A declared port is the node's too (pkg/apis/core/v1/defaults.go, SetDefaults_Pod).
				way.Kind, way.Outer = "HostNetwork", p.ContainerPort
				way.Verdict, way.Reason = Allowed, "policies are not for pods on their nodes' networks"
			case p.HostPort != 0:
				way.Kind = "HostPort"
				w.judgeWay(&way, anyone, w.membersEnd(m.owner, []int32{i}), false)
			default:
				continue
			}
			out = append(out, way)
		}
	}
	return out
}

// A Target is a part of the cluster that pods should not reach without need.
type Target struct {
	Name     string // "kubelet", "etcd", "API server", "cloud metadata"
	Protocol corev1.Protocol
	Port     int32
	end      Endpoint
}

// A Reach is whether a workload gets to a Target.
type Reach struct {
	Target  Target
	From    cluster.Ref
	Verdict Verdict
	Reason  string
}

// metadata is where clouds tell a machine its credentials.
var metadata = netip.MustParseAddr("169.254.169.254")

// Targets are the API server, every node's kubelet, etcd, and the cloud's metadata
// service. The first and the third are on nodes that are called control planes; in a
// cluster that shows none, they are somewhere.
func (w *World) Targets() []Target {
	var all, control []point
	for i := range w.hosts {
		h := &w.hosts[i]
		p := point{side: h.side, member: -1, node: h.name}
		all = append(all, p)
		if _, is := h.object.Meta.Labels["node-role.kubernetes.io/control-plane"]; is || w.runs("kube-apiserver", h.name) {
			control = append(control, p)
		}
	}
	end := func(points []point) Endpoint {
		if len(points) == 0 {
			return Endpoint{groups: one(point{side: elsewhere, member: -1})}
		}
		return Endpoint{groups: alike(points)}
	}
	return []Target{
		{"API server", corev1.ProtocolTCP, w.securePort(), end(control)},
		{"kubelet", corev1.ProtocolTCP, 10250, end(all)},
		{"etcd", corev1.ProtocolTCP, 2379, end(control)},
		{"cloud metadata", corev1.ProtocolTCP, 80, w.Outside(netip.PrefixFrom(metadata, 32))},
	}
}

// elsewhere is an address outside of which nothing is known.
var elsewhere = &side{kind: addressKind, cells: [families]int32{unknown, unknown, unknown}, ports: noNames}

func (w *World) runs(component, machine string) bool {
	return slices.ContainsFunc(w.snapshot.Components(component), func(c *cluster.Component) bool { return c.Machine == machine })
}

// securePort is the API server's port; 6443 where it does not tell.
func (w *World) securePort() int32 {
	for _, c := range w.snapshot.Components("kube-apiserver") {
		if n, err := strconv.ParseInt(c.Flags.Get("secure-port", "6443"), 10, 32); err == nil {
			return int32(n)
		}
	}
	return 6443
}

// Reaches tells for each workload with a network of its own which Targets it gets to.
func (w *World) Reaches() []Reach {
	targets := w.Targets()
	var out []Reach
	for _, e := range w.Workloads() {
		own := e // without pods on their nodes' networks, which are nodes here
		own.groups = slices.DeleteFunc(slices.Clone(e.groups), func(g []point) bool { return g[0].side.kind != podKind })
		if len(own.groups) == 0 {
			continue
		}
		for _, t := range targets {
			a := w.askPoints(own, t.end, OnePort(t.Protocol, t.Port))
			out = append(out, Reach{t, e.Ref, a.Verdict, cmp.Or(a.Reason, a.Egress.Reason)})
		}
	}
	return out
}
