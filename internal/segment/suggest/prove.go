package suggest

import (
	"fmt"
	"net/netip"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/network"
	"github.com/bulwark-k8s/bulwark/internal/segment"
)

// A Proof is what the engine says of a plan's policies: whether what they allow is exactly
// what is wanted, for every pair of workloads of which one is in the plan's namespaces, in
// both directions, and for everybody outside, on every port.
//
// Nodes are no part of it: a node reaches its own pods whatever policies say.
type Proof struct {
	// Workloads and Pairs were asked about; Wanted are the connections among them.
	Workloads, Pairs, Wanted int
	// Extra is allowed and not wanted, Missing wanted and not allowed, Unknown what cannot
	// be told. Each has the first few; the counts are of pairs.
	Extra, Missing, Unknown          []string
	ExtraPairs, MissingPairs, Untold int
	// Elsewhere is wanted, and denied by the policies of other namespaces.
	Elsewhere []string
}

// Exact reports whether nothing is missing and nothing more is allowed.
func (p *Proof) Exact() bool { return p.ExtraPairs == 0 && p.MissingPairs == 0 && p.Untold == 0 }

// Refused reports whether the policies do something else than what is wanted.
func (p *Proof) Refused() bool { return p.ExtraPairs > 0 || p.MissingPairs > 0 }

// maxNamed is how many pairs of each kind are named.
const maxNamed = 12

// Prove asks the engine.
func (p *Plan) Prove(o network.Options) *Proof {
	m := p.maker
	alone := segment.NewView(m.with(p.Policies, false), o)
	proof := &Proof{}
	places := map[*Group]segment.Place{}
	var asked []*Group
	for _, g := range m.groups {
		if !g.Host {
			places[g] = placeOf(alone, g)
			asked = append(asked, g)
		}
	}
	proof.Workloads = len(asked)
	w := m.index(p.Wanted)
	for _, a := range asked {
		for _, b := range asked {
			if !m.target(a.Ref.Namespace) && !m.target(b.Ref.Namespace) || a == b && alone.Alone(places[a]) {
				continue
			}
			proof.pair(alone, places[a], places[b], w.between(a, b, a.Ref.Namespace == b.Ref.Namespace || !m.target(a.Ref.Namespace)))
		}
	}
	ranges := segment.Ranges(nets(p.Wanted))
	outside := make([]segment.Place, len(ranges))
	for i, r := range ranges {
		outside[i] = alone.At(r)
	}
	for _, g := range asked {
		if !m.target(g.Ref.Namespace) {
			continue
		}
		for i, place := range outside {
			proof.pair(alone, places[g], place, w.toNet(g, ranges[i].Of))
			proof.pair(alone, place, places[g], w.fromNet(g, ranges[i].Of))
		}
	}
	if !proof.Refused() {
		proof.elsewhere(segment.NewView(m.with(p.Policies, true), o), p.Wanted)
	}
	return proof
}

// pair holds one pair against what is wanted of it: allowed for all of them, and for none
// of them more.
func (p *Proof) pair(v *segment.View, from, to segment.Place, want network.PortSet) {
	p.Pairs++
	if !want.Empty() {
		p.Wanted++
	}
	some, _ := v.Between(from, to)
	all, _ := v.Judge(from, to, network.AllPorts, network.Allowed)
	unsure := some.Unknown
	put := func(list *[]string, n *int, ports network.PortSet, why string) {
		if ports.Empty() {
			return
		}
		*n++
		if len(*list) < maxNamed {
			*list = append(*list, fmt.Sprintf("%s to %s: %s%s", from.Label, to.Label, ports, why))
		}
	}
	why := ""
	if !unsure.Empty() {
		if a := v.Example(from, to, unsure, network.Unknown); a.Egress.Verdict == network.Unknown {
			why = ": " + a.Egress.Reason
		} else {
			why = ": " + a.Ingress.Reason
		}
	}
	put(&p.Extra, &p.ExtraPairs, some.Allowed.Minus(want), "")
	put(&p.Missing, &p.MissingPairs, want.Minus(all).Minus(unsure), "")
	put(&p.Unknown, &p.Untold, unsure, why)
}

// elsewhere finds what the policies of other namespaces deny all the same.
func (p *Proof) elsewhere(v *segment.View, wanted []Edge) {
	for _, e := range wanted {
		if e.From.Group == nil || e.To.Group == nil {
			continue
		}
		from, to := placeOf(v, e.From.Group), placeOf(v, e.To.Group)
		c, _ := v.Between(from, to)
		if c.Denied.Has(e.Port.Protocol, int32(e.Port.Number)) && len(p.Elsewhere) < maxNamed {
			p.Elsewhere = append(p.Elsewhere, e.String())
		}
	}
}

func placeOf(v *segment.View, g *Group) segment.Place {
	out := segment.Place{Label: g.String()}
	if e, ok := v.Find(g.Ref); ok {
		out.Ends = []network.Endpoint{e}
		return out
	}
	for _, spec := range g.Specs {
		if e, ok := v.Find(spec.Object.Ref); ok {
			out.Ends = append(out.Ends, e)
		}
	}
	return out
}

// with is the snapshot with the plan's policies in the place of those of its namespaces;
// with others, the NetworkPolicies of other namespaces stay, without they go.
func (m *maker) with(policies []Policy, others bool) *cluster.Snapshot {
	s := m.snapshot
	b := cluster.NewBuilder(s.Name, s.Live)
	b.SetVersion(s.Version)
	for _, o := range s.Objects() {
		value, ok := o.Value.(metav1.Object)
		if !ok || o.Kind == "NetworkPolicy" && (!others || m.target(o.Namespace)) {
			continue
		}
		b.Add(o.APIVersion, o.Kind, value, o.Source)
	}
	for _, p := range policies {
		b.Add(networkingv1.SchemeGroupVersion.String(), "NetworkPolicy", p.NetworkPolicy, cluster.Source{Origin: "the plan"})
	}
	for _, n := range cluster.Objects() {
		if s.Looked(n) && len(s.Gaps(n)) == 0 {
			b.Looked(n)
		}
	}
	for _, g := range s.AllGaps() {
		if g.Need != cluster.NetworkPolicies { // those that could not be read are to be replaced too
			b.Gap(g)
		}
	}
	return b.Snapshot()
}

// An index finds what is wanted between two.
type index struct {
	groups     map[[2]*Group][]Port
	namespaces map[*Group]map[string][]Port
	pods       map[*Group][]Port
	everybody  map[*Group][]Port
	to, from   map[*Group]map[netip.Prefix][]Port
}

func (m *maker) index(wanted []Edge) *index {
	x := &index{map[[2]*Group][]Port{}, map[*Group]map[string][]Port{}, map[*Group][]Port{}, map[*Group][]Port{}, map[*Group]map[netip.Prefix][]Port{}, map[*Group]map[netip.Prefix][]Port{}}
	for _, e := range wanted {
		switch {
		case e.From.Group != nil && e.To.Group != nil:
			k := [2]*Group{e.From.Group, e.To.Group}
			x.groups[k] = append(x.groups[k], e.Port)
		case e.From.Group != nil:
			put(x.to, e.From.Group, e.To.Net, e.Port)
		case e.From.Namespace != "":
			put(x.namespaces, e.To.Group, e.From.Namespace, e.Port)
		case e.From.AllPods:
			x.pods[e.To.Group] = append(x.pods[e.To.Group], e.Port)
		case e.From.Net.IsValid():
			put(x.from, e.To.Group, e.From.Net, e.Port)
		default:
			x.everybody[e.To.Group] = append(x.everybody[e.To.Group], e.Port)
		}
	}
	return x
}

func put[K comparable](m map[*Group]map[K][]Port, g *Group, k K, p Port) {
	if m[g] == nil {
		m[g] = map[K][]Port{}
	}
	m[g][k] = append(m[g][k], p)
}

func set(lists ...[]Port) network.PortSet {
	var out network.PortSet
	for _, list := range lists {
		for _, p := range list {
			out = out.Union(network.OnePort(p.Protocol, int32(p.Number)))
		}
	}
	return out
}

// between is what is wanted of two groups. That everybody may come in lets nobody out of
// the plan's namespaces.
func (x *index) between(a, b *Group, leaves bool) network.PortSet {
	direct := set(x.groups[[2]*Group{a, b}], x.namespaces[b][a.Ref.Namespace])
	if !leaves {
		return direct
	}
	return direct.Union(set(x.pods[b], x.everybody[b]))
}

// toNet and fromNet are what is wanted with a range; an invalid one is all the others.
func (x *index) toNet(g *Group, n netip.Prefix) network.PortSet { return set(x.to[g][n]) }

func (x *index) fromNet(g *Group, n netip.Prefix) network.PortSet {
	return set(x.from[g][n], x.everybody[g])
}

// nets are the ranges of addresses that edges name.
func nets(wanted []Edge) []netip.Prefix {
	var out []netip.Prefix
	for _, e := range wanted {
		for _, p := range []Peer{e.From, e.To} {
			if p.Net.IsValid() {
				out = append(out, p.Net)
			}
		}
	}
	return out
}
