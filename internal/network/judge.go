package network

import (
	"cmp"
	"slices"
)

// A list is all policies that are for a side in one direction, in the order in which they
// are asked. Sides with the same policies share it.
type list struct {
	id        int32
	direction Direction
	entries   []entry
	named     bool // some rule asks for a port by name
}

// An entry is a policy that is, or may be, for the side.
type entry struct {
	*policy
	is Tri
}

// A hit is a rule that meets, or may meet, the peer.
type hit struct {
	entry int32
	rule  *rule
	is    Tri
}

func newList(direction Direction, entries []entry) *list {
	slices.SortStableFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.tier, b.tier), cmp.Compare(a.priority, b.priority))
	})
	l := &list{direction: direction, entries: entries}
	for _, e := range entries {
		for i := range e.rules[direction] {
			l.named = l.named || len(e.rules[direction][i].ports.named) > 0
		}
	}
	return l
}

// hits are the rules that meet the peer, in order.
func (w *World) hits(l *list, peer *side, f family) []hit {
	var out []hit
	for i, e := range l.entries {
		rules := e.rules[l.direction]
		for j := range rules {
			if is := w.meets(&rules[j].peers, peer, f); is != No {
				out = append(out, hit{int32(i), &rules[j], is})
			}
		}
	}
	return out
}

// judge tells what becomes of the ports, given the rules that meet the peer and the names
// of the destination's ports. Tiers are asked in turn; a port that one decides does not
// come to the next. Where a rule may match or not, the port goes both ways.
func (l *list) judge(hits []hit, at *portNames, ports PortSet, t *trace) outcome {
	var out outcome
	for from := 0; from < len(l.entries); {
		tier, to := l.entries[from].tier, from
		for to < len(l.entries) && l.entries[to].tier == tier {
			to++
		}
		n := 0
		for n < len(hits) && int(hits[n].entry) < to {
			n++
		}
		if tier == namespaced {
			ports = l.isolated(from, to, hits[:n], at, ports, &out, t)
		} else {
			ports = l.ordered(hits[:n], at, ports, &out, t)
		}
		hits, from = hits[n:], to
	}
	out.allow = out.allow.Union(ports)
	t.rest(ports)
	return out
}

// ordered asks the policies of a tier by priority, and the rules of each in order. Among
// policies of one priority any may go first (ClusterNetworkPolicySpec.Priority), so a port
// may take the way of each. It returns the ports that nobody decided.
func (l *list) ordered(hits []hit, at *portNames, ports PortSet, out *outcome, t *trace) PortSet {
	var passed PortSet
	for len(hits) > 0 && !ports.Empty() {
		priority := l.entries[hits[0].entry].priority
		left := ports
		for len(hits) > 0 && l.entries[hits[0].entry].priority == priority {
			e := hits[0].entry
			mine := ports
			for len(hits) > 0 && hits[0].entry == e {
				h := hits[0]
				hits = hits[1:]
				sure, perhaps := h.rule.ports.resolve(at)
				meant := mine.Intersect(sure.Union(perhaps))
				if meant.Empty() {
					continue
				}
				t.hit(l, h)
				switch h.rule.action {
				case Accept:
					out.allow = out.allow.Union(meant)
				case Deny:
					out.deny = out.deny.Union(meant)
				case Pass:
					passed = passed.Union(meant)
				case unclear:
					out.allow, out.deny = out.allow.Union(meant), out.deny.Union(meant)
				}
				if h.is == Yes && l.entries[e].is == Yes && l.entries[e].doubt == "" && h.rule.action != unclear {
					mine = mine.Minus(sure)
				}
			}
			left = left.Intersect(mine)
		}
		ports = left
	}
	return ports.Union(passed)
}

// isolated asks NetworkPolicies: where one is for the side, what none of them lets
// through is denied, and nothing is left for the next tier.
func (l *list) isolated(from, to int, hits []hit, at *portNames, ports PortSet, out *outcome, t *trace) PortSet {
	isolates := No
	for i := from; i < to; i++ {
		e := l.entries[i]
		is := e.is
		if e.doubt != "" {
			is = min(is, Maybe)
		}
		isolates = max(isolates, is)
		t.isolates(l, int32(i))
	}
	var sure, some []Ports
	for _, h := range hits {
		yes, perhaps := h.rule.ports.resolve(at)
		if ports.Intersect(yes.Union(perhaps)).Empty() {
			continue
		}
		t.hit(l, h)
		some = append(append(some, yes...), perhaps...)
		if h.is == Yes && l.entries[h.entry].is == Yes && l.entries[h.entry].doubt == "" {
			sure = append(sure, yes...)
		}
	}
	out.allow = out.allow.Union(ports.Intersect(normal(some)))
	out.deny = out.deny.Union(ports.Minus(normal(sure)))
	if isolates == Yes {
		return nil
	}
	return ports
}
