package network

import (
	"iter"
	"slices"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// A Cell is what may be opened from all of one namespace to all of another.
type Cell struct {
	// Any is what one of its workloads may open to one of the other's, Every what each
	// may to each. Both are without a workload to itself.
	Any, Every Connections
}

// Namespaces sums the matrix up: from each namespace with pods to each. The names stand
// for the rows and columns.
func (w *World) Namespaces() ([]string, [][]Cell) {
	m := w.Matrix()
	at := map[string]int32{}
	var names []string
	for i := range w.members {
		if ns := w.members[i].spec.Namespace(); at[ns] == 0 {
			names = append(names, ns)
			at[ns] = 1
		}
	}
	slices.Sort(names)
	for i, ns := range names {
		at[ns] = int32(i)
	}
	in := make([][]int32, len(w.classes)) // the namespaces of each class
	for i, c := range w.classes {
		for _, x := range c.members {
			if ns := at[w.members[x].spec.Namespace()]; !slices.Contains(in[i], ns) {
				in[i] = append(in[i], ns)
			}
		}
	}
	type sum struct{ anyone, every int32 }
	sums := make([][]sum, len(names))
	for i := range sums {
		sums[i] = slices.Repeat([]sum{{-1, -1}}, len(names))
	}
	for from, row := range m.rows() {
		m.mu.Lock()
		for to, id := range row {
			if from == to && len(w.classes[from].members) < 2 {
				continue // a pod and itself
			}
			for _, a := range in[from] {
				for _, b := range in[to] {
					s := &sums[a][b]
					if s.anyone < 0 {
						*s = sum{id, id}
					} else if s.anyone != id || s.every != id {
						s.anyone, s.every = m.outcomes.any.of(s.anyone, id), m.outcomes.and.of(s.every, id)
					}
				}
			}
		}
		m.mu.Unlock()
	}
	out := make([][]Cell, len(names))
	for i := range out {
		out[i] = make([]Cell, len(names))
		for j, s := range sums[i] {
			if s.anyone >= 0 {
				out[i][j] = Cell{m.outcomes.list[s.anyone].connections(), m.outcomes.list[s.every].connections()}
			}
		}
	}
	return names, out
}

// A Pair is two workloads, and what one may open to the other.
type Pair struct {
	From, To Endpoint
	Connections
}

// Pairs iterates over all pairs of the ends, without those of an end and itself. What
// pods of one class may open is taken from the matrix.
func (w *World) Pairs(from, to []Endpoint) iter.Seq[Pair] {
	return func(yield func(Pair) bool) {
		m := w.Matrix()
		theirs := make([]int32, len(to))
		for i, e := range to {
			theirs[i] = w.classOfEnd(e)
		}
		row, room := make([]int32, len(w.classes)), make([]int32, len(w.classes))
		var known []Connections
		last := int32(-1)
		for _, a := range from {
			class := w.classOfEnd(a)
			if class >= 0 && class != last {
				m.mu.Lock()
				m.fill(int(class), row, room)
				known = m.outcomes.all(known)
				m.mu.Unlock()
				last = class
			}
			for i, b := range to {
				if a.Ref == b.Ref && a.Ref != (cluster.Ref{}) {
					continue
				}
				p := Pair{From: a, To: b}
				if class >= 0 && theirs[i] >= 0 {
					p.Connections = known[row[theirs[i]]]
				} else {
					p.Connections = w.Connections(a, b)
				}
				if !yield(p) {
					return
				}
			}
		}
	}
}

// classOfEnd is the class that all pods of an end are in, or -1.
func (w *World) classOfEnd(e Endpoint) int32 {
	if e.service != nil || len(e.groups) != 1 || e.first().side.kind != podKind {
		return -1
	}
	return w.members[e.first().member].class
}

// Openness is who of the cluster's pods may open connections to a workload's.
type Openness struct {
	To cluster.Ref
	// Every are the ports that every other pod may open, Any those that one may.
	Every, Any Connections
}

// Open tells for each workload who of the cluster's other pods gets to it.
func (w *World) Open() []Openness {
	every, anyone := w.fromPods()
	var out []Openness
	for _, e := range w.Workloads() {
		o, first := Openness{To: e.Ref}, true
		var all, some outcome
		for _, i := range w.byRef[e.Ref] {
			c := w.members[i].class
			if every[c] == nil {
				continue
			}
			if first {
				all, some, first = *every[c], *anyone[c], false
			} else {
				all, some = all.any(*every[c]), some.any(*anyone[c])
			}
		}
		if !first {
			o.Every, o.Any = all.connections(), some.connections()
			out = append(out, o)
		}
	}
	return out
}

// fromPods sums up the columns of the matrix: what every pod, and what any pod, may open
// to a class. Both are nil where there is no other pod.
func (w *World) fromPods() (every, anyone []*outcome) {
	m := w.Matrix()
	alls, somes := slices.Repeat([]int32{-1}, len(w.classes)), slices.Repeat([]int32{-1}, len(w.classes))
	for from, row := range m.rows() {
		n := len(w.classes[from].members)
		m.mu.Lock()
		for to, id := range row {
			switch {
			case n == 0 || n == 1 && from == to:
			case alls[to] < 0:
				alls[to], somes[to] = id, id
			case alls[to] == id && somes[to] == id:
			default:
				alls[to], somes[to] = m.outcomes.and.of(alls[to], id), m.outcomes.any.of(somes[to], id)
			}
		}
		m.mu.Unlock()
	}
	every, anyone = make([]*outcome, len(w.classes)), make([]*outcome, len(w.classes))
	for i := range alls {
		if alls[i] >= 0 {
			every[i], anyone[i] = &m.outcomes.list[alls[i]], &m.outcomes.list[somes[i]]
		}
	}
	return every, anyone
}
