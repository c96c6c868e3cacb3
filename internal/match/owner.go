package match

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
	"github.com/bulwark-k8s/bulwark/internal/image"
)

// owned lets the distributor have its say on a library that it ships. Where it says of
// the same vulnerability that its package has it, the two are one finding, and owned
// returns true. Where it does not, and its silence means something, the finding is set
// aside: it fixes old versions without changing the number that the library bears.
// Elsewhere the finding stays, and says whose file it is.
func (m *matcher) owned(f *finding) (joined bool, err error) {
	owner := f.Package.Owner
	p := m.owners[owner]
	if owner == "" || p == nil {
		return false, nil
	}
	for _, have := range m.byOwner[owner] {
		if have.sameAs(f) {
			have.join(f)
			return true, nil
		}
	}
	stays := func(why string) (bool, error) {
		f.Why += fmt.Sprintf("; the file is of %s %s, and %s", p.Name, p.Version, why)
		return false, nil
	}
	t, _, err := m.table(p)
	switch {
	case err != nil:
		return false, err
	case t == nil:
		return stays("its distributor's word is not known")
	case !t.info.Comprehensive:
		return stays(m.os.name + " lists only part of what its packages have")
	case m.ended():
		return stays(m.os.name + " has no support any more")
	case p.Type == image.Deb && (f.Package.Type == image.Go || f.Package.Type == image.Cargo):
		// https://www.debian.org/releases/stable/release-notes/issues.html: what is linked
		// statically is not followed when a library is fixed.
		return stays(m.os.name + " does not follow libraries that are linked statically")
	}
	why, err := m.distributor(t, p, f)
	f.Aside = &Aside{By: ByDistributor, Reason: why}
	return false, err
}

// sameAs reports whether two findings share a name.
func (f *finding) sameAs(g *finding) bool {
	for id := range g.ids {
		if f.ids[id] {
			return true
		}
	}
	return false
}

// distributor is the distributor's reason not to list the finding for a package.
func (m *matcher) distributor(t *shard, p *image.Package, f *finding) (string, error) {
	name, version := lookedUp(p, t.info)
	records, err := lookup(t, p, name)
	if err != nil {
		return "", err
	}
	of := p.Name + " " + p.Version
	if name != p.Name || version != p.Version {
		of += " (source " + name + " " + version + ")"
	}
	var said string
	for i := range records {
		r := &records[i]
		if !slices.ContainsFunc(groups(r), func(g []string) bool {
			return slices.ContainsFunc(g, func(id string) bool { return f.ids[id] })
		}) {
			continue
		}
		var fixed []string
		for _, g := range r.Ranges {
			if g.Fixed != "" && g.Fixed != "0" {
				fixed = append(fixed, g.Fixed)
			}
		}
		switch {
		case r.State == advisory.NotAffected, len(fixed) == 0:
			said = fmt.Sprintf("the file is of %s, which %s says is not affected", of, m.os.name)
		default:
			slices.Sort(fixed)
			said = fmt.Sprintf("the file is of %s, which %s fixed in %s", of, m.os.name, strings.Join(slices.Compact(fixed), ", "))
		}
	}
	if said == "" {
		said = fmt.Sprintf("the file is of %s, and %s knows of nothing in it", of, m.os.name)
	}
	return said, nil
}
