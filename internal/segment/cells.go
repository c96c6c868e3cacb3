package segment

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/network"
)

// A Range is addresses that some list of ranges does not tell apart: one of the list
// without those of the list within it, or all that is in none.
type Range struct {
	Label string
	// Of is the range of the list; invalid for the rest.
	Of    netip.Prefix
	Parts []netip.Prefix
}

// Ranges parts all addresses by a list of ranges. The rest comes last.
func Ranges(list []netip.Prefix) []Range {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	list = slices.Compact(list)
	var out []Range
	for i, p := range list {
		var within []netip.Prefix
		for _, q := range list[i+1:] {
			if !p.Contains(q.Addr()) {
				break
			}
			within = append(within, q)
		}
		r := Range{Label: p.String(), Of: p, Parts: without(p, within)}
		if len(within) > 0 {
			r.Label += " without " + names(within)
		}
		if len(r.Parts) > 0 {
			out = append(out, r)
		}
	}
	rest := Range{Label: Outside, Parts: append(without(netip.MustParsePrefix("0.0.0.0/0"), list), without(netip.MustParsePrefix("::/0"), list)...)}
	if len(list) > 0 {
		rest.Label = "elsewhere outside"
	}
	if len(rest.Parts) > 0 {
		out = append(out, rest)
	}
	return out
}

// Outside is everybody who is no part of the cluster.
const Outside = "outside"

// names are the widest of some ranges.
func names(list []netip.Prefix) string {
	var out []string
	for i, p := range list {
		if !slices.ContainsFunc(list[:i], func(q netip.Prefix) bool { return q.Contains(p.Addr()) }) {
			out = append(out, p.String())
		}
	}
	if len(out) > 3 {
		out = append(out[:3], "and more")
	}
	return strings.Join(out, ", ")
}

// without is a range less others, in as few ranges as it takes.
func without(p netip.Prefix, others []netip.Prefix) []netip.Prefix {
	var in []netip.Prefix
	for _, o := range others {
		if o.Overlaps(p) {
			if o.Bits() <= p.Bits() {
				return nil
			}
			in = append(in, o)
		}
	}
	if len(in) == 0 {
		return []netip.Prefix{p}
	}
	low, high := halves(p)
	return append(without(low, in), without(high, in)...)
}

// halves cuts a range in two.
func halves(p netip.Prefix) (low, high netip.Prefix) {
	b := p.Addr().AsSlice()
	b[p.Bits()/8] |= 1 << (7 - p.Bits()%8)
	addr, _ := netip.AddrFromSlice(b)
	return netip.PrefixFrom(p.Addr(), p.Bits()+1), netip.PrefixFrom(addr, p.Bits()+1)
}

// At makes a place of a range.
func (v *View) At(r Range) Place {
	out := Place{Label: r.Label}
	for _, p := range r.Parts {
		out.Ends = append(out.Ends, v.World.Outside(p))
	}
	return out
}

// outcomes numbers what connections may be, equal ones alike.
type outcomes struct {
	known  []network.Connections
	byText map[string]int32
	bySets map[sets]int32
}

// sets are two PortSets by where they are in memory: the engine hands out the same ones
// over and over, and to write them down each time would cost more than all else.
type sets struct {
	allowed, unknown *network.Ports
	n, m             int
}

func newOutcomes() *outcomes { return &outcomes{byText: map[string]int32{}, bySets: map[sets]int32{}} }

func (o *outcomes) id(c network.Connections) int32 {
	key := sets{n: len(c.Allowed), m: len(c.Unknown)}
	if key.n > 0 {
		key.allowed = &c.Allowed[0]
	}
	if key.m > 0 {
		key.unknown = &c.Unknown[0]
	}
	if id, ok := o.bySets[key]; ok {
		return id
	}
	text := c.Allowed.String() + "|" + c.Unknown.String()
	id, ok := o.byText[text]
	if !ok {
		id = int32(len(o.known))
		o.byText[text] = id
		o.known = append(o.known, c)
	}
	o.bySets[key] = id
	return id
}

// A table is what classes may do to each other, by the numbers of outcomes, and which
// workloads are of one class alone.
type table struct {
	v       *View
	o       *outcomes
	ids     []int32
	classes int
	class   map[string]int // by the place's label; absent where there are several, or a host
}

func newTable(v *View, o *outcomes) *table {
	t := &table{v: v, o: o, classes: v.Classes(), class: map[string]int{}}
	t.ids = make([]int32, t.classes*t.classes)
	for from, row := range v.Matrix().Rows() {
		for to := range row {
			t.ids[from*t.classes+to] = o.id(row[to])
		}
	}
	for _, p := range v.pods() {
		name := Unit{Kind: p.owner.Kind, Namespace: p.owner.Namespace, Name: p.owner.Name}.String()
		class := p.class
		if was, ok := t.class[name]; p.spec.Spec.HostNetwork || ok && was != class {
			class = -1
		}
		t.class[name] = class
	}
	return t
}

// between is what some end of one place may do to some end of another.
func (t *table) between(from, to Place) int32 {
	a, ok := t.class[from.Label]
	b, also := t.class[to.Label]
	if ok && also && a >= 0 && b >= 0 {
		return t.ids[a*t.classes+b]
	}
	c, _ := t.v.Between(from, to)
	return t.o.id(c)
}
