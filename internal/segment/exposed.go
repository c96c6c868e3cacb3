package segment

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/network"
)

// A Door is a way from outside of the cluster to pods.
type Door struct {
	// How it opens: LoadBalancer, NodePort, externalIPs, Ingress, Gateway, hostPort,
	// hostNetwork.
	How string
	// By is the object that opens it.
	By cluster.Ref
	// At is where it is knocked at, as far as the objects say.
	At string
	// Ports is what is knocked at, and where it leads: "TCP 80 to 8080".
	Ports string
	// Limits are ranges of addresses that it is open to, if not to everybody.
	Limits []string
	Behind []Behind
}

// Behind is a workload behind a door, and what policies say of those who come through it.
type Behind struct {
	Workload string
	Verdict  network.Verdict
	// Part: not from everywhere, or not to all of its pods.
	Part   bool
	Reason string
}

// A Target is something that pods should rarely reach, and which of them may.
type Target struct {
	Name, At string
	// Allowed, Denied and Unknown are workloads.
	Allowed, Denied, Unknown []string
}

// An Exposure is what is reached from outside, and what pods reach of the cluster itself.
type Exposure struct {
	Doors   []Door
	Targets []Target
}

// Exposed finds the doors and asks of each what policies say.
func (v *View) Exposed() *Exposure {
	x := &exposer{v: v, direct: map[string]bool{}}
	x.index()
	for o, svc := range cluster.All[*corev1.Service](v.Snapshot, "Service") {
		x.service(o, svc)
	}
	x.hosts()
	x.routes()
	slices.SortStableFunc(x.out.Doors, func(a, b Door) int {
		return cmp.Or(cmp.Compare(slices.Index(hows, a.How), slices.Index(hows, b.How)), a.By.Compare(b.By), strings.Compare(a.Ports, b.Ports))
	})
	x.targets()
	return &x.out
}

// hows are the kinds of doors in the order in which they are shown.
var hows = []string{"LoadBalancer", "NodePort", "externalIPs", "Ingress", "Gateway", "hostPort", "hostNetwork"}

type exposer struct {
	v       *View
	out     Exposure
	all     []Place
	byLabel map[string]Place
	// direct are the workloads that are reached from outside without an Ingress: one of
	// them is where Ingresses and Gateways come in.
	direct map[string]bool
	nodes  Place
}

func (x *exposer) index() {
	x.all, x.byLabel = places(x.v.Workloads()), map[string]Place{}
	for _, p := range x.all {
		x.byLabel[p.Label] = p
	}
	x.nodes = Place{Label: "nodes"}
	for _, o := range x.v.Snapshot.Kind("Node") {
		if e, ok := x.v.Find(o.Ref); ok {
			x.nodes.Ends = append(x.nodes.Ends, e)
		}
	}
}

// selected are the workloads that a Service selects, with the pods that stand for them.
func (x *exposer) selected(namespace string, selector map[string]string) map[string][]*cluster.PodSpec {
	out := map[string][]*cluster.PodSpec{}
	for _, spec := range x.v.Snapshot.PodsIn(namespace) {
		if len(spec.Running) > 0 {
			continue
		}
		match := len(selector) > 0
		for k, want := range selector {
			got, ok := spec.Meta.Labels[k]
			match = match && ok && got == want
		}
		if match {
			owner := spec.Object.Ref
			if spec.Of != nil {
				owner = spec.Of.Object.Ref
			}
			name := Unit{Kind: owner.Kind, Namespace: owner.Namespace, Name: owner.Name}.String()
			out[name] = append(out[name], spec)
		}
	}
	return out
}

// service adds the doors of a Service, one for each port.
func (x *exposer) service(o *cluster.Object, svc *corev1.Service) {
	var at []string
	how := ""
	switch {
	case svc.Spec.Type == corev1.ServiceTypeLoadBalancer:
		how = "LoadBalancer"
		for _, i := range svc.Status.LoadBalancer.Ingress {
			at = append(at, cmp.Or(i.IP, i.Hostname))
		}
	case svc.Spec.Type == corev1.ServiceTypeNodePort:
		how = "NodePort"
	case len(svc.Spec.ExternalIPs) > 0 && svc.Spec.Type != corev1.ServiceTypeExternalName:
		how = "externalIPs"
	default:
		return
	}
	at = append(at, svc.Spec.ExternalIPs...)
	workloads := x.selected(o.Namespace, svc.Spec.Selector)
	for _, port := range svc.Spec.Ports {
		protocol := cmp.Or(port.Protocol, corev1.ProtocolTCP)
		d := Door{How: how, By: o.Ref, At: strings.Join(at, ", "), Limits: svc.Spec.LoadBalancerSourceRanges}
		d.Ports = fmt.Sprintf("%s %d", protocol, port.Port)
		if port.NodePort != 0 {
			d.Ports += fmt.Sprintf(", on every node %d", port.NodePort)
		}
		for _, name := range sortedKeys(workloads) {
			x.direct[name] = true
			to, ok := x.byLabel[name]
			if !ok {
				continue
			}
			numbers := targets(workloads[name], port, protocol)
			b := Behind{Workload: name, Verdict: network.Denied, Reason: fmt.Sprintf("no container has a port called %s", port.TargetPort.StrVal)}
			for i, n := range numbers {
				// A node that passes the connection on may put its own address in the
				// place of the client's, unless it may only be passed on within the node.
				snat := svc.Spec.ExternalTrafficPolicy != corev1.ServiceExternalTrafficPolicyLocal
				if got := x.judge(to, protocol, n, snat); i == 0 || order(got.Verdict) > order(b.Verdict) {
					b = got
				}
				d.Ports += fmt.Sprintf(" to %d", n)
			}
			d.Behind = append(d.Behind, b)
		}
		x.out.Doors = append(x.out.Doors, d)
	}
}

func sortedKeys[T any](m map[string]T) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// targets are the ports of pods that a Service's port leads to.
func targets(specs []*cluster.PodSpec, port corev1.ServicePort, protocol corev1.Protocol) []int32 {
	if port.TargetPort.StrVal == "" {
		return []int32{cmp.Or(port.TargetPort.IntVal, port.Port)}
	}
	var out []int32
	for _, spec := range specs {
		for _, c := range spec.Containers {
			for _, p := range c.Ports {
				if p.Name == port.TargetPort.StrVal && cmp.Or(p.Protocol, corev1.ProtocolTCP) == protocol && !slices.Contains(out, p.ContainerPort) {
					out = append(out, p.ContainerPort)
				}
			}
		}
	}
	return out
}

// judge asks what policies say of a connection from the internet to a workload.
func (x *exposer) judge(to Place, protocol corev1.Protocol, port int32, snat bool) Behind {
	client := x.v.best(x.v.internet, to, protocol, port)
	b := Behind{to.Label, client.Verdict, client.Mixed, reasonOf(client)}
	if !snat || len(x.nodes.Ends) == 0 {
		return b
	}
	node := x.v.best(x.nodes, to, protocol, port)
	if node.Verdict == client.Verdict || b.Part {
		return b
	}
	b.Verdict = network.Unknown
	b.Reason = fmt.Sprintf("clients are %s (%s), but externalTrafficPolicy Cluster may put a node in their place, for which it is %s", client.Verdict, b.Reason, node.Verdict)
	return b
}

// reasonOf is what decided at the door: the destination's side, which is all that policies
// say of those outside.
func reasonOf(a network.Answer) string { return cmp.Or(a.Reason, a.Ingress.Reason) }

// hosts adds the ports that pods have on their nodes.
func (x *exposer) hosts() {
	seen := map[string]bool{}
	for _, spec := range x.v.Snapshot.Pods() {
		if len(spec.Running) > 0 {
			continue
		}
		owner := spec.Object.Ref
		if spec.Of != nil {
			owner = spec.Of.Object.Ref
		}
		name := Unit{Kind: owner.Kind, Namespace: owner.Namespace, Name: owner.Name}.String()
		for _, c := range spec.Containers {
			for _, p := range c.Ports {
				protocol := cmp.Or(p.Protocol, corev1.ProtocolTCP)
				d := Door{How: "hostPort", By: owner, At: p.HostIP, Ports: fmt.Sprintf("%s %d to %d", protocol, p.HostPort, p.ContainerPort)}
				if spec.Spec.HostNetwork {
					d.How, d.Ports = "hostNetwork", fmt.Sprintf("%s %d", protocol, p.ContainerPort)
				} else if p.HostPort == 0 {
					continue
				}
				key := name + d.How + d.Ports
				if seen[key] {
					continue
				}
				seen[key] = true
				b := Behind{Workload: name, Verdict: network.Allowed, Reason: "policies do not reach pods on their nodes' networks"}
				if to, ok := x.byLabel[name]; ok && d.How == "hostPort" {
					b = x.judge(to, protocol, p.ContainerPort, false)
				}
				if p.HostIP != "127.0.0.1" && p.HostIP != "::1" {
					x.direct[name] = true
					d.Behind = []Behind{b}
					x.out.Doors = append(x.out.Doors, d)
				}
			}
		}
	}
}

// routes adds what stands behind Ingresses and the routes of Gateways. Whoever serves them opens a
// connection of its own, so that policies see its pods; which they are no object says. They
// are among those that are reached directly.
func (x *exposer) routes() {
	for o, ing := range cluster.All[*networkingv1.Ingress](x.v.Snapshot, "Ingress") {
		var at []string
		for _, i := range ing.Status.LoadBalancer.Ingress {
			at = append(at, cmp.Or(i.IP, i.Hostname))
		}
		put := func(host string, b *networkingv1.IngressBackend) {
			if b != nil && b.Service != nil {
				x.route("Ingress", o.Ref, cmp.Or(host, strings.Join(at, ", ")), cluster.Ref{Kind: "Service", Namespace: o.Namespace, Name: b.Service.Name}, b.Service.Port.Number, b.Service.Port.Name)
			}
		}
		put("", ing.Spec.DefaultBackend)
		for _, rule := range ing.Spec.Rules {
			if rule.HTTP == nil {
				continue
			}
			for i := range rule.HTTP.Paths {
				put(rule.Host, &rule.HTTP.Paths[i].Backend)
			}
		}
	}
	for _, kind := range RouteKinds {
		x.gatewayRoutes(kind)
	}
}

// RouteKinds are the kinds by which a Gateway leads to Services.
var RouteKinds = []string{"HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute"}

func (x *exposer) gatewayRoutes(kind string) {
	for o, route := range cluster.All[*cluster.Custom](x.v.Snapshot, kind) {
		hosts, _ := route.Field("spec.hostnames").([]any)
		var at []string
		for _, h := range hosts {
			if text, ok := h.(string); ok {
				at = append(at, text)
			}
		}
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
				ns, _ := ref["namespace"].(string)
				number, _ := strconv.ParseInt(fmt.Sprint(ref["port"]), 10, 32) // a number of whatever type
				x.route("Gateway", o.Ref, strings.Join(at, ", "), cluster.Ref{Kind: "Service", Namespace: cmp.Or(ns, o.Namespace), Name: name}, int32(number), "")
			}
		}
	}
}

// route adds a door that leads to one port of a Service, once.
func (x *exposer) route(how string, by cluster.Ref, at string, service cluster.Ref, number int32, name string) {
	d := Door{How: how, By: by, At: at}
	o := x.v.Snapshot.Get(service)
	svc, ok := (*corev1.Service)(nil), false
	if o != nil {
		svc, ok = o.Value.(*corev1.Service)
	}
	if !ok {
		d.Ports = "to " + service.String() + ", which does not exist"
		x.add(d)
		return
	}
	i := slices.IndexFunc(svc.Spec.Ports, func(p corev1.ServicePort) bool {
		return name != "" && p.Name == name || name == "" && p.Port == number
	})
	if i < 0 {
		d.Ports = "to a port that " + service.String() + " does not have"
		x.add(d)
		return
	}
	port := svc.Spec.Ports[i]
	protocol := cmp.Or(port.Protocol, corev1.ProtocolTCP)
	d.Ports = fmt.Sprintf("to %s %s %d", service, protocol, port.Port)
	workloads := x.selected(service.Namespace, svc.Spec.Selector)
	for _, w := range sortedKeys(workloads) {
		to, ok := x.byLabel[w]
		if !ok {
			continue
		}
		b := Behind{Workload: w, Reason: "which pods serve it is not known"}
		first := true
		for _, via := range sortedKeys(x.direct) {
			from, ok := x.byLabel[via]
			if !ok || via == w {
				continue
			}
			for _, n := range targets(workloads[w], port, protocol) {
				a := x.v.best(from, to, protocol, n)
				if first || order(a.Verdict) > order(b.Verdict) {
					first = false
					b.Verdict, b.Part, b.Reason = a.Verdict, a.Mixed, "through "+via+": "+because(a)
				}
			}
		}
		d.Behind = append(d.Behind, b)
	}
	x.add(d)
}

func (x *exposer) add(d Door) {
	if !slices.ContainsFunc(x.out.Doors, func(o Door) bool { return o.How == d.How && o.By == d.By && o.At == d.At && o.Ports == d.Ports }) {
		x.out.Doors = append(x.out.Doors, d)
	}
}

// because is the side that decided.
func because(a network.Answer) string {
	switch {
	case a.Reason != "":
		return a.Reason
	case a.Verdict != network.Allowed && a.Egress.Verdict == network.Allowed:
		return a.Ingress.Reason
	case a.Verdict != network.Allowed:
		return a.Egress.Reason
	}
	return cmp.Or(a.Ingress.Reason, a.Egress.Reason)
}

// targets asks which workloads reach what belongs to the cluster itself.
func (x *exposer) targets() {
	index := map[string]int{}
	for i, t := range x.v.Targets() {
		out := Target{Name: t.Name, At: fmt.Sprintf("%s %d", t.Protocol, t.Port)}
		switch {
		case t.Name == network.MetadataService:
			out.At += " at 169.254.169.254"
		case t.Nodes == 0:
			out.At += " at an address that no object tells"
		case t.Nodes == 1:
			out.At += " on 1 node"
		default:
			out.At += fmt.Sprintf(" on %d nodes", t.Nodes)
		}
		index[t.Name] = i
		x.out.Targets = append(x.out.Targets, out)
	}
	for _, r := range x.v.Reaches() {
		t := &x.out.Targets[index[r.Target.Name]]
		label := Unit{Kind: r.From.Kind, Namespace: r.From.Namespace, Name: r.From.Name}.String()
		switch r.Verdict {
		case network.Allowed:
			t.Allowed = append(t.Allowed, label)
		case network.Denied:
			t.Denied = append(t.Denied, label)
		case network.Unknown:
			t.Unknown = append(t.Unknown, label)
		}
	}
}
