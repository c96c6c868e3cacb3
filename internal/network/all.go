package network

import (
	"net/netip"
	"slices"
)

// ConnectionsOfAll is what every one of the one end may do to every one of the other: what
// is allowed is so for all pairs, what is denied is so for one of them. Pairs without a
// family of addresses in common do not count; some is false where there are no others.
func (w *World) ConnectionsOfAll(from, to Endpoint) (c Connections, some bool) {
	var out outcome
	w.pairs(w.pods(from), w.pods(to), func(a, b point, near Tri) {
		if common(a.side, b.side) == nil {
			return
		}
		o := w.outcome(a, b, near, AllPorts)
		if some {
			o = out.and(o)
		}
		out, some = o, true
	})
	if !some {
		out = outcome{deny: AllPorts}
	}
	return out.connections(), some
}

// Prefixes are all ranges of addresses that policies name. Addresses that are in the same
// ones are answered alike.
func (w *World) Prefixes() []netip.Prefix {
	return slices.Concat(w.tables[v4].prefixes, w.tables[v6].prefixes)
}
