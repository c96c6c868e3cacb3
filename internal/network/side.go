package network

import "slices"

// A kind of side decides what policies see of it.
type kind uint8

const (
	podKind     kind = iota // a pod with a network of its own
	hostKind                // a node, and every pod on its network
	addressKind             // an address that is neither
)

// A side is what policies see of one end of a connection. All pods of a class have the
// same one.
type side struct {
	kind  kind
	terms []match // of pods: the sets that it is in
	nodes []match // of hosts: the selectors of nodes that take it in
	cells [families]int32
	ports *portNames
	// rules are the policies that are for it; nil where no policy ever is.
	lists [2]*list
}

// families are those of the addresses that it has. One whose address is not known
// answers in any.
func (s *side) has(f family) bool { return s.cells[f] != absent }

// portNames are the numbers that a pod's ports have by name. Of one name there may be
// several, in one protocol or in several.
type portNames struct {
	id     int32
	byName map[string]PortSet
}

var noNames = &portNames{id: 0}

// meets reports whether the peers of a rule take the other end in, and if it is not
// known, why.
func (w *World) meets(p *peers, s *side, f family) Tri {
	if p.any {
		return Yes
	}
	out := No
	switch s.kind {
	case podKind:
		for _, id := range p.terms {
			if out = max(out, of(s.terms, id)); out == Yes {
				return Yes
			}
		}
		for i := range p.blocks {
			b := &p.blocks[i]
			if limit := w.limit(b, podKind); limit != No {
				if out = max(out, min(limit, b.takes(&w.tables, s.kind, f, s.cells[f]))); out == Yes {
					return Yes
				}
			}
		}
	case hostKind:
		for _, id := range p.nodes {
			if out = max(out, of(s.nodes, id)); out == Yes {
				return Yes
			}
		}
		for i := range p.blocks {
			if limit := w.limit(&p.blocks[i], hostKind); limit != No {
				if out = max(out, min(limit, p.blocks[i].takes(&w.tables, s.kind, f, s.cells[f]))); out == Yes {
					return Yes
				}
			}
		}
	case addressKind:
		for i := range p.blocks {
			if out = max(out, p.blocks[i].takes(&w.tables, s.kind, f, s.cells[f])); out == Yes {
				return Yes
			}
		}
	}
	if p.doubt != "" || p.outside && s.kind != podKind {
		return Maybe
	}
	return out
}

// limit is whether a block takes in anybody of the kind by address.
func (w *World) limit(b *block, k kind) Tri {
	switch {
	case k == podKind && !b.pods:
		return w.profile.BlocksMatchPods
	case k == hostKind && !b.pods:
		return w.profile.BlocksMatchNodes
	}
	return Yes
}

// resolve returns the ports of a rule at a destination, and those that may be.
func (p *ports) resolve(at *portNames) (sure, perhaps PortSet) {
	sure = p.set
	if len(p.named) > 0 && len(at.byName) > 0 {
		list := slices.Clone([]Ports(p.set))
		for _, n := range p.named {
			for _, q := range at.byName[n.name] {
				if n.protocol == "" || n.protocol == q.Protocol {
					list = append(list, q)
				}
			}
		}
		sure = normal(list)
	}
	if p.doubt != "" {
		perhaps = AllPorts
	}
	return sure, perhaps
}
