package network

import (
	"iter"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

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
