package network

import (
	"cmp"
	"net/netip"
	"slices"
	"sort"
)

// A family is the version of IP that a connection uses.
type family uint8

const (
	v4 family = iota
	v6
	anyFamily // between ends whose addresses are not known
	families
)

func familyOf(a netip.Addr) family {
	if a.Is4() {
		return v4
	}
	return v6
}

// Cells that are none of the prefixes'.
const (
	noCell  int32 = -1 // in no prefix
	unknown int32 = -2 // the address is not known
	absent  int32 = -3 // it has no address of the family
)

// A table holds the prefixes of one family, sorted so that those within a prefix follow
// it: prefixes[i:end[i]] are prefix i and all within it. The cell of an address is the
// narrowest prefix that it is in.
type table struct {
	prefixes []netip.Prefix
	end      []int32
	parent   []int32
}

func comparePrefix(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

func newTable(prefixes []netip.Prefix) *table {
	slices.SortFunc(prefixes, comparePrefix)
	prefixes = slices.Compact(prefixes)
	t := &table{prefixes: prefixes, end: make([]int32, len(prefixes)), parent: make([]int32, len(prefixes))}
	var open []int32
	for i, p := range prefixes {
		for len(open) > 0 && !t.prefixes[open[len(open)-1]].Contains(p.Addr()) {
			t.end[open[len(open)-1]] = int32(i)
			open = open[:len(open)-1]
		}
		t.parent[i] = noCell
		if len(open) > 0 {
			t.parent[i] = open[len(open)-1]
		}
		open = append(open, int32(i))
	}
	for _, i := range open {
		t.end[i] = int32(len(prefixes))
	}
	return t
}

// id is the place of a prefix that is in the table.
func (t *table) id(p netip.Prefix) int32 {
	i, _ := slices.BinarySearchFunc(t.prefixes, p, comparePrefix)
	return int32(i)
}

// cell is the narrowest prefix with the address, or noCell.
func (t *table) cell(a netip.Addr) int32 {
	i := int32(sort.Search(len(t.prefixes), func(i int) bool { return t.prefixes[i].Addr().Compare(a) > 0 })) - 1
	for i >= 0 && !t.prefixes[i].Contains(a) {
		i = t.parent[i]
	}
	return i
}

// within reports whether a cell lies in a prefix.
func (t *table) within(cell, prefix int32) bool { return prefix <= cell && cell < t.end[prefix] }

// regions are the cells that a range of addresses is cut into, each with an address of
// its own: that of the range itself, and those of all prefixes within it.
func (t *table) regions(r netip.Prefix) []region {
	from, _ := slices.BinarySearchFunc(t.prefixes, r, comparePrefix)
	to := from
	for to < len(t.prefixes) && r.Contains(t.prefixes[to].Addr()) {
		to++
	}
	var out []region
	if from == to || t.prefixes[from] != r {
		if a, ok := firstFree(r, t.prefixes[from:to]); ok {
			out = append(out, region{t.cell(a), a})
		}
	}
	for i := from; i < to; i++ {
		if a, ok := firstFree(t.prefixes[i], t.prefixes[i+1:t.end[i]]); ok {
			out = append(out, region{int32(i), a})
		}
	}
	return out
}

type region struct {
	cell int32
	addr netip.Addr
}

// firstFree is the first address of a prefix that none of those within it has. They are
// sorted as a table's are.
func firstFree(p netip.Prefix, inner []netip.Prefix) (netip.Addr, bool) {
	at := p.Addr()
	for _, q := range inner {
		if at.Less(q.Addr()) {
			return at, true
		}
		if last := lastAddr(q); !last.Less(at) {
			if at = last.Next(); !at.IsValid() {
				return at, false
			}
		}
	}
	return at, p.Contains(at)
}

func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// A block is a range of addresses without some, as a peer.
type block struct {
	cidr   netip.Prefix
	except []netip.Prefix
	// pods: it takes in pods whatever the network does with an ipBlock.
	pods bool

	// The same as places in the table, excepts as disjoint ranges in order.
	family  family
	id      int32
	without [][2]int32
	// unseen is whether it takes in a pod whose address is not known.
	unseen Tri
}

// resolve finds the block's place in the tables, and what it is to pods that get their
// addresses from some ranges.
func (b *block) resolve(tables *[2]*table, pods []netip.Prefix) {
	b.family = familyOf(b.cidr.Addr())
	t := tables[b.family]
	b.id = t.id(b.cidr)
	slices.SortFunc(b.except, comparePrefix)
	for _, p := range b.except {
		if p.Addr().Is4() != b.cidr.Addr().Is4() {
			continue
		}
		id := t.id(p)
		if n := len(b.without); n == 0 || b.without[n-1][1] <= id {
			b.without = append(b.without, [2]int32{id, t.end[id]})
		}
	}
	b.unseen = Maybe
	if len(pods) == 0 {
		return
	}
	some, all := false, true
	for _, p := range pods {
		if familyOf(p.Addr()) != b.family {
			continue
		}
		meets := b.cidr.Overlaps(p) && !slices.ContainsFunc(b.except, func(e netip.Prefix) bool { return e.Bits() <= p.Bits() && e.Overlaps(p) })
		whole := b.cidr.Bits() <= p.Bits() && b.cidr.Overlaps(p) && !slices.ContainsFunc(b.except, p.Overlaps)
		some, all = some || meets, all && whole
	}
	switch {
	case !some:
		b.unseen = No
	case all:
		b.unseen = Yes
	}
}

// takes reports whether an address of somebody of the kind, in the cell, is in the block.
func (b *block) takes(tables *[2]*table, k kind, f family, cell int32) Tri {
	switch {
	case cell == unknown && f != anyFamily && f != b.family:
		return No
	case cell == unknown && k == podKind:
		return b.unseen
	case cell == unknown && f == b.family && b.cidr.Bits() == 0 && len(b.except) == 0:
		return Yes
	case cell == unknown:
		return Maybe
	case f != b.family || cell < 0 || !tables[f].within(cell, b.id):
		return No
	}
	i := sort.Search(len(b.without), func(i int) bool { return b.without[i][1] > cell })
	if i < len(b.without) && b.without[i][0] <= cell {
		return No
	}
	return Yes
}
