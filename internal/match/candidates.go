package match

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/match/order"
)

// candidates are the vulnerabilities of one package, while its records are looked at.
type candidates struct {
	m       *matcher
	p       *image.Package
	version order.Version
	text    string // the version that was looked up
	table   *shard

	all []*candidate
	// denied are IDs of which the source says that the package never had them, and judged
	// those that a record for the package's architecture is about.
	denied, judged map[string]bool
}

// A candidate is one vulnerability of one package, by every record that says so.
type candidate struct {
	ids     map[string]bool
	first   []string // canonical names, one for each group of IDs that was joined
	records []*advisory.Record
	// elsewhere is set where the records are for other architectures.
	elsewhere bool
}

// consider looks at one record.
func (c *candidates) consider(r *advisory.Record) {
	in, err := c.affects(r)
	if err != nil {
		c.m.unassessed(c.p, "some of their advisories name versions that cannot be compared")
	}
	elsewhere := !forArch(c.p, r)
	if !in {
		if !elsewhere && len(r.Only.Arch) > 0 {
			c.note(&c.judged, r)
		}
		return
	}
	switch c.module(r) {
	case no:
		return
	case unsure:
		c.m.unassessed(c.p, "the stream of their module is not known")
		return
	case yes:
	}
	if r.State == advisory.NotAffected {
		if !elsewhere {
			c.note(&c.denied, r)
		}
		return
	}
	if !elsewhere && len(r.Only.Arch) > 0 {
		c.note(&c.judged, r)
	}
	for _, group := range groups(r) {
		c.add(group, r, elsewhere)
	}
}

// groups are the vulnerabilities of a record: its own name where it gives no other.
func groups(r *advisory.Record) [][]string {
	if len(r.IDs) == 0 {
		return [][]string{{r.ID}}
	}
	return r.IDs
}

func (c *candidates) note(in *map[string]bool, r *advisory.Record) {
	if *in == nil {
		*in = map[string]bool{}
	}
	for _, g := range groups(r) {
		for _, id := range g {
			(*in)[id] = true
		}
	}
}

// add joins a group of names with every candidate that has one of them.
func (c *candidates) add(group []string, r *advisory.Record, elsewhere bool) {
	if len(group) == 0 {
		return
	}
	into := -1
	for i := 0; i < len(c.all); i++ {
		have := c.all[i]
		if have.elsewhere != elsewhere || !slices.ContainsFunc(group, func(id string) bool { return have.ids[id] }) {
			continue
		}
		if into < 0 {
			into = i
			continue
		}
		maps.Copy(c.all[into].ids, have.ids)
		c.all[into].first = append(c.all[into].first, have.first...)
		c.all[into].records = append(c.all[into].records, have.records...)
		c.all = slices.Delete(c.all, i, i+1)
		i--
	}
	if into < 0 {
		into = len(c.all)
		c.all = append(c.all, &candidate{ids: map[string]bool{}, elsewhere: elsewhere})
	}
	to := c.all[into]
	for _, id := range group {
		to.ids[id] = true
	}
	to.first = append(to.first, group[0])
	if !slices.Contains(to.records, r) {
		to.records = append(to.records, r)
	}
}

// affects reports whether the package's version is one that a record is about. It looks
// at every range, and errs where one of them could not be told and no other has the
// version.
func (c *candidates) affects(r *advisory.Record) (bool, error) {
	if len(r.Ranges) == 0 && len(r.Versions) == 0 {
		return true, nil
	}
	if slices.Contains(r.Versions, c.text) {
		return true, nil
	}
	var wrong error
	for _, g := range r.Ranges {
		in, err := c.within(g)
		if in {
			return true, nil
		}
		wrong = cmp.Or(wrong, err)
	}
	return false, wrong
}

// within reports whether the version is in a range.
func (c *candidates) within(g advisory.Range) (bool, error) { return within(c.p, c.version, g) }

func within(p *image.Package, v order.Version, g advisory.Range) (bool, error) {
	if g.Introduced != "" && g.Introduced != "0" {
		if n, err := v.Compare(compared(p, g.Introduced)); n < 0 || err != nil {
			return false, err
		}
	}
	if g.Fixed != "" {
		n, err := v.Compare(compared(p, g.Fixed))
		return n < 0 && err == nil, err
	}
	if g.LastAffected != "" {
		n, err := v.Compare(compared(p, g.LastAffected))
		return n <= 0 && err == nil, err
	}
	return true, nil
}

// forArch reports whether a record is for the package's architecture.
func forArch(p *image.Package, r *advisory.Record) bool {
	return len(r.Only.Arch) == 0 || p.Arch == "" || p.Arch == "noarch" || p.Arch == "all" ||
		slices.Contains(r.Only.Arch, p.Arch) || slices.Contains(r.Only.Arch, "noarch")
}

// conclude makes findings of the candidates.
func (c *candidates) conclude() error {
	for _, v := range c.all {
		if slices.ContainsFunc(slices.Collect(maps.Keys(v.ids)), func(id string) bool { return c.denied[id] || v.elsewhere && c.judged[id] }) {
			continue
		}
		f := &finding{Finding: Finding{Package: c.p}, records: v.records, ids: v.ids}
		slices.SortFunc(f.records, compareRecords)
		f.name(v)
		f.State, f.FixedIn = c.fixes(v)
		if v.elsewhere {
			f.Aside = &Aside{By: ByPlatform, Reason: fmt.Sprintf("only on %s", strings.Join(architectures(f.records), ", "))}
		}
		code := ""
		if c.p.Type == image.Go {
			f.Reachable, f.Aside, code = c.m.linked(c.p, f.records)
		}
		f.Why = c.why(f, code)
		f.Paths = []string{c.p.Path}
		for _, r := range f.records {
			f.Sources = append(f.Sources, r.Source)
		}
		slices.Sort(f.Sources)
		f.Sources = slices.Compact(f.Sources)
		if f.Aside == nil && !c.p.Type.OS() {
			joined, err := c.m.owned(f)
			if err != nil {
				return err
			}
			if joined {
				continue
			}
		}
		c.m.keep(f)
	}
	return nil
}

// compareRecords orders the records of one finding, in whatever order they came.
func compareRecords(a, b *advisory.Record) int {
	return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Only.Module, b.Only.Module), cmp.Compare(fmt.Sprint(a.Ranges), fmt.Sprint(b.Ranges)))
}

func architectures(records []*advisory.Record) []string {
	var all []string
	for _, r := range records {
		all = append(all, r.Only.Arch...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// name gives the finding its names: canonical are the first of each group, of which a
// CVE is preferred, and of those the lowest.
func (f *finding) name(v *candidate) {
	f.ID = slices.MinFunc(v.first, compareIDs)
	f.IDs = append([]string{f.ID}, slices.SortedFunc(maps.Keys(v.ids), compareIDs)...)
	f.IDs = append(f.IDs[:1], slices.DeleteFunc(f.IDs[1:], func(id string) bool { return id == f.ID })...)
	for _, r := range f.records {
		if !v.ids[r.ID] && r.ID != "" && !slices.Contains(f.Advisories, r.ID) {
			f.Advisories = append(f.Advisories, r.ID)
		}
	}
	slices.Sort(f.Advisories)
}

func compareIDs(a, b string) int {
	ac, bc := strings.HasPrefix(a, "CVE-"), strings.HasPrefix(b, "CVE-")
	if ac != bc {
		if ac {
			return -1
		}
		return 1
	}
	return strings.Compare(a, b)
}

// fixes joins what the records say of fixes: every version that is named as a fix, is
// later than the one installed, and has it not by another of the records.
func (c *candidates) fixes(v *candidate) (advisory.State, []string) {
	var fixed []string
	state := advisory.NotAffected
	for _, r := range v.records {
		for _, g := range r.Ranges {
			if g.Fixed == "" {
				continue
			}
			if n, err := c.version.Compare(compared(c.p, g.Fixed)); err == nil && n < 0 {
				fixed = append(fixed, g.Fixed)
			}
		}
		if rank(r.State) < rank(state) {
			state = r.State
		}
	}
	fixed = slices.DeleteFunc(fixed, func(f string) bool {
		at, err := order.Of(c.p.Type, compared(c.p, f))
		return err != nil || slices.ContainsFunc(v.records, func(r *advisory.Record) bool {
			return slices.ContainsFunc(r.Ranges, func(g advisory.Range) bool {
				if g.Fixed == "" && g.LastAffected == "" {
					return false // a source that knows of no fix does not deny another's
				}
				in, err := within(c.p, at, g)
				return in && err == nil
			})
		})
	})
	slices.SortFunc(fixed, func(a, b string) int {
		n, _ := order.Compare(c.p.Type, compared(c.p, a), compared(c.p, b))
		return cmp.Or(n, strings.Compare(a, b))
	})
	fixed = slices.CompactFunc(fixed, func(a, b string) bool {
		n, err := order.Compare(c.p.Type, compared(c.p, a), compared(c.p, b))
		return n == 0 && err == nil
	})
	if len(fixed) > 0 {
		return advisory.Fixed, fixed
	}
	if state == advisory.Fixed {
		state = advisory.Affected // fixed in versions that it has again, or in none that are named
	}
	return state, nil
}

// rank orders states by how much of a decision they are: the first wins where sources
// disagree.
func rank(s advisory.State) int {
	return slices.Index([]advisory.State{
		advisory.Fixed, advisory.Affected, advisory.Deferred, advisory.WontFix, advisory.UnderInvestigation, advisory.NotAffected,
	}, s)
}

// why is the evidence in words.
func (c *candidates) why(f *finding, code string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "installed %s", c.text)
	if name, _ := lookedUp(c.p, c.table.info); name != c.p.Name && c.table.info.BySource {
		fmt.Fprintf(&b, " of source %s", name)
	}
	switch {
	case len(f.FixedIn) > 0:
		fmt.Fprintf(&b, ", fixed in %s", strings.Join(f.FixedIn, ", "))
	case f.State == advisory.WontFix:
		b.WriteString(", and the distributor will not fix it")
	case f.State == advisory.Deferred:
		b.WriteString(", and the distributor's fix is deferred")
	case f.State == advisory.UnderInvestigation:
		b.WriteString(", whether it is affected is being looked into")
	default:
		b.WriteString(", no fix is known")
	}
	if code != "" {
		b.WriteString("; " + code)
	}
	return b.String()
}

// keep adds a finding, or joins it with that of a copy of the package.
func (m *matcher) keep(f *finding) {
	by := By("")
	if f.Aside != nil {
		by = f.Aside.By
	}
	p := f.Package
	k := strings.Join([]string{string(p.Type), p.Name, p.Version, string(by), f.ID}, "\x00")
	have := m.byKey[k]
	if have == nil {
		m.byKey[k] = f
		m.findings = append(m.findings, f)
		if p.Type.OS() && by == "" {
			owner := string(p.Type) + ":" + p.Name
			m.byOwner[owner] = append(m.byOwner[owner], f)
		}
		return
	}
	have.join(f)
	if f.Reachable > have.Reachable {
		have.Reachable, have.Why = f.Reachable, f.Why
	}
}

// join adds names, places and sources of another finding.
func (f *finding) join(g *finding) {
	f.Paths = union(f.Paths, g.Paths, strings.Compare)
	f.Sources = union(f.Sources, g.Sources, strings.Compare)
	f.Advisories = union(f.Advisories, g.Advisories, strings.Compare)
	maps.Copy(f.ids, g.ids)
	f.IDs = append(f.IDs[:1:1], slices.DeleteFunc(union(f.IDs[1:], g.IDs, compareIDs), func(id string) bool { return id == f.ID })...)
	for _, r := range g.records {
		if !slices.Contains(f.records, r) {
			f.records = append(f.records, r)
		}
	}
}

func union(a, b []string, compare func(a, b string) int) []string {
	all := slices.Concat(a, b)
	slices.SortFunc(all, compare)
	return slices.Compact(all)
}
