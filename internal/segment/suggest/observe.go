package suggest

import (
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/flow"
)

// ephemeral is where systems begin to take clients' ports from
// (net.ipv4.ip_local_port_range in the kernel's Documentation/networking/ip-sysctl.rst).
const ephemeral = 32768

// An Observation says what became of the flows that were observed.
type Observation struct {
	Flows int
	// Replies are those that are the other half of a connection; Own those that no policy
	// stands between: within a pod, from a pod's own node, between nodes; Other those of
	// namespaces that are not asked about.
	Replies, Own, Other int
	// Unknown are the names and addresses that nothing in the cluster has, with how many
	// flows each is an end of; Inexpressible are flows that no policy can speak of.
	Unknown       map[string]int
	Inexpressible []string
	// Silent are the workloads that no flow was seen of.
	Silent []cluster.Ref
}

// An end is who an address or a name of a flow is.
type end struct {
	group   *Group
	pod     string // the pod's node
	node    string
	service *service
	addr    netip.Addr
}

// A directory finds who is who.
type directory struct {
	byAddr map[netip.Addr]end
	byName map[string]end
	// podRanges are the nodes' ranges for pods.
	podRanges []netip.Prefix
}

func newDirectory(s *cluster.Snapshot, all []*Group, svcs []service) *directory {
	d := &directory{byAddr: map[netip.Addr]end{}, byName: map[string]end{}}
	put := func(text string, e end) {
		if addr, err := netip.ParseAddr(text); err == nil {
			if _, ok := d.byAddr[addr.Unmap()]; !ok {
				e.addr = addr.Unmap()
				d.byAddr[addr.Unmap()] = e
			}
		}
	}
	for o, node := range cluster.All[*corev1.Node](s, "Node") {
		for _, a := range node.Status.Addresses {
			put(a.Address, end{node: o.Name})
		}
		for _, text := range append(node.Spec.PodCIDRs, node.Spec.PodCIDR) {
			if p, err := netip.ParsePrefix(text); err == nil {
				d.podRanges = append(d.podRanges, p)
				// The node's own end of its pods' network
				// (github.com/containernetworking/plugins, host-local: the gateway is the first).
				put(p.Masked().Addr().Next().String(), end{node: o.Name})
			}
		}
	}
	for i := range svcs {
		for _, ip := range append(svcs[i].spec.Spec.ClusterIPs, svcs[i].spec.Spec.ClusterIP) {
			put(ip, end{service: &svcs[i]})
		}
	}
	for _, g := range all {
		for _, spec := range g.Specs {
			pod, ok := spec.Object.Value.(*corev1.Pod)
			if !ok {
				continue
			}
			e := end{group: g, pod: pod.Spec.NodeName}
			if !g.Host {
				for _, ip := range append(pod.Status.PodIPs, corev1.PodIP{IP: pod.Status.PodIP}) {
					put(ip.IP, e)
				}
			}
			for _, ip := range append(pod.Status.PodIPs, corev1.PodIP{IP: pod.Status.PodIP}) {
				if e.addr, _ = netip.ParseAddr(ip.IP); e.addr.IsValid() {
					break
				}
			}
			d.byName[pod.Namespace+"/"+pod.Name] = e
		}
		if !strings.EqualFold(g.Ref.Kind, "Pod") {
			// A workload that runs nothing yet may be called by its own name.
			if _, taken := d.byName[g.Ref.Namespace+"/"+g.Ref.Name]; !taken {
				d.byName[g.Ref.Namespace+"/"+g.Ref.Name] = end{group: g}
			}
		}
	}
	return d
}

// find says who one end of a flow is; ok is false where nothing in the cluster is it.
func (d *directory) find(text string) (e end, ok bool) {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		e, ok = d.byName[text]
		return e, ok
	}
	if e, ok = d.byAddr[addr]; ok {
		return e, true
	}
	// An address for pods that no pod has belonged to one that is gone.
	gone := slices.ContainsFunc(d.podRanges, func(p netip.Prefix) bool { return p.Contains(addr) })
	return end{addr: addr}, !gone
}

// peer is how policies can speak of an end; ok is false where they cannot.
func (e end) peer() (Peer, bool) {
	switch {
	case e.group != nil && !e.group.Host:
		return Peer{Group: e.group}, true
	case e.addr.IsValid():
		return Peer{Net: netip.PrefixFrom(e.addr, e.addr.BitLen())}, true
	}
	return Peer{}, false
}

// observed makes wants of flows.
func (m *maker) observed(d *directory, flows []flow.Flow) *wants {
	w := newWants()
	o := &Observation{Flows: len(flows), Unknown: map[string]int{}}
	m.observation = o
	listens := m.listening()
	type pair struct{ from, to string }
	opened := map[pair]bool{} // with a port that no client is given
	for _, f := range flows {
		if f.Port < ephemeral {
			opened[pair{f.From, f.To}] = true
		}
	}
	seen := map[*Group]bool{}
	for _, f := range flows {
		from, ok := d.find(f.From)
		to, found := d.find(f.To)
		if !ok {
			o.Unknown[f.From]++
		}
		if !found {
			o.Unknown[f.To]++
		}
		if !ok || !found {
			continue
		}
		port := Port{f.Protocol, f.Port}
		if f.Port >= ephemeral && (f.FromPort != 0 && f.FromPort < ephemeral || opened[pair{f.To, f.From}]) && !listens[to.group][port] {
			o.Replies++
			continue
		}
		for _, g := range []*Group{from.group, to.group} {
			if g != nil {
				seen[g] = true
			}
		}
		switch {
		case to.service != nil:
			m.throughService(w, from, to.service, port, f)
			continue
		case from.service != nil:
			o.Replies++ // a Service opens nothing
			continue
		}
		m.observe(w, from, to, port, f)
	}
	for _, g := range m.groups {
		if !seen[g] && !g.Host && m.target(g.Ref.Namespace) {
			o.Silent = append(o.Silent, g.Ref)
		}
	}
	return w
}

// listening are the ports that groups declare or that Services lead to.
func (m *maker) listening() map[*Group]map[Port]bool {
	out := map[*Group]map[Port]bool{}
	put := func(g *Group, p Port) {
		if out[g] == nil {
			out[g] = map[Port]bool{}
		}
		out[g][p] = true
	}
	for _, g := range m.groups {
		for _, spec := range g.Specs {
			for p := range declared(spec) {
				put(g, p)
			}
		}
	}
	for _, svc := range m.services {
		for _, g := range svc.groups {
			for _, port := range svc.spec.Spec.Ports {
				for _, p := range targets(g, port) {
					put(g, p)
				}
			}
		}
	}
	return out
}

// throughService follows a flow to a Service's address to the pods behind it.
func (m *maker) throughService(w *wants, from end, svc *service, port Port, f flow.Flow) {
	known := false
	for _, p := range svc.spec.Spec.Ports {
		if uint16(p.Port) != port.Number || p.Protocol != "" && p.Protocol != port.Protocol {
			continue
		}
		for _, g := range svc.groups {
			for _, t := range targets(g, p) {
				known = true
				m.observe(w, from, end{group: g}, t, f)
			}
		}
	}
	if !known {
		m.cannot("%s to %s %s: no pod stands behind %s on that port, and policies are about what stands behind it", f.From, f.To, port, svc.ref)
	}
}

// observe wants what a flow did.
func (m *maker) observe(w *wants, from, to end, port Port, f flow.Flow) {
	inside := func(e end) bool { return e.group != nil && !e.group.Host && m.target(e.group.Ref.Namespace) }
	onNode := func(e end) string {
		switch {
		case e.node != "":
			return e.node
		case e.group != nil && e.group.Host:
			return e.pod
		}
		return ""
	}
	switch {
	case !inside(from) && !inside(to):
		if onNode(from) != "" && onNode(to) != "" {
			m.observation.Own++
		} else {
			m.observation.Other++
		}
		return
	case from.addr.IsValid() && from.addr == to.addr, onNode(from) != "" && onNode(from) == to.pod:
		m.observation.Own++
		return
	}
	a, ok := from.peer()
	b, also := to.peer()
	if !ok || !also {
		m.cannot("%s to %s %s: one end is in its node's network, and its address is not known", f.From, f.To, port)
		return
	}
	for _, p := range []Peer{a, b} {
		if p.Group != nil && p.Group.Select == nil {
			m.cannot("%s to %s %s: %s has no label that lasts", f.From, f.To, port, p.Group)
			return
		}
		if p.Net.IsValid() && p.Net.Addr().IsPrivate() && from.node == "" && to.node == "" {
			w.note("%s is a private address that no pod, Service or node here has: it is taken to be outside of the cluster", p.Net.Addr())
		}
	}
	w.add(a, b, port)
}
