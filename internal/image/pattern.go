package image

import (
	"fmt"
	"net/url"
	"strings"
)

// A Pattern is a package URL that somebody wrote to say which packages are meant: with or
// without a version and qualifiers, each of which narrows it.
type Pattern struct {
	text    string
	p       Package
	release OS
	source  bool
	// never is set where the URL narrows by what no package here says of itself.
	never bool
}

// ParsePattern reads a package URL as a pattern.
func ParsePattern(s string) (Pattern, error) {
	p, release, err := FromPURL(s)
	if err != nil {
		return Pattern{}, err
	}
	x := Pattern{text: s, p: p, release: release}
	rest, _, sub := strings.Cut(s, "#")
	x.never = sub // a part of a package
	_, query, _ := strings.Cut(rest, "?")
	qualifiers, err := url.ParseQuery(query)
	if err != nil {
		return Pattern{}, fmt.Errorf("package URL %q: %w", s, err)
	}
	for k := range qualifiers {
		switch k {
		case "arch":
			if x.source = p.Arch == "source" || p.Arch == "src"; x.source {
				x.p.Arch = ""
			}
		case "distro", "epoch", "rpmmod", "upstream", "type", "checksum", "download_url", "vcs_url":
		default:
			x.never = true
		}
	}
	return x, nil
}

func (x Pattern) String() string { return x.text }

// WithVersion is the pattern for one version.
func (x Pattern) WithVersion(v string) Pattern {
	x.p.Version = v
	return x
}

// Matches reports whether a package of an image with that release is meant.
func (x Pattern) Matches(p *Package, release OS) bool {
	if x.never || x.p.Type != p.Type {
		return false
	}
	name, version := p.Name, p.Version
	if x.source {
		name, version = p.SourceName(), p.SourceVer()
	}
	same := func(want, have string) bool { return want == "" || want == have }
	return x.p.Name == name &&
		same(strings.TrimPrefix(x.p.Version, "v"), strings.TrimPrefix(version, "v")) &&
		same(x.p.Arch, p.Arch) && same(x.p.Module, p.Module) &&
		same(x.p.Source, p.SourceName()) && same(x.p.SourceVersion, p.SourceVer()) &&
		same(x.release.ID, release.ID) && same(x.release.Version, release.Version) && same(x.release.Codename, release.Codename)
}
