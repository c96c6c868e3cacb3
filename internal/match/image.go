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

// Image says what the database knows of an image. It is the same for the same image and
// database, in whatever order packages and records come. An error is the database's:
// what cannot be judged for another reason is in NotAssessed.
func Image(db advisory.Database, img *image.Image, o Options) (*Result, error) {
	m := matcher{
		db: db, img: img, options: o, os: distributionOf(img.OS),
		shards: map[advisory.Key]*shard{}, streams: streamsOf(img.Packages), modules: map[*image.GoBinary][]string{},
		byKey: map[string]*finding{}, byOwner: map[string][]*finding{}, owners: map[string]*image.Package{},
		missing: map[group]*NotAssessed{},
	}
	packages := make([]*image.Package, len(img.Packages))
	for i := range img.Packages {
		packages[i] = &img.Packages[i]
	}
	// The operating system's first: they are asked about files that they own.
	slices.SortStableFunc(packages, comparePackages)
	for _, p := range packages {
		if p.Type.OS() {
			m.owners[string(p.Type)+":"+p.Name] = p
		}
	}
	for _, p := range packages {
		if err := m.assess(p); err != nil {
			return nil, err
		}
	}
	m.supported(packages)
	m.gaps()
	return m.result()
}

// comparePackages is the order in which packages are judged.
func comparePackages(a, b *image.Package) int {
	if a.Type.OS() != b.Type.OS() {
		if a.Type.OS() {
			return -1
		}
		return 1
	}
	return cmp.Or(
		cmp.Compare(a.Type, b.Type), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Path, b.Path),
		cmp.Compare(a.Arch, b.Arch), cmp.Compare(a.Module, b.Module), cmp.Compare(a.Source, b.Source), cmp.Compare(a.SourceVersion, b.SourceVersion),
		cmp.Compare(a.Owner, b.Owner), cmp.Compare(a.Layer, b.Layer),
	)
}

// A matcher holds what one image needs.
type matcher struct {
	db      advisory.Database
	img     *image.Image
	options Options
	os      distribution
	shards  map[advisory.Key]*shard
	// streams are the enabled streams of RPM modules, by module.
	streams map[string]string
	// modules are those of each Go binary.
	modules map[*image.GoBinary][]string

	findings []*finding
	// byKey joins copies of one package.
	byKey map[string]*finding
	// byOwner are the findings of OS packages that count, and owners the packages, by what
	// Package.Owner says.
	byOwner map[string][]*finding
	owners  map[string]*image.Package
	missing map[group]*NotAssessed
}

// A shard remembers what it was asked: many packages are of one source.
type shard struct {
	advisory.Shard
	info advisory.ShardInfo
	told map[string][]advisory.Record
}

// Lookup returns the records of a package, which are not to be changed.
func (s *shard) Lookup(name string) ([]advisory.Record, error) {
	if all, ok := s.told[name]; ok {
		return all, nil
	}
	all, err := s.Shard.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("advisories of %s: %w", name, err)
	}
	s.told[name] = all
	return all, nil
}

// A group is what packages are not assessed by.
type group struct {
	of     image.Type
	reason string
}

// A finding is one that is still growing.
type finding struct {
	Finding
	records []*advisory.Record
	ids     map[string]bool
}

// unassessed notes a package that could not be judged.
func (m *matcher) unassessed(p *image.Package, reason string) {
	g := group{p.Type, reason}
	n := m.missing[g]
	if n == nil {
		n = &NotAssessed{Type: p.Type, Reason: reason}
		m.missing[g] = n
	}
	n.Packages++
	if name := p.Name; len(n.Names) < 10 && !slices.Contains(n.Names, name) {
		n.Names = append(n.Names, name)
	}
}

// shard opens a table once; nil where there is none.
func (m *matcher) shard(k advisory.Key) (*shard, error) {
	if s, ok := m.shards[k]; ok {
		return s, nil
	}
	s, ok, err := m.db.Shard(k)
	if err != nil {
		return nil, fmt.Errorf("advisories of %s: %w", k, err)
	}
	m.shards[k] = nil
	if ok {
		m.shards[k] = &shard{s, s.Info(), map[string][]advisory.Record{}}
	}
	return m.shards[k], nil
}

// table is the shard that a package is looked up in; where there is none, why.
func (m *matcher) table(p *image.Package) (*shard, string, error) {
	if p.Type.OS() {
		if m.os.key == "" {
			return nil, m.os.why, nil
		}
		if p.Type != m.os.of {
			return nil, fmt.Sprintf("%s has no packages of type %s: whose they are is not known", m.os.name, p.Type), nil
		}
		s, err := m.shard(m.os.key)
		return s, "no data for " + m.os.name + " in the database", err
	}
	k, ok := languages[p.Type]
	if !ok {
		return nil, fmt.Sprintf("packages of type %s are not known", p.Type), nil
	}
	s, err := m.shard(k)
	return s, fmt.Sprintf("no data for %s in the database", k), err
}

// assess judges one package.
func (m *matcher) assess(p *image.Package) error {
	t, why, err := m.table(p)
	if err != nil {
		return err
	}
	if t == nil {
		m.unassessed(p, why)
		return nil
	}
	name, version := lookedUp(p, t.info)
	records, err := lookup(t, p, name)
	if err != nil {
		return err
	}
	if why := unknown(p, version); why != "" {
		// Whatever its version, what nobody has ever reported has nothing reported: an
		// application's own module, mostly.
		if len(records) > 0 || !named(p) {
			m.unassessed(p, why)
		}
		return nil
	}
	c := candidates{m: m, p: p, text: version, table: t}
	if c.version, err = order.Of(p.Type, compared(p, version)); err != nil {
		m.unassessed(p, "their versions cannot be compared")
		return nil //nolint:nilerr // it is said in the result
	}
	for i := range records {
		c.consider(&records[i])
	}
	return c.conclude()
}

// lookedUp are the name and version by which a table knows a package.
func lookedUp(p *image.Package, t advisory.ShardInfo) (name, version string) {
	if t.BySource {
		version = p.SourceVer()
		// A source RPM is known by its file's name, which has no epoch: that of the binary
		// is the likely one.
		if epoch, _, ok := strings.Cut(p.Version, ":"); ok && p.Type == image.RPM && version != "" && !strings.Contains(version, ":") {
			version = epoch + ":" + version
		}
		return p.SourceName(), version
	}
	return t.Key.Normal(p.Name), p.Version
}

// lookup returns what a table has on a package: by the name that it knows it by, and
// what a table of binary packages says of its source.
func lookup(t *shard, p *image.Package, name string) ([]advisory.Record, error) {
	all, err := t.Lookup(name)
	if err != nil {
		return nil, err
	}
	source := p.SourceName()
	if t.info.BySource || !p.Type.OS() || source == name {
		return all, nil
	}
	if slices.ContainsFunc(all, bySource) { // of another package, whose source bears this name
		all = slices.DeleteFunc(slices.Clone(all), bySource)
	}
	more, err := t.Lookup(source)
	if err != nil {
		return nil, err
	}
	for _, r := range more {
		if bySource(r) {
			all = append(slices.Clip(all), r)
		}
	}
	return all, nil
}

func bySource(r advisory.Record) bool { return r.Only.Source }

// named reports whether advisories could name the package by the name that it has.
func named(p *image.Package) bool {
	return p.Name != "" && (p.Type != image.Maven || strings.Contains(p.Name, ":") && !strings.HasPrefix(p.Name, ":"))
}

// unknown says what is missing to judge a package.
func unknown(p *image.Package, version string) string {
	const why = "their version is not known"
	switch {
	case version == "":
		return why
	case p.Type == image.Maven && !strings.Contains(p.Name, ":"):
		return "their group is not known"
	case p.Type == image.Go && (version == "(devel)" || p.Go != nil && p.Name == p.Go.Main && strings.HasPrefix(strings.TrimPrefix(version, "v"), "0.0.0")):
		// A build outside of a release says nothing of itself, or a version that is lower
		// than every release there was.
		return why
	case strings.HasPrefix(strings.ToLower(version), "0.0.0-dev"):
		return why // a placeholder, which the release replaces
	}
	return ""
}

// supported notes a release that gets no more advisories. What is known of it counts.
func (m *matcher) supported(packages []*image.Package) {
	end := m.img.OS.EndOfLife
	if end.IsZero() || !m.options.Now.After(end) || m.shards[m.os.key] == nil {
		return
	}
	for _, p := range packages {
		if p.Type == m.os.of {
			m.unassessed(p, fmt.Sprintf("%s has had no support since %s: what was found later is not in its advisories", m.os.name, end.Format("2006-01-02")))
		}
	}
}

// ended reports whether the distribution's silence means nothing any more.
func (m *matcher) ended() bool {
	end := m.img.OS.EndOfLife
	return !end.IsZero() && m.options.Now.After(end)
}

// gaps notes what of the image could not be read.
func (m *matcher) gaps() {
	if len(m.img.Packages) == 0 {
		k := group{reason: "nothing in it says what it is made of"}
		m.missing[k] = &NotAssessed{Reason: k.reason}
	}
	gaps := slices.Clone(m.img.Gaps)
	slices.SortFunc(gaps, func(a, b image.Gap) int { return cmp.Compare(a.Path, b.Path) })
	for _, g := range gaps {
		k := group{g.Type, "could not be read: " + g.Reason}
		n := m.missing[k]
		if n == nil {
			n = &NotAssessed{Type: g.Type, Reason: k.reason}
			m.missing[k] = n
		}
		if g.Path != "" && len(n.Names) < 10 && !slices.Contains(n.Names, g.Path) {
			n.Names = append(n.Names, g.Path)
		}
	}
}

// result puts everything in order.
func (m *matcher) result() (*Result, error) {
	r := &Result{Image: m.img}
	details := map[string]advisory.Detail{}
	for _, f := range m.findings {
		if err := m.enrich(f, details); err != nil {
			return nil, err
		}
	}
	for _, f := range m.findings {
		if f.Aside == nil {
			for _, j := range m.options.Judges {
				if f.Aside = j.Judge(m.img, &f.Finding); f.Aside != nil {
					break
				}
			}
		}
		if f.Aside == nil && m.options.FixedOnly && len(f.FixedIn) == 0 {
			f.Aside = &Aside{By: ByUnfixed, Reason: "no fix is known"}
		}
		if f.Aside == nil {
			r.Findings = append(r.Findings, f.Finding)
		} else {
			r.SetAside = append(r.SetAside, f.Finding)
		}
	}
	slices.SortFunc(r.Findings, compareFindings)
	slices.SortFunc(r.SetAside, compareFindings)
	for _, n := range m.missing {
		r.NotAssessed = append(r.NotAssessed, *n)
	}
	slices.SortFunc(r.NotAssessed, func(a, b NotAssessed) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Reason, b.Reason))
	})
	for _, k := range slices.Sorted(maps.Keys(m.shards)) {
		if s := m.shards[k]; s != nil {
			r.Database = append(r.Database, s.info)
		}
	}
	return r, nil
}
