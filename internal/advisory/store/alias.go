package store

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// aliases joins names of one vulnerability across feeds.
type aliases struct {
	number map[string]int32
	name   []string
	parent []int32
	// groups are the members of each name's group; set by close, and only read after it.
	groups [][]string
}

func newAliases() *aliases { return &aliases{number: map[string]int32{}} }

func (a *aliases) of(name string) int32 {
	if n, ok := a.number[name]; ok {
		return n
	}
	n := int32(len(a.name))
	a.number[name] = n
	a.name = append(a.name, name)
	a.parent = append(a.parent, n)
	return n
}

func (a *aliases) root(n int32) int32 {
	for a.parent[n] != n {
		a.parent[n] = a.parent[a.parent[n]]
		n = a.parent[n]
	}
	return n
}

// join says that names are of one vulnerability.
func (a *aliases) join(names []string) {
	first := int32(-1)
	for _, name := range names {
		if name == "" {
			continue
		}
		r := a.root(a.of(name))
		if first < 0 {
			first = r
		}
		a.parent[r] = first
	}
}

// close sorts the groups: the canonical name first, then the others by name.
func (a *aliases) close() {
	members := map[int32][]string{}
	for n, name := range a.name {
		r := a.root(int32(n))
		members[r] = append(members[r], name)
	}
	for _, g := range members {
		slices.SortFunc(g, compareNames)
		slices.Sort(g[1:])
	}
	a.groups = make([][]string, len(a.name))
	for n := range a.name {
		a.groups[n] = members[a.root(int32(n))]
	}
}

// group returns all names of a vulnerability, the canonical one first.
func (a *aliases) group(name string) []string {
	if n, ok := a.number[name]; ok {
		return a.groups[n]
	}
	return []string{name}
}

// compareNames puts CVEs first, the oldest before others, and then GHSAs.
func compareNames(a, b string) int {
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(serial(a), serial(b)), strings.Compare(a, b))
}

func rank(name string) int {
	switch {
	case strings.HasPrefix(name, "CVE-"):
		return 0
	case strings.HasPrefix(name, "GHSA-"):
		return 1
	}
	return 2
}

// serial is a CVE's year and number as one; 0 for other names.
func serial(name string) uint64 {
	rest, ok := strings.CutPrefix(name, "CVE-")
	if !ok {
		return 0
	}
	year, number, _ := strings.Cut(rest, "-")
	y, err := strconv.ParseUint(year, 10, 16)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(number, 10, 40)
	if err != nil {
		return 0
	}
	return y<<40 | n
}
