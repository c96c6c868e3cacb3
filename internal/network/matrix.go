package network

import (
	"cmp"
	"iter"
	"slices"
	"sync"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// A Matrix is what every class of pods may open to every other: the rows are sources.
// A pod's node is not part of its class, so that between pods and hosts what depends on
// their being on one node is unknown here; Connections tells it of two that are given.
type Matrix struct {
	w        *World
	outcomes interned
	families []family
	egress   [families][]*row      // by source
	ingress  [families][]int32     // each destination's usual outcome
	from     [families][][]special // by source: the destinations with another outcome
	none     int32                 // no common family

	mu sync.Mutex // of outcomes, which grow as rows are filled
}

// A row is the outcome of a list of policies for every class at the other end.
type row struct {
	usual   int32
	special []special
}

type special struct{ class, outcome int32 }

// Classes is how many there are. They are counted from 0.
func (w *World) Classes() int { return len(w.classes) }

// Members iterates over the pods of a class, and templates that have none.
func (w *World) Members(class int) iter.Seq[cluster.Ref] {
	return func(yield func(cluster.Ref) bool) {
		for _, i := range w.classes[class].members {
			if !yield(w.members[i].spec.Object.Ref) {
				return
			}
		}
	}
}

// Matrix returns the matrix of classes, which is made once, at the first call.
func (w *World) Matrix() *Matrix { return w.matrix() }

// Between is what one class may open to another.
func (m *Matrix) Between(from, to int) Connections {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]int32, len(m.w.classes))
	m.fill(from, out, make([]int32, len(out)))
	return m.outcomes.list[out[to]].connections()
}

// Rows iterates over the sources. The answers are by destination and hold until the next
// one.
func (m *Matrix) Rows() iter.Seq2[int, []Connections] {
	return func(yield func(int, []Connections) bool) {
		out := make([]Connections, len(m.w.classes))
		var known []Connections
		for from, ids := range m.rows() {
			m.mu.Lock()
			known = m.outcomes.all(known)
			m.mu.Unlock()
			for i, id := range ids {
				out[i] = known[id]
			}
			if !yield(from, out) {
				return
			}
		}
	}
}

// rows are the same by the outcomes' numbers.
func (m *Matrix) rows() iter.Seq2[int, []int32] {
	return func(yield func(int, []int32) bool) {
		out, in := make([]int32, len(m.w.classes)), make([]int32, len(m.w.classes))
		for from := range m.w.classes {
			m.mu.Lock()
			m.fill(from, out, in)
			m.mu.Unlock()
			if !yield(from, out) {
				return
			}
		}
	}
}

// fill computes a row; in is room of the same length.
func (m *Matrix) fill(from int, out, in []int32) {
	for i := range out {
		out[i] = -1
	}
	s := &m.w.classes[from].side
	for _, f := range m.families {
		if !s.has(f) {
			continue
		}
		copy(in, m.ingress[f])
		for _, x := range m.from[f][from] {
			in[x.class] = x.outcome
		}
		e, next := m.egress[f][from], 0
		both := m.outcomes.and.row(e.usual)
		for to := range out {
			d := &m.w.classes[to].side
			if !d.has(f) || f != anyFamily && s.has(anyFamily) && d.has(anyFamily) {
				if next < len(e.special) && int(e.special[next].class) == to {
					next++
				}
				continue
			}
			var id int32
			if next < len(e.special) && int(e.special[next].class) == to {
				id = m.outcomes.and.of(e.special[next].outcome, in[to])
				next++
			} else if id = both.at(in[to]); id < 0 {
				id = m.outcomes.and.of(e.usual, in[to])
				both = m.outcomes.and.row(e.usual)
			}
			switch {
			case out[to] < 0:
			case unsettled(s, d):
				id = m.outcomes.or.of(out[to], id)
			default:
				id = m.outcomes.any.of(out[to], id)
			}
			out[to] = id
		}
	}
	for i := range out {
		if out[i] < 0 {
			out[i] = m.none
		}
	}
}

// newMatrix judges every list of policies once for each group of classes that its rules
// tell apart.
func (w *World) newMatrix() *Matrix {
	m := &Matrix{w: w}
	m.outcomes.init()
	m.none = m.outcomes.id(outcome{deny: AllPorts})
	free := &row{usual: m.outcomes.id(free(AllPorts))}
	r := newRefiner(w, &m.outcomes)
	for _, f := range []family{v4, v6, anyFamily} {
		if !slices.ContainsFunc(w.classes, func(c *class) bool { return c.has(f) }) {
			continue
		}
		m.families = append(m.families, f)
		r.family(f)
		type want struct {
			list  *list
			ports *portNames
		}
		rows := map[want]*row{}
		get := func(c *class, d Direction) *row {
			l := c.lists[d]
			if l == nil {
				return free
			}
			k := want{list: l}
			if d == Ingress && l.named {
				k.ports = c.ports
			}
			if rows[k] == nil {
				rows[k] = r.row(l, k.ports)
			}
			return rows[k]
		}
		m.egress[f] = make([]*row, len(w.classes))
		m.ingress[f] = make([]int32, len(w.classes))
		m.from[f] = make([][]special, len(w.classes))
		count := make([]int32, len(w.classes))
		in := make([]*row, len(w.classes))
		for i, c := range w.classes {
			m.egress[f][i], in[i] = get(c, Egress), get(c, Ingress)
			m.ingress[f][i] = in[i].usual
			for _, x := range in[i].special {
				count[x.class]++
			}
		}
		for i, n := range count {
			m.from[f][i] = make([]special, 0, n)
		}
		for i := range in {
			for _, x := range in[i].special {
				m.from[f][x.class] = append(m.from[f][x.class], special{int32(i), x.outcome})
			}
		}
	}
	return m
}

// A refiner parts the classes into groups that the rules of a list tell apart.
type refiner struct {
	w        *World
	outcomes *interned
	byTerm   [][]special // classes in each term, with their Tri
	byNode   [][]special
	hosts    []int32
	named    []int32 // classes with named ports

	f      family
	byCell []int32 // classes whose address is known, by its cell
	unseen []int32

	now     []Tri   // what the rule at hand is to each class
	met     []int32 // the classes that it meets
	group   []int32 // each class's group
	touched []int32 // the classes that are not in group 0
	groups  []group
	next    map[group]int32
}

// A group is its parent and one more rule that meets it, or may.
type group struct {
	parent, entry, rule int32
	is                  Tri
}

func newRefiner(w *World, outcomes *interned) *refiner {
	r := &refiner{
		w: w, outcomes: outcomes,
		byTerm: make([][]special, len(w.terms.all)), byNode: make([][]special, len(w.terms.nodes)),
		now: make([]Tri, len(w.classes)), group: make([]int32, len(w.classes)),
	}
	for i, c := range w.classes {
		for _, m := range c.terms {
			r.byTerm[m.id] = append(r.byTerm[m.id], special{int32(i), int32(m.is)})
		}
		for _, m := range c.nodes {
			r.byNode[m.id] = append(r.byNode[m.id], special{int32(i), int32(m.is)})
		}
		if c.kind == hostKind {
			r.hosts = append(r.hosts, int32(i))
		} else if c.ports != noNames {
			r.named = append(r.named, int32(i))
		}
	}
	return r
}

func (r *refiner) family(f family) {
	r.f, r.byCell, r.unseen = f, nil, nil
	for i, c := range r.w.classes {
		switch cell := c.cells[f]; {
		case cell == unknown:
			r.unseen = append(r.unseen, int32(i))
		case cell >= 0:
			r.byCell = append(r.byCell, int32(i))
		}
	}
	slices.SortFunc(r.byCell, func(a, b int32) int { return int(r.w.classes[a].cells[f] - r.w.classes[b].cells[f]) })
}

// row judges a list for every class. at are the destination's ports, where it is the
// list's own end.
func (r *refiner) row(l *list, at *portNames) *row {
	for _, c := range r.touched {
		r.group[c] = 0
	}
	r.touched, r.groups, r.next = r.touched[:0], append(r.groups[:0], group{}), map[group]int32{}
	var always []hit // rules that meet everybody
	for i, e := range l.entries {
		rules := e.rules[l.direction]
		for j := range rules {
			p := &rules[j].peers
			if p.any {
				always = append(always, hit{int32(i), &rules[j], Yes})
				continue
			}
			r.meet(p)
			for _, c := range r.met {
				r.refine(c, group{entry: int32(i), rule: int32(j), is: r.now[c]})
				r.now[c] = No
			}
			r.met = r.met[:0]
		}
	}
	own := at
	if own == nil {
		own = noNames
	}
	type end struct {
		group int32
		ports *portNames
		host  bool
	}
	ids := map[end]int32{}
	judge := func(e end) int32 {
		id, ok := ids[e]
		if !ok {
			o := l.judge(r.hits(l, e.group, always), e.ports, AllPorts, nil)
			if e.host && (l.direction == Ingress || r.w.profile.EgressToOwnNode != Yes) {
				o = o.or(free(AllPorts)) // if the two are on one node
			}
			id = r.outcomes.id(o)
			ids[e] = id
		}
		return id
	}
	apart := func(c int32) {
		if r.group[c] == 0 {
			r.refine(c, group{entry: -1})
		}
	}
	for _, c := range r.hosts {
		apart(c)
	}
	if l.direction == Egress && l.named {
		for _, c := range r.named {
			apart(c)
		}
	}
	out := &row{usual: judge(end{ports: own})}
	count := map[int32]int{out.usual: len(r.group) - len(r.touched)}
	all := make([]special, 0, len(r.touched))
	for _, c := range r.touched {
		e := end{group: r.group[c], ports: own, host: r.w.classes[c].kind == hostKind}
		if l.direction == Egress {
			e.ports = noNames
			if l.named {
				e.ports = r.w.classes[c].ports
			}
		}
		id := judge(e)
		count[id]++
		all = append(all, special{c, id})
	}
	return out.shorten(all, count, len(r.group))
}

// shorten takes the commonest outcome for the usual one.
func (out *row) shorten(all []special, count map[int32]int, classes int) *row {
	slices.SortFunc(all, func(a, b special) int { return int(a.class - b.class) })
	best := out.usual
	for id, n := range count {
		if n > count[best] || n == count[best] && id < best {
			best = id
		}
	}
	if best == out.usual {
		out.special = slices.DeleteFunc(all, func(x special) bool { return x.outcome == best })
		return out
	}
	for c, next := 0, 0; c < classes; c++ {
		id := out.usual
		if next < len(all) && int(all[next].class) == c {
			id = all[next].outcome
			next++
		}
		if id != best {
			out.special = append(out.special, special{int32(c), id})
		}
	}
	out.usual = best
	return out
}

// refine moves a class into the group that differs from its own by one rule.
func (r *refiner) refine(c int32, g group) {
	g.parent = r.group[c]
	id, ok := r.next[g]
	if !ok {
		id = int32(len(r.groups))
		r.groups = append(r.groups, g)
		r.next[g] = id
	}
	if r.group[c] == 0 {
		r.touched = append(r.touched, c)
	}
	r.group[c] = id
}

// hits are the rules that meet a group, in the list's order.
func (r *refiner) hits(l *list, id int32, always []hit) []hit {
	out := slices.Clone(always)
	for ; id != 0; id = r.groups[id].parent {
		g := r.groups[id]
		if g.entry >= 0 {
			out = append(out, hit{g.entry, &l.entries[g.entry].rules[l.direction][g.rule], g.is})
		}
	}
	slices.SortFunc(out, func(a, b hit) int {
		return cmp.Or(cmp.Compare(a.entry, b.entry), cmp.Compare(a.rule.place, b.rule.place))
	})
	return out
}

// meet finds the classes that the peers take in, or may.
func (r *refiner) meet(p *peers) {
	mark := func(c int32, is Tri) {
		if is == No {
			return
		}
		if r.now[c] == No {
			r.met = append(r.met, c)
		}
		r.now[c] = max(r.now[c], is)
	}
	for _, id := range p.terms {
		for _, x := range r.byTerm[id] {
			mark(x.class, Tri(x.outcome))
		}
	}
	for _, id := range p.nodes {
		for _, x := range r.byNode[id] {
			mark(x.class, Tri(x.outcome))
		}
	}
	for i := range p.blocks {
		b := &p.blocks[i]
		limit := func(c int32) Tri { return r.w.limit(b, r.w.classes[c].kind) }
		for _, c := range r.unseen {
			mark(c, min(limit(c), b.takes(&r.w.tables, r.w.classes[c].kind, r.f, unknown)))
		}
		if r.f != b.family {
			continue
		}
		t := r.w.tables[r.f]
		from, _ := slices.BinarySearchFunc(r.byCell, b.id, func(c, id int32) int { return int(r.w.classes[c].cells[r.f] - id) })
		for _, c := range r.byCell[from:] {
			cell := r.w.classes[c].cells[r.f]
			if !t.within(cell, b.id) {
				break
			}
			mark(c, min(limit(c), b.takes(&r.w.tables, r.w.classes[c].kind, r.f, cell)))
		}
	}
	if p.doubt != "" {
		for c := range r.now {
			mark(int32(c), Maybe)
		}
	} else if p.outside {
		for _, c := range r.hosts {
			mark(c, Maybe)
		}
	}
}

// interned keeps every outcome once, and what becomes of two.
type interned struct {
	list []outcome
	byID map[string]int32
	and  pairing
	or   pairing
	any  pairing
}

func (t *interned) init() {
	t.byID = map[string]int32{}
	t.and = pairing{t: t, op: outcome.and}
	t.or = pairing{t: t, op: outcome.or}
	t.any = pairing{t: t, op: outcome.any}
}

func (t *interned) id(o outcome) int32 {
	k := o.allow.String() + "|" + o.deny.String()
	id, ok := t.byID[k]
	if !ok {
		id = int32(len(t.list))
		t.byID[k] = id
		t.list = append(t.list, o)
	}
	return id
}

// all extends a list of what each outcome is in words.
func (t *interned) all(known []Connections) []Connections {
	for len(known) < len(t.list) {
		known = append(known, t.list[len(known)].connections())
	}
	return known
}

// A pairing remembers what becomes of two outcomes.
type pairing struct {
	t    *interned
	op   func(a, b outcome) outcome
	rows []pairs
}

// pairs are the results of one outcome with each other, -1 where none is known.
type pairs []int32

func (p pairs) at(i int32) int32 {
	if int(i) >= len(p) {
		return -1
	}
	return p[i]
}

func (p *pairing) row(a int32) pairs {
	if int(a) >= len(p.rows) {
		return nil
	}
	return p.rows[a]
}

func (p *pairing) of(a, b int32) int32 {
	if id := p.row(a).at(b); id >= 0 {
		return id
	}
	id := p.t.id(p.op(p.t.list[a], p.t.list[b]))
	for len(p.rows) <= int(a) {
		p.rows = append(p.rows, nil)
	}
	for len(p.rows[a]) <= int(b) {
		p.rows[a] = append(p.rows[a], -1)
	}
	p.rows[a][b] = id
	return id
}
