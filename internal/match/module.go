package match

import (
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
	"github.com/bulwark-k8s/bulwark/internal/image"
)

// An answer is one that may be missing.
type answer uint8

const (
	no answer = iota
	yes
	unsure
)

// modular reports whether a version is a module's build: "1:12.22.12-1.module_el8.6.0+2904+8eb91d50".
func modular(version string) bool {
	return strings.Contains(version, ".module_el") || strings.Contains(version, ".module+el")
}

// stream is "nodejs:12" of a package's label.
func stream(p *image.Package) (module, stream string) {
	parts := strings.SplitN(p.Module, ":", 3)
	if len(parts) < 2 {
		return "", ""
	}
	return parts[0], parts[1]
}

// streamsOf are the streams that are enabled. A system has one stream of a module at a
// time, so one package tells for all: by its label, or by its version where it bears the
// module's name and lost the label in a rebuild.
func streamsOf(packages []image.Package) map[string]string {
	out, versions := map[string]string{}, map[string]string{}
	for i := range packages {
		p := &packages[i]
		if p.Type != image.RPM {
			continue
		}
		if name, s := stream(p); s != "" {
			// Two streams of one module cannot be: then the higher counts, whatever the order.
			out[name] = max(out[name], s)
		} else if modular(p.Version) {
			versions[p.SourceName()] = max(versions[p.SourceName()], upstream(p.Version))
		}
	}
	for name, v := range versions {
		if out[name] == "" {
			out[name] = "=" + v // a version, of which a stream is the beginning
		}
	}
	return out
}

// upstream is an RPM's version without epoch and release.
func upstream(v string) string {
	if _, rest, ok := strings.Cut(v, ":"); ok {
		v = rest
	}
	v, _, _ = strings.Cut(v, "-")
	return v
}

// module reports whether a record is for the module that the package is of: an advisory
// for one stream says nothing of another, nor of a package of no module.
func (c *candidates) module(r *advisory.Record) answer {
	if c.p.Type != image.RPM {
		return yes
	}
	build := r.Only.Module != "" || recordModular(r)
	if own := c.p.Module != "" || modular(c.p.Version); own != build {
		return no
	} else if !own {
		return yes
	}
	module, want, _ := strings.Cut(r.Only.Module, ":")
	if module == "" {
		// Which stream is not said. Those of one module differ in upstream's version.
		if sameMajor(r, upstream(c.p.Version)) {
			return yes
		}
		return no
	}
	name, have := stream(c.p)
	if name != "" {
		return answerOf(name == module && have == want)
	}
	have = c.m.streams[module]
	version, guessed := strings.CutPrefix(have, "=")
	switch {
	case have == "":
		return unsure
	case !guessed:
		return answerOf(have == want)
	case want == "" || want[0] < '0' || want[0] > '9':
		return unsure // "rhel8" is no version
	}
	return answerOf(version == want || strings.HasPrefix(version, want+"."))
}

func answerOf(is bool) answer {
	if is {
		return yes
	}
	return no
}

func recordModular(r *advisory.Record) bool {
	for _, g := range r.Ranges {
		if modular(g.Fixed) || modular(g.LastAffected) {
			return true
		}
	}
	return false
}

func sameMajor(r *advisory.Record, version string) bool {
	major, _, _ := strings.Cut(version, ".")
	for _, g := range r.Ranges {
		v := g.Fixed
		if v == "" {
			v = g.LastAffected
		}
		if m, _, _ := strings.Cut(upstream(v), "."); m == major {
			return true
		}
	}
	return false
}

// compared is a version as it is compared. The tag of a module's build is left out: one
// release of a package is built anew for each minor release, and by each rebuilder under
// its own numbers (".module_el8.5.0+81+7dbe79d3" and ".module+el8.5.0+11045+9e1c1a0a"),
// out of the same source. What follows the tag is part of the release again.
func compared(p *image.Package, version string) string {
	if p.Type != image.RPM {
		return version
	}
	i := strings.Index(version, ".module")
	if i < 0 || !modular(version[i:]) {
		return version
	}
	_, rest, _ := strings.Cut(version[i:], "+")
	if strings.HasPrefix(version[i:], ".module+") {
		_, rest, _ = strings.Cut(rest, "+")
	}
	_, hash, _ := strings.Cut(rest, "+")
	if _, bump, ok := strings.Cut(hash, "."); ok {
		return version[:i] + "." + bump
	}
	return version[:i]
}
