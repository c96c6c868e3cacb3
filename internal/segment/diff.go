package segment

import (
	"cmp"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/network"
)

// A Change is a connection that one state allows and another does not.
type Change struct {
	From, To string
	Ports    network.PortSet
	// New: one of the two workloads is only in the state that allows it.
	New bool
}

// A Difference is what changed between two states.
type Difference struct {
	Gained, Lost []Change
	// Unclear cannot be told in one of the states, and may be a change.
	Unclear []Change
	// Appeared and Gone are workloads that only one of the states has.
	Appeared, Gone []string
	// Pairs were compared, of which Same are alike.
	Pairs, Same int
	// Untold counts the pairs of which some port cannot be told in one of the states.
	Untold int
}

// Diff compares what policies allow in two states: between workloads, which are the same
// ones if their kinds and names are, and with everybody outside. How policies are written
// does not matter.
func Diff(was, is *View) *Difference {
	o := newOutcomes()
	old, now := newTable(was, o), newTable(is, o)
	ranges := Ranges(append(was.Prefixes(), is.Prefixes()...))
	d := &Difference{}
	all := both(was, is)
	for i := range all {
		switch p := &all[i]; {
		case p.was == nil:
			d.Appeared = append(d.Appeared, p.label)
		case p.is == nil:
			d.Gone = append(d.Gone, p.label)
		}
	}
	inside := len(all)
	for _, r := range ranges {
		a, b := was.At(r), is.At(r)
		all = append(all, twin{r.Label, &a, &b})
	}
	for i := range all {
		for j := range all {
			if i < inside || j < inside {
				d.pair(old, now, &all[i], &all[j])
			}
		}
	}
	return d
}

// A twin is a workload as it is in each state; nil where it is not.
type twin struct {
	label   string
	was, is *Place
}

func both(was, is *View) []twin {
	at := map[string]int{}
	var out []twin
	for _, p := range places(was.Workloads()) {
		at[p.Label] = len(out)
		out = append(out, twin{label: p.Label, was: &p})
	}
	for _, p := range places(is.Workloads()) {
		i, ok := at[p.Label]
		if !ok {
			i = len(out)
			out = append(out, twin{label: p.Label})
		}
		out[i].is = &p
	}
	slices.SortFunc(out, func(a, b twin) int { return strings.Compare(a.label, b.label) })
	return out
}

func (d *Difference) pair(old, now *table, from, to *twin) {
	state := func(t *table, a, b *Place) (id int32, is bool) {
		if a == nil || b == nil || from == to && t.v.Alone(*a) {
			return 0, false
		}
		return t.between(*a, *b), true
	}
	a, had := state(old, from.was, to.was)
	b, has := state(now, from.is, to.is)
	if !had && !has {
		return
	}
	d.Pairs++
	if had && has && a == b {
		d.Same++
		if !old.o.known[a].Unknown.Empty() {
			d.Untold++
		}
		return
	}
	none := network.Connections{Denied: network.AllPorts}
	was, is := none, none
	if had {
		was = old.o.known[a]
	}
	if has {
		is = now.o.known[b]
	}
	put := func(list *[]Change, ports network.PortSet) {
		if !ports.Empty() {
			*list = append(*list, Change{from.label, to.label, ports, had != has})
		}
	}
	put(&d.Gained, is.Allowed.Intersect(was.Denied))
	put(&d.Lost, was.Allowed.Intersect(is.Denied))
	unclear := was.Unknown.Union(is.Unknown)
	if !unclear.Empty() {
		d.Untold++
	}
	put(&d.Unclear, unclear.Minus(was.Unknown.Intersect(is.Unknown)))
}

// A Bundle is changes that are alike: everyone of From to everyone of To.
type Bundle struct {
	From, To []string
	Ports    network.PortSet
	New      bool
}

// Bundles gathers changes so that they can be read: those from many to one thing, and
// those from the same many to several.
func Bundles(list []Change) []Bundle {
	type half struct {
		to, ports string
		fresh     bool
	}
	byTo := map[half]*Bundle{}
	var order []*Bundle
	for _, c := range list {
		k := half{c.To, c.Ports.String(), c.New}
		if byTo[k] == nil {
			byTo[k] = &Bundle{To: []string{c.To}, Ports: c.Ports, New: c.New}
			order = append(order, byTo[k])
		}
		byTo[k].From = append(byTo[k].From, c.From)
	}
	type whole struct {
		from, ports string
		fresh       bool
	}
	byFrom := map[whole]*Bundle{}
	var out []*Bundle
	for _, b := range order {
		k := whole{strings.Join(b.From, " "), b.Ports.String(), b.New}
		if byFrom[k] == nil {
			byFrom[k] = b
			out = append(out, b)
			continue
		}
		byFrom[k].To = append(byFrom[k].To, b.To...)
	}
	slices.SortStableFunc(out, func(a, b *Bundle) int {
		return cmp.Or(strings.Compare(a.From[0], b.From[0]), strings.Compare(a.To[0], b.To[0]))
	})
	all := make([]Bundle, len(out))
	for i, b := range out {
		all[i] = *b
	}
	return all
}
