package network

import (
	"net/netip"
	"slices"
)

// ConnectionsOfAll is what every one of the one end may do to every one of the other: what
// is allowed is so for all pairs, what is denied is so for one of them.
func (w *World) ConnectionsOfAll(from, to Endpoint) Connections {
	out, first := outcome{}, true
	w.pairs(w.pods(from), w.pods(to), func(a, b point, near Tri) {
		if o := w.outcome(a, b, near, AllPorts); first {
			out, first = o, false
		} else {
			out = out.and(o)
		}
	})
	if first {
		out = outcome{deny: AllPorts}
	}
	return out.connections()
}

// Prefixes are all ranges of addresses that policies name. Addresses that are in the same
// ones are answered alike.
func (w *World) Prefixes() []netip.Prefix {
	return slices.Concat(w.tables[v4].prefixes, w.tables[v6].prefixes)
}
