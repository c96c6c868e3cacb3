package match

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/match/order"
)

// A Remedy is one thing to do, and the findings that it closes.
type Remedy struct {
	// Kind is what sort of thing it is.
	Kind RemedyKind
	// What is the thing in words: "rebuild on a newer debian:12", "upgrade openssl to
	// 3.0.15-1~deb12u1", "build with Go 1.26.3 or later", "use golang.org/x/net 0.38.0 or
	// later".
	What string
	// Closes are indexes into Result.Findings, in order.
	Closes []int
	// Worst is the gravest severity among them, and Exploited how many of them are known
	// to be exploited.
	Worst     advisory.Severity
	Exploited int
}

// A RemedyKind is a sort of remedy.
type RemedyKind string

// The kinds.
const (
	RebuildBase RemedyKind = "base"    // take a newer base image: what its layers brought
	Upgrade     RemedyKind = "upgrade" // upgrade packages of the operating system
	Toolchain   RemedyKind = "toolchain"
	Bump        RemedyKind = "bump" // use a later version of a library
)

// Remedies are the fewest things to do that close every finding which has a fix: each
// finding is closed by one of them. What comes from the base image is closed by a newer
// base, since whoever builds on it cannot mend it elsewhere; the rest package by
// package, with the lowest version that closes all of a package's findings. First comes
// what closes most of what is exploited, then what closes most.
func Remedies(r *Result) []Remedy {
	type key struct {
		kind RemedyKind
		of   image.Type
		name string
	}
	groups := map[key]*Remedy{}
	for i := range r.Findings {
		f := &r.Findings[i]
		if len(f.FixedIn) == 0 {
			continue
		}
		p := f.Package
		k := key{Bump, p.Type, p.Name}
		layer := layerOf(r.Image, p)
		switch {
		case layer != nil && layer.Base:
			k = key{kind: RebuildBase}
		case p.Type == image.RPM:
			k.kind = Upgrade
		case p.Type.OS():
			k.kind, k.name = Upgrade, p.SourceName()
		case p.Type == image.Go && p.Name == "stdlib":
			k.kind = Toolchain
		}
		g := groups[k]
		if g == nil {
			g = &Remedy{Kind: k.kind, What: k.name}
			groups[k] = g
		}
		g.Closes = append(g.Closes, i)
		g.Worst = max(g.Worst, f.Severity)
		if !f.Exploited.IsZero() {
			g.Exploited++
		}
	}
	var out []Remedy
	for k, g := range groups {
		switch to := lowest(r, k.of, g.Closes); k.kind {
		case RebuildBase:
			g.What = "rebuild on a newer " + baseName(r.Image)
		case Upgrade:
			g.What = fmt.Sprintf("upgrade %s to %s", k.name, to)
		case Toolchain:
			g.What = fmt.Sprintf("build with Go %s or later", to)
		case Bump:
			g.What = fmt.Sprintf("use %s %s or later", k.name, to)
		}
		out = append(out, *g)
	}
	slices.SortFunc(out, func(a, b Remedy) int {
		return cmp.Or(
			cmp.Compare(b.Exploited, a.Exploited), cmp.Compare(len(b.Closes), len(a.Closes)), cmp.Compare(b.Worst, a.Worst),
			cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.What, b.What),
		)
	})
	return out
}

func baseName(img *image.Image) string {
	if img.Base != nil && img.Base.Name != "" {
		return img.Base.Name
	}
	if img.OS.ID != "" {
		return strings.TrimSpace(img.OS.ID+" "+img.OS.Version) + " base image"
	}
	return "base image"
}

// lowest is the lowest version that closes all findings of one package. A version closes
// a finding where it is a fix or later, in the same branch or after the last of the
// branches that were fixed.
func lowest(r *Result, of image.Type, findings []int) string {
	compare := func(a, b string) int {
		n, err := order.Compare(of, a, b)
		if err != nil {
			return strings.Compare(a, b)
		}
		return n
	}
	var all []string
	for _, i := range findings {
		all = append(all, r.Findings[i].FixedIn...)
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(compare(a, b), strings.Compare(a, b)) })
	for _, v := range all {
		if !slices.ContainsFunc(findings, func(i int) bool {
			fixed := r.Findings[i].FixedIn
			return compare(v, fixed[len(fixed)-1]) < 0 &&
				!slices.ContainsFunc(fixed, func(f string) bool { return compare(v, f) >= 0 && branch(v) == branch(f) })
		}) {
			return v
		}
	}
	return ""
}

// branch is a version's first two numbers, which releases that are mended side by side
// differ in.
func branch(v string) string {
	parts := strings.SplitN(v, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}
