// Package segment puts questions to the engine of internal/network as people ask them:
// what may talk to what, by names that they type; namespaces and workloads as a grid; what
// changed between two states; what is reached from outside. It judges no policy itself,
// and opens nothing.
package segment

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/network"
)

// Needs are the facts that any question is answered from; Doors are those that Exposed
// wants besides.
var (
	Needs = slices.Concat(cluster.Workloads, cluster.Isolation, []cluster.Need{cluster.Namespaces, cluster.Nodes, cluster.Services})
	Doors = []cluster.Need{
		cluster.Ingresses, cluster.Gateways, cluster.HTTPRoutes, cluster.GRPCRoutes, cluster.TLSRoutes, cluster.TCPRoutes, cluster.UDPRoutes,
	}
)

// A View is a Snapshot and the World that was made of it.
type View struct {
	*network.World
	Snapshot *cluster.Snapshot

	internet Place
}

// NewView makes the World of a snapshot.
func NewView(s *cluster.Snapshot, o network.Options) *View {
	v := &View{World: network.New(s, o), Snapshot: s, internet: Place{Label: Internet}}
	four, six := families(s)
	for _, p := range public {
		if p.Addr().Is4() && four || p.Addr().Is6() && six {
			v.internet.Ends = append(v.internet.Ends, v.Outside(p))
		}
	}
	return v
}

// families are the versions of IP that pods have: both where no address is known.
func families(s *cluster.Snapshot) (four, six bool) {
	see := func(text string) {
		if a, err := netip.ParseAddr(text); err == nil {
			four, six = four || a.Unmap().Is4(), six || !a.Unmap().Is4()
		}
	}
	for _, pod := range cluster.All[*corev1.Pod](s, "Pod") {
		for _, ip := range append(pod.Status.PodIPs, corev1.PodIP{IP: pod.Status.PodIP}) {
			see(ip.IP)
		}
	}
	for _, n := range cluster.All[*corev1.Node](s, "Node") {
		for _, text := range append(n.Spec.PodCIDRs, n.Spec.PodCIDR) {
			address, _, _ := strings.Cut(text, "/")
			see(address)
		}
	}
	if !four && !six {
		return true, true
	}
	return four, six
}

// A Place is what a name stands for in one row: one end, or the many that the internet is.
type Place struct {
	Label string
	Ends  []network.Endpoint
}

// label is how an end is written, so that it can be typed again.
func label(e network.Endpoint) string {
	switch e.Ref.Kind {
	case "":
		return e.String()
	case "Node":
		return "node/" + e.Ref.Name
	case "Service":
		return e.Ref.Namespace + "/svc/" + e.Ref.Name
	}
	return Unit{Kind: e.Ref.Kind, Namespace: e.Ref.Namespace, Name: e.Ref.Name}.String()
}

func places(ends []network.Endpoint) []Place {
	out := make([]Place, len(ends))
	for i, e := range ends {
		out[i] = Place{label(e), []network.Endpoint{e}}
	}
	return out
}

// A notFound is a name that nothing has.
type notFound struct {
	name Name
	near []string
}

func (e *notFound) Error() string { return fmt.Sprintf("%s: there is no such thing", e.name.Text) }

// Hint says what there is instead.
func (e *notFound) Hint() string {
	if len(e.near) == 0 {
		return "want " + NameForms
	}
	return "there are: " + strings.Join(e.near, ", ")
}

// Resolve finds what a name stands for: one place, or several where it is of many.
func (v *View) Resolve(n Name) ([]Place, error) {
	if n.Kind == Internet {
		return []Place{v.internet}, nil
	}
	ends, err := v.ends(n)
	return places(ends), err
}

func (v *View) ends(n Name) ([]network.Endpoint, error) {
	switch n.Kind {
	case Addresses:
		if n.Net.IsSingleIP() {
			return []network.Endpoint{v.Address(n.Net.Addr())}, nil
		}
		return []network.Endpoint{v.Outside(n.Net)}, nil
	case AllPods:
		return v.workloads(func(network.Endpoint) bool { return true }), nil
	case Namespace:
		out := v.workloads(func(e network.Endpoint) bool { return e.Ref.Namespace == n.Namespace })
		if len(out) == 0 && !slices.Contains(v.Snapshot.Namespaces(), n.Namespace) {
			return nil, &notFound{n, some(v.Snapshot.Namespaces())}
		}
		return out, nil
	case Node:
		if e, ok := v.Find(cluster.Ref{Kind: "Node", Name: n.Name}); ok {
			return []network.Endpoint{e}, nil
		}
		var near []string
		for _, o := range v.Snapshot.Kind("Node") {
			near = append(near, "node/"+o.Name)
		}
		return nil, &notFound{n, some(near)}
	}
	return v.object(n)
}

// object finds a pod, a workload or a Service.
func (v *View) object(n Name) ([]network.Endpoint, error) {
	var found []network.Endpoint
	for _, o := range v.Snapshot.Objects() {
		if o.Namespace != n.Namespace || o.Name != n.Name || n.Kind != AnyKind && !strings.EqualFold(o.Kind, n.Kind) {
			continue
		}
		e, ok := v.Find(o.Ref)
		switch {
		case !ok:
		case n.Kind == AnyKind && o.Kind == "Pod":
			return []network.Endpoint{e}, nil // what the form NS/NAME means
		default:
			found = append(found, e)
		}
	}
	if n.Kind == AnyKind && len(found) > 1 {
		// A Service is what is in front of the others.
		found = slices.DeleteFunc(found, func(e network.Endpoint) bool { return e.Ref.Kind == "Service" })
	}
	switch {
	case len(found) == 1:
		return found, nil
	case len(found) > 1:
		var all []string
		for _, e := range found {
			all = append(all, label(e))
		}
		return nil, fmt.Errorf("%s: it may be %s: say which", n.Text, strings.Join(all, " or "))
	}
	var near []string
	for _, e := range v.Workloads() {
		if e.Ref.Namespace == n.Namespace {
			near = append(near, label(e))
		}
	}
	if len(near) == 0 {
		near = v.Snapshot.Namespaces()
		for i := range near {
			near[i] += "/*"
		}
	}
	return nil, &notFound{n, some(near)}
}

func (v *View) workloads(want func(network.Endpoint) bool) []network.Endpoint {
	var out []network.Endpoint
	for _, e := range v.Workloads() {
		if want(e) {
			out = append(out, e)
		}
	}
	return out
}

// some are the first few of a list.
func some(list []string) []string {
	const few = 6
	list = slices.Clone(list)
	slices.Sort(list)
	if len(list) > few {
		list = append(list[:few], "and more")
	}
	return list
}

// public are the addresses of the internet: all but those that the registry of special
// purposes keeps from it (https://www.iana.org/assignments/iana-ipv4-special-registry).
var public = func() []netip.Prefix {
	var out []netip.Prefix
	special := []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/3",
	}
	var cut func(p netip.Prefix)
	cut = func(p netip.Prefix) {
		meets := false
		for _, text := range special {
			s := netip.MustParsePrefix(text)
			if s.Bits() <= p.Bits() && s.Overlaps(p) {
				return
			}
			meets = meets || s.Overlaps(p)
		}
		if !meets {
			out = append(out, p)
			return
		}
		low := netip.PrefixFrom(p.Addr(), p.Bits()+1)
		b := p.Addr().As4()
		b[p.Bits()/8] |= 1 << (7 - p.Bits()%8)
		cut(low)
		cut(netip.PrefixFrom(netip.AddrFrom4(b), p.Bits()+1))
	}
	cut(netip.MustParsePrefix("0.0.0.0/0"))
	return append(out, netip.MustParsePrefix("2000::/3"))
}()

// ServicePorts are the ports of a Service, as one asks for them.
func (v *View) ServicePorts(e network.Endpoint) network.PortSet {
	var out network.PortSet
	if o := v.Snapshot.Get(e.Ref); o != nil {
		if svc, ok := o.Value.(*corev1.Service); ok {
			for _, p := range svc.Spec.Ports {
				protocol := p.Protocol
				if protocol == "" {
					protocol = corev1.ProtocolTCP
				}
				out = out.Union(network.OnePort(protocol, p.Port))
			}
		}
	}
	return out
}
