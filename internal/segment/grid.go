package segment

import (
	"fmt"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/network"
)

// A State is what holds between all pods of one unit and all of another, graver ones
// later.
type State uint8

// The states of a Cell.
const (
	// Nobody: one of the two has no pods that policies reach.
	Nobody State = iota
	// Closed: nobody reaches anybody, on no port.
	Closed
	// Untold: nothing is known to be allowed, and something cannot be told.
	Untold
	// Part: something is allowed, and something is not.
	Part
	// Open: everybody reaches everybody on every port.
	Open
)

func (s State) String() string {
	return [...]string{"nobody", "closed", "unknown", "part", "open"}[s]
}

// A Unit is a row and a column of a Grid: a namespace, a workload, or all that is outside
// of the cluster.
type Unit struct {
	Kind      string `json:"kind"` // Namespace, Internet, or a workload's kind
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Pods      int    `json:"pods"`
}

// Internet is the kind and the name of the unit that is everybody outside.
const Internet = "internet"

func (u Unit) String() string {
	switch {
	case u.Namespace == "":
		return u.Name
	case u.Kind == "Pod":
		return u.Namespace + "/" + u.Name
	}
	return u.Namespace + "/" + strings.ToLower(u.Kind) + "/" + u.Name
}

// A Cell is what the pods of one unit may do to those of another. A pod's connections to
// itself are no part of it.
type Cell struct {
	State State
	// Untold: some pairs or ports cannot be told.
	Untold bool
	// Ports are those that some pair may use.
	Ports network.PortSet
	// Pairs of pods, and how many of them may use some port.
	Pairs, Reach int64
}

// Text is a Cell in a few words.
func (c Cell) Text() string {
	text := c.State.String()
	switch c.State {
	case Nobody:
		return "no pods"
	case Open:
		return "open: all ports"
	case Part:
		text = "part: " + c.Ports.String()
		if c.Ports.All() && c.Reach == c.Pairs {
			text += ", not to everybody"
		}
		if c.Reach < c.Pairs {
			text += fmt.Sprintf(" (%d of %d pairs of pods)", c.Reach, c.Pairs)
		}
	case Closed, Untold:
	}
	if c.Untold && c.State != Untold {
		text += ", not all of it is known"
	}
	return text
}

// A Grid is what units may do to each other.
type Grid struct {
	Units []Unit
	cells []Cell
}

// NewGrid returns a grid of units, in which nobody has pods yet.
func NewGrid(units []Unit) *Grid {
	return &Grid{Units: units, cells: make([]Cell, len(units)*len(units))}
}

// At is what row i may do to column j.
func (g *Grid) At(i, j int) *Cell { return &g.cells[i*len(g.Units)+j] }

// Count is how many cells between different units have each state.
func (g *Grid) Count() map[State]int {
	out := map[State]int{}
	for i := range g.Units {
		for j := range g.Units {
			if i != j {
				out[g.At(i, j).State]++
			}
		}
	}
	return out
}

// A Band is units that are alike: exchanging any two of them changes nothing in the grid.
type Band []int

// Alike parts the units into bands, in the order of their first ones, so that a thousand
// namespaces of a few kinds can be looked at.
func (g *Grid) Alike() []Band {
	n := len(g.Units)
	type mark struct {
		state State
		ports string
	}
	ids := map[mark]uint64{}
	look := make([]uint32, n*n) // cells by their looks
	for i := range g.cells {
		c := &g.cells[i]
		m := mark{c.State, ""}
		if c.State == Part {
			m.ports = c.Ports.String()
		}
		id, ok := ids[m]
		if !ok {
			id = uint64(len(ids))
			ids[m] = id
		}
		look[i] = uint32(id)
	}
	// Units that are alike have the same sums over row and column, whatever their places.
	sum := func(i int) [3]uint64 {
		s := [3]uint64{uint64(look[i*n+i])}
		for j := range n {
			if j != i {
				s[1] += scatter(look[i*n+j])
				s[2] += scatter(look[j*n+i])
			}
		}
		return s
	}
	alike := func(a, b int) bool {
		if g.Units[a].Kind != g.Units[b].Kind || look[a*n+b] != look[b*n+a] {
			return false
		}
		for c := range n {
			if c != a && c != b && (look[a*n+c] != look[b*n+c] || look[c*n+a] != look[c*n+b]) {
				return false
			}
		}
		return true
	}
	var bands []Band
	bySum := map[[3]uint64][]int{} // places in bands
	for i := range n {
		key, found := sum(i), false
		for _, at := range bySum[key] {
			if alike(bands[at][0], i) {
				bands[at] = append(bands[at], i)
				found = true
				break
			}
		}
		if !found {
			bySum[key] = append(bySum[key], len(bands))
			bands = append(bands, Band{i})
		}
	}
	return bands
}

// scatter makes sums of small numbers tell which numbers they are of
// (the finalizer of SplitMix64).
func scatter(x uint32) uint64 {
	z := uint64(x) + 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Label names a band by its first unit.
func (g *Grid) Label(b Band) string {
	name := g.Units[b[0]].String()
	if len(b) > 1 {
		name += fmt.Sprintf(" +%d", len(b)-1)
	}
	return name
}

// Within is the cell that stands for one band to another: of a band to itself, that of two
// of its units.
func (g *Grid) Within(from, to Band) *Cell {
	if from[0] == to[0] && len(from) > 1 {
		return g.At(from[0], from[1])
	}
	return g.At(from[0], to[0])
}
