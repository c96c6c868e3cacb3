package network

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// first is one of the points, of an end that has some.
func (e Endpoint) first() point { return e.groups[0][0] }

// A Target is a part of the cluster that pods should not reach without need.
type Target struct {
	Name     string // "API server", "kubelets", "etcd", "metadata service"
	Protocol corev1.Protocol
	Port     int32
	// Nodes is how many nodes it is on; 0 where none is known to have it.
	Nodes int
	end   Endpoint
}

// A Reach is whether a workload gets to a Target.
type Reach struct {
	Target  Target
	From    cluster.Ref
	Verdict Verdict
	Reason  string
}

// MetadataService is the name of the Target that is on no node.
const MetadataService = "metadata service"

// metadata is where clouds tell a machine its credentials.
var metadata = netip.MustParseAddr("169.254.169.254")

// Targets are the API server, every node's kubelet, etcd, and the cloud's metadata
// service. The API server and etcd are on nodes that are called control planes; in a
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
		{"API server", corev1.ProtocolTCP, w.securePort(), len(control), end(control)},
		{"etcd", corev1.ProtocolTCP, 2379, len(control), end(control)},
		{"kubelets", corev1.ProtocolTCP, 10250, len(all), end(all)},
		{MetadataService, corev1.ProtocolTCP, 80, 0, w.Outside(netip.PrefixFrom(metadata, 32))},
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
