package network

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// An Endpoint is one end of a question: a pod, a workload (all its pods, or its template
// where it has none), a node, a Service, or addresses. A World makes them.
type Endpoint struct {
	// Ref is the object that it is; the zero Ref for addresses.
	Ref cluster.Ref
	// Prefix are the addresses that it is; invalid for an object.
	Prefix netip.Prefix

	groups  [][]point // of one side each
	service *cluster.Object
}

func (e Endpoint) String() string {
	switch {
	case !e.Prefix.IsValid():
		return e.Ref.String()
	case e.Prefix.IsSingleIP():
		return e.Prefix.Addr().String()
	}
	return e.Prefix.String()
}

// A point is one that an endpoint stands for: pods that nothing tells apart here.
type point struct {
	side   *side
	member int32  // -1 for others than pods
	node   string // "" where it is not known, or it is on none
	addr   netip.Addr
}

// Find returns the object as an end: a Pod, a Node, a Service, or whatever has a pod
// template. Pods that have ended are none.
func (w *World) Find(r cluster.Ref) (Endpoint, bool) {
	switch r.Kind {
	case "Node":
		i, ok := w.byHost[r.Name]
		if !ok {
			return Endpoint{}, false
		}
		return w.hostEnd(i), true
	case "Service":
		o := w.snapshot.Get(r)
		if o == nil || w.services[r] == nil {
			return Endpoint{}, false
		}
		return Endpoint{Ref: r, service: o}, true
	}
	members, ok := w.byRef[r]
	if !ok {
		return Endpoint{}, false
	}
	return w.membersEnd(r, members), true
}

func (w *World) hostEnd(i int32) Endpoint {
	h := &w.hosts[i]
	return Endpoint{Ref: h.object.Ref, groups: one(point{side: h.side, member: -1, node: h.name})}
}

// membersEnd is the pods as one end, those on one node in one class once.
func (w *World) membersEnd(r cluster.Ref, members []int32) Endpoint {
	if len(members) == 1 {
		return Endpoint{Ref: r, groups: one(w.point(members[0]))}
	}
	type key struct {
		class int32
		node  string
	}
	seen := map[key]bool{}
	var points []point
	for _, i := range members {
		m := &w.members[i]
		if k := (key{m.class, m.node}); !seen[k] {
			seen[k] = true
			points = append(points, w.point(i))
		}
	}
	if len(points) == 1 {
		// Two that nothing tells apart are not one that talks to itself.
		points = append(points, w.point(members[1]))
	}
	return Endpoint{Ref: r, groups: alike(points)}
}

func (w *World) point(i int32) point {
	m := &w.members[i]
	return point{side: &w.classes[m.class].side, member: i, node: m.node}
}

func one(p point) [][]point { return [][]point{{p}} }

// alike puts together the points that policies cannot tell apart.
func alike(points []point) [][]point {
	var out [][]point
	at := map[*side]int{}
	for _, p := range points {
		i, ok := at[p.side]
		if !ok {
			i = len(out)
			at[p.side] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], p)
	}
	return out
}

// Address returns what has the address: a pod, a node or a Service of the cluster, or
// somebody outside.
func (w *World) Address(a netip.Addr) Endpoint {
	a = a.Unmap().WithZone("")
	switch p, ok := w.at[a]; {
	case !ok:
	case p.member >= 0:
		m := &w.members[p.member]
		return w.membersEnd(m.spec.Object.Ref, []int32{p.member})
	case p.host >= 0:
		return w.hostEnd(p.host)
	case p.service != nil:
		return Endpoint{Ref: p.service.Ref, service: p.service}
	}
	return w.Outside(netip.PrefixFrom(a, a.BitLen()))
}

// Outside returns addresses that are no pod's and no node's. Of a range, an answer is for
// whoever in it is let through most.
func (w *World) Outside(p netip.Prefix) Endpoint {
	p = p.Masked()
	e := Endpoint{Prefix: p}
	f := familyOf(p.Addr())
	for _, r := range w.tables[f].regions(p) {
		s := &side{kind: addressKind, cells: [families]int32{absent, absent, absent}, ports: noNames}
		s.cells[f] = r.cell
		e.groups = append(e.groups, []point{{side: s, member: -1, addr: r.addr}})
	}
	return e
}

// Workloads returns every workload, and every pod that none owns, as an end.
func (w *World) Workloads() []Endpoint {
	seen := map[cluster.Ref]bool{}
	var out []Endpoint
	for i := range w.members {
		if r := w.members[i].owner; !seen[r] {
			seen[r] = true
			out = append(out, w.membersEnd(r, w.byRef[r]))
		}
	}
	slices.SortFunc(out, func(a, b Endpoint) int { return a.Ref.Compare(b.Ref) })
	return out
}

// backend is one end behind a Service, with the port that it is asked on there.
type backend struct {
	end  Endpoint
	port int32
}

// behind returns who answers at a port of a Service, or why nobody can tell.
func (w *World) behind(o *cluster.Object, protocol corev1.Protocol, port int32) (out []backend, why string) {
	svc := w.services[o.Ref]
	if len(svc.Spec.Selector) == 0 {
		return nil, "it selects no pods: whom its endpoints name is not known"
	}
	i := slices.IndexFunc(svc.Spec.Ports, func(p corev1.ServicePort) bool {
		return p.Port == port && (p.Protocol == protocol || p.Protocol == "" && protocol == corev1.ProtocolTCP)
	})
	headless := svc.Spec.ClusterIP == corev1.ClusterIPNone
	if i < 0 && !headless {
		return nil, ""
	}
	for _, m := range w.selected(o.Namespace, svc.Spec.Selector) {
		end := w.membersEnd(w.members[m].spec.Object.Ref, []int32{m})
		if headless {
			out = append(out, backend{end, port}) // its name leads to the pods themselves
			continue
		}
		for _, n := range targets(w.members[m].spec, &svc.Spec.Ports[i], protocol) {
			out = append(out, backend{end, n})
		}
	}
	return out, ""
}

// selected are the pods of a namespace that a Service selects.
func (w *World) selected(namespace string, selector map[string]string) []int32 {
	var out []int32
	for i := range w.members {
		spec := w.members[i].spec
		if spec.Namespace() != namespace {
			continue
		}
		all := true
		for k, v := range selector {
			got, ok := spec.Meta.Labels[k]
			all = all && ok && got == v
		}
		if all {
			out = append(out, int32(i))
		}
	}
	return out
}

// targets are the ports that a Service's port leads to on a pod.
func targets(spec *cluster.PodSpec, p *corev1.ServicePort, protocol corev1.Protocol) []int32 {
	switch {
	case p.TargetPort.StrVal != "":
		var out []int32
		for _, c := range spec.Containers {
			if c.Kind != cluster.Regular && c.Kind != cluster.Sidecar {
				continue
			}
			for _, cp := range c.Ports {
				if cp.Name == p.TargetPort.StrVal && (cp.Protocol == protocol || cp.Protocol == "" && protocol == corev1.ProtocolTCP) {
					return append(out, cp.ContainerPort) // the first one (pkg/api/v1/pod/util.go, FindPort)
				}
			}
		}
		return nil
	case p.TargetPort.IntVal != 0:
		return []int32{p.TargetPort.IntVal}
	}
	return []int32{p.Port}
}
