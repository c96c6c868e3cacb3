// Package order says which of two versions of a package is the later one, as the package
// manager of its type does. dpkg's, RPM's and semantic versions are compared here, since
// a scan compares tens of thousands of them; the others by osv-scalibr's semantic
// package.
package order

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/google/osv-scalibr/semantic"

	"github.com/bulwark-k8s/bulwark/internal/image"
)

// maxVersion is the longest version that is compared, in bytes: several times the longest
// that packages have.
const maxVersion = 512

// A Version is one version, read once to be compared with many.
type Version struct {
	of    image.Type
	text  string
	other semantic.Version // nil where the type is compared here
}

// Of reads a version. It is an error where the type, or the version, is none that can be
// compared.
func Of(t image.Type, text string) (Version, error) {
	v := Version{of: t, text: strings.TrimSpace(text)}
	if v.text == "" || len(v.text) > maxVersion {
		return v, fmt.Errorf("version %.40q: want 1 to %d bytes", text, maxVersion)
	}
	switch t {
	case image.Deb:
		return v, epoch(v.text)
	case image.RPM:
		return v, nil
	case image.Go:
		v.text = GoSemver(v.text)
		if _, ok := parseSemver(v.text); !ok {
			return v, fmt.Errorf("version %q is no semantic version", text)
		}
		return v, nil
	case image.NPM, image.Cargo:
		if _, ok := parseSemver(v.text); ok {
			return v, nil
		}
	default:
	}
	ecosystem := ecosystems[t]
	if ecosystem == "" {
		return v, fmt.Errorf("type %q: its versions have no known order", t)
	}
	var err error
	if v.other, err = semantic.Parse(v.text, ecosystem); err != nil {
		return v, fmt.Errorf("version %q: %w", text, err)
	}
	return v, nil
}

// ecosystems are osv-scalibr's names for those that it compares.
var ecosystems = map[image.Type]string{
	image.Apk: "Alpine", image.NPM: "npm", image.PyPI: "PyPI", image.Gem: "RubyGems", image.Maven: "Maven",
	image.NuGet: "NuGet", image.Cargo: "crates.io", image.Composer: "Packagist",
}

// Compare is negative where the version is earlier than the text, positive where it is
// later.
func (v Version) Compare(text string) (int, error) {
	if v.text == text {
		return 0, nil
	}
	w, err := Of(v.of, text)
	if err != nil {
		return 0, err
	}
	switch v.of {
	case image.Deb:
		return compareDeb(v.text, w.text), nil
	case image.RPM:
		return compareRPM(v.text, w.text), nil
	default:
	}
	if v.other == nil && w.other == nil {
		a, _ := parseSemver(v.text)
		b, _ := parseSemver(w.text)
		return a.compare(b), nil
	}
	// One of the two is no semantic version: both are read by whoever reads anything.
	if v.other == nil {
		if v.other, err = semantic.Parse(v.text, ecosystems[v.of]); err != nil {
			return 0, fmt.Errorf("version %q: %w", v.text, err)
		}
	}
	if w.other == nil {
		if w.other, err = semantic.Parse(w.text, ecosystems[v.of]); err != nil {
			return 0, fmt.Errorf("version %q: %w", w.text, err)
		}
	}
	n, err := v.other.Compare(w.other)
	if err != nil {
		return 0, fmt.Errorf("versions %q and %q: %w", v.text, text, err)
	}
	return n, nil
}

// Compare compares two versions of a type.
func Compare(t image.Type, a, b string) (int, error) {
	v, err := Of(t, a)
	if err != nil {
		return 0, err
	}
	return v.Compare(b)
}

// GoSemver writes the version of a Go module or release as a semantic version without
// its "v": "go1.22rc1" is "1.22.0-rc.1" and "go1.22" is "1.22.0", as in the Go
// vulnerability database (GoTagToSemver of golang.org/x/vuln/internal/semver). What
// follows a space is left off: experiments of a release.
func GoSemver(text string) string {
	text, _, _ = strings.Cut(text, " ")
	if tag, ok := strings.CutPrefix(text, "go"); ok {
		return goRelease(tag)
	}
	if v, ok := strings.CutPrefix(text, "v"); ok {
		return v
	}
	// A release's version without its "go": "1.22", "1.22rc1".
	if v := goRelease(text); v != text {
		return v
	}
	return text
}

func goRelease(tag string) string {
	i := 0
	for dots := 0; i < len(tag) && (digit(tag[i]) || tag[i] == '.'); i++ {
		if tag[i] == '.' {
			if dots++; dots > 2 {
				return tag
			}
		}
	}
	number, pre := tag[:i], tag[i:]
	if number == "" || strings.HasSuffix(number, ".") {
		return tag
	}
	full := number + strings.Repeat(".0", max(0, 2-strings.Count(number, ".")))
	for _, kind := range []string{"beta", "rc", "-pre"} {
		if n, ok := strings.CutPrefix(pre, kind); ok && n != "" && strings.Trim(n, "0123456789") == "" {
			return full + "-" + strings.TrimPrefix(kind, "-") + "." + n
		}
	}
	switch {
	case pre == "":
		return full
	case pre[0] == '-' || pre[0] == '+':
		return full + pre
	}
	return tag
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

func letter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

// number cuts the digits at the beginning of a text, less their leading zeros.
func number(s string) (n, rest string) {
	i := 0
	for i < len(s) && digit(s[i]) {
		i++
	}
	return strings.TrimLeft(s[:i], "0"), s[i:]
}

// compareNumbers compares what number returned.
func compareNumbers(a, b string) int {
	if c := cmp.Compare(len(a), len(b)); c != 0 {
		return c
	}
	return strings.Compare(a, b)
}
