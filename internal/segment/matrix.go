package segment

import (
	"bufio"
	"cmp"
	"encoding/json"
	"io"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/network"
)

// A Scope says what the units of a Grid are. The zero Scope is every namespace.
type Scope struct {
	// Within are namespaces whose workloads are units; the others are units themselves.
	Within []string
	// Workloads makes every workload one.
	Workloads bool
}

// A pod is one that a class of the engine holds, or the template that stands for it.
type pod struct {
	spec  *cluster.PodSpec
	owner cluster.Ref
	class int
}

// pods are all of them, in the order of the classes.
func (v *View) pods() []pod {
	specs := map[cluster.Ref]*cluster.PodSpec{}
	for _, spec := range v.Snapshot.Pods() {
		specs[spec.Object.Ref] = spec
	}
	var out []pod
	for class := range v.Classes() {
		for ref := range v.Members(class) {
			spec := specs[ref]
			owner := ref
			if spec.Of != nil {
				owner = spec.Of.Object.Ref
			}
			out = append(out, pod{spec, owner, class})
		}
	}
	return out
}

// A share is how many pods of a class a unit has.
type share struct {
	unit, class int
	pods        int64
	// template: what stands for pods that are not made yet, of which there may be several.
	template bool
}

// Grid tells what units may do to each other, and to and from the internet. Pods on their
// nodes' networks are none of it: policies do not reach them.
func (v *View) Grid(scope Scope) *Grid {
	units := map[Unit]int{}
	var list []Unit
	at := func(u Unit) int {
		i, ok := units[u]
		if !ok {
			i = len(list)
			units[u] = i
			list = append(list, u)
		}
		return i
	}
	for _, ns := range v.Snapshot.Namespaces() {
		if !scope.Workloads && !slices.Contains(scope.Within, ns) {
			at(Unit{Kind: "Namespace", Name: ns})
		}
	}
	shares := map[[2]int]*share{}
	var order []*share
	for _, p := range v.pods() {
		if p.spec.Spec.HostNetwork {
			continue
		}
		u := Unit{Kind: "Namespace", Name: p.spec.Namespace()}
		if scope.Workloads || slices.Contains(scope.Within, p.spec.Namespace()) {
			u = Unit{Kind: p.owner.Kind, Namespace: p.owner.Namespace, Name: p.owner.Name}
		}
		key := [2]int{at(u), p.class}
		if shares[key] == nil {
			shares[key] = &share{unit: key[0], class: key[1]}
			order = append(order, shares[key])
		}
		shares[key].pods++
		shares[key].template = shares[key].template || p.spec.Object.Kind != "Pod"
	}
	outside := at(Unit{Kind: Internet, Name: Internet})
	g := NewGrid(slices.Clone(list))
	for _, s := range order {
		g.Units[s.unit].Pods += int(s.pods)
	}
	v.fill(g, order, outside)
	return g.sorted(scope)
}

// fill judges every cell.
func (v *View) fill(g *Grid, shares []*share, outside int) {
	byClass := make([][]*share, v.Classes())
	for _, s := range shares {
		byClass[s.class] = append(byClass[s.class], s)
	}
	t := &tally{newOutcomes(), g, make([][]int32, len(g.cells))}
	for from, row := range v.Matrix().Rows() {
		for _, a := range byClass[from] {
			for to := range row {
				if len(byClass[to]) == 0 {
					continue
				}
				id := t.id(row[to])
				for _, b := range byClass[to] {
					pairs := a.pods * b.pods
					if a == b {
						if pairs -= a.pods; a.template && pairs == 0 {
							pairs = 1
						}
					}
					t.put(a.unit, b.unit, pairs, id)
				}
			}
		}
	}
	for class := range byClass {
		if len(byClass[class]) == 0 {
			continue
		}
		for ref := range v.Members(class) {
			e, ok := v.Find(ref)
			if !ok {
				continue
			}
			pod := Place{label(e), []network.Endpoint{e}}
			out, _ := v.Between(pod, v.internet)
			in, _ := v.Between(v.internet, pod)
			for _, s := range byClass[class] {
				t.put(s.unit, outside, s.pods, t.id(out))
				t.put(outside, s.unit, s.pods, t.id(in))
			}
			break // all of a class are alike
		}
	}
	for i := range g.cells {
		g.cells[i].settle(t.whole(i))
	}
}

// A tally adds up what pairs of pods may do, cell by cell.
type tally struct {
	*outcomes
	g *Grid
	// seen are, for each cell, the outcomes that were added to it.
	seen [][]int32
}

func (t *tally) put(from, to int, pairs int64, id int32) {
	if pairs == 0 {
		return
	}
	at := from*len(t.g.Units) + to
	c := &t.g.cells[at]
	c.Pairs += pairs
	if !t.known[id].Allowed.Empty() {
		c.Reach += pairs
	}
	if s := t.seen[at]; len(s) > 0 && s[len(s)-1] == id || slices.Contains(s, id) {
		return
	}
	t.seen[at] = append(t.seen[at], id)
}

// whole joins what was added to a cell.
func (t *tally) whole(at int) (some, all, unknown network.PortSet) {
	all = network.AllPorts
	for _, id := range t.seen[at] {
		c := t.known[id]
		some, all, unknown = some.Union(c.Allowed), all.Intersect(c.Allowed), unknown.Union(c.Unknown)
	}
	return some, all, unknown
}

// settle decides a cell's state.
func (c *Cell) settle(some, all, unknown network.PortSet) {
	if c.Pairs == 0 {
		return
	}
	c.Ports, c.Untold = some, !unknown.Empty()
	switch {
	case all.All():
		c.State = Open
	case !some.Empty():
		c.State = Part
	case c.Untold:
		c.State = Untold
	default:
		c.State = Closed
	}
}

// sorted puts the units in order: workloads, namespaces, the internet.
func (g *Grid) sorted(scope Scope) *Grid {
	order := make([]int, len(g.Units))
	for i := range order {
		order[i] = i
	}
	rank := func(u Unit) int {
		switch {
		case u.Kind == Internet:
			return 2
		case u.Namespace == "" && len(scope.Within) > 0:
			return 1
		}
		return 0
	}
	slices.SortFunc(order, func(i, j int) int {
		a, b := g.Units[i], g.Units[j]
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind))
	})
	out := NewGrid(make([]Unit, len(g.Units)))
	for i, was := range order {
		out.Units[i] = g.Units[was]
		for j, other := range order {
			*out.At(i, j) = *g.At(was, other)
		}
	}
	return out
}

// A Port is one port of one protocol.
type Port struct {
	Protocol corev1.Protocol
	Number   int32
}

// WritePods writes one JSON line for each ordered pair of two pods and each port, by the
// pods' names. Where a workload has no pods yet, its template stands for them.
func (v *View) WritePods(w io.Writer, ports []Port) error {
	pods := v.pods()
	names := make([]string, len(pods))
	for i, p := range pods {
		ref := p.spec.Object.Ref
		names[i] = Unit{Kind: ref.Kind, Namespace: ref.Namespace, Name: ref.Name}.String()
	}
	order := make([]int, len(pods))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(names[a], names[b]) })

	classes := v.Classes()
	verdicts := make([]network.Verdict, classes*classes*len(ports))
	for from, row := range v.Matrix().Rows() {
		for to := range row {
			for i, p := range ports {
				verdicts[(from*classes+to)*len(ports)+i] = row[to].Of(p.Protocol, p.Number)
			}
		}
	}
	heads, tos := make([][]byte, len(pods)), make([][]byte, len(pods))
	for i, name := range names {
		text, err := json.Marshal(name)
		if err != nil {
			return err
		}
		heads[i] = append([]byte(`{"from":`), text...)
		tos[i] = append([]byte(`,"to":`), text...)
	}
	tails := make([][3][]byte, len(ports))
	for i, p := range ports {
		for verdict := range tails[i] {
			tails[i][verdict] = []byte(`,"protocol":"` + string(p.Protocol) + `","port":` + strconv.Itoa(int(p.Number)) +
				`,"verdict":"` + network.Verdict(verdict).String() + "\"}\n")
		}
	}
	b := bufio.NewWriterSize(w, 256<<10)
	for _, from := range order {
		for _, to := range order {
			if from == to {
				continue
			}
			at := (pods[from].class*classes + pods[to].class) * len(ports)
			near := pods[from].spec.Spec.HostNetwork || pods[to].spec.Spec.HostNetwork
			for i, p := range ports {
				verdict := verdicts[at+i]
				if near && verdict == network.Unknown {
					verdict = v.near(&pods[from], &pods[to], p)
				}
				for _, part := range [...][]byte{heads[from], tos[to], tails[i][verdict]} {
					if _, err := b.Write(part); err != nil {
						return err
					}
				}
			}
		}
	}
	return b.Flush()
}

// near asks of two pods by themselves, which may be on one node: classes do not tell.
func (v *View) near(from, to *pod, p Port) network.Verdict {
	a, ok := v.Find(from.spec.Object.Ref)
	b, also := v.Find(to.spec.Object.Ref)
	if !ok || !also {
		return network.Unknown
	}
	return v.Connections(a, b).Of(p.Protocol, p.Number)
}

// A Line is what one unit may do to another, for programs.
type Line struct {
	From, To    string
	Connections network.Connections
	// Mixed are ports that only some of the one may use to some of the other.
	Mixed network.PortSet
	// Kind numbers the connections: lines of one kind have equal ones.
	Kind int32
}

// Lines calls f for each ordered pair of different workloads.
func (v *View) Lines(f func(Line) error) error {
	all := places(v.Workloads())
	t := newTable(v, newOutcomes())
	for _, a := range all {
		for _, b := range all {
			if a.Label == b.Label {
				continue
			}
			line := Line{From: a.Label, To: b.Label, Kind: t.between(a, b)}
			line.Connections = t.o.known[line.Kind]
			if t.class[a.Label] < 0 || t.class[b.Label] < 0 {
				every, _ := v.Judge(a, b, network.AllPorts, network.Allowed)
				line.Mixed = line.Connections.Allowed.Minus(every)
			}
			if err := f(line); err != nil {
				return err
			}
		}
	}
	return nil
}
