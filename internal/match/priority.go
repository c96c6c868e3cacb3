package match

import (
	"cmp"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/image"
)

// compareFindings is the order in which findings are to be looked at:
//
//  1. what is known to be exploited, and of that what ransomware uses;
//  2. the gravest;
//  3. what is known to be in the binary, before what nobody can tell of; this comes after
//     severity, since most ecosystems cannot tell;
//  4. the likeliest to be exploited soon (EPSS);
//  5. what has a fix;
//  6. the highest score;
//
// and what is equal in all of that by name, package, version and place, so that the
// order is always the same.
func compareFindings(a, b Finding) int {
	return cmp.Or(
		first(!a.Exploited.IsZero(), !b.Exploited.IsZero()),
		first(a.Ransomware, b.Ransomware),
		cmp.Compare(b.Severity, a.Severity),
		first(a.Reachable == SymbolThere, b.Reachable == SymbolThere),
		cmp.Compare(b.EPSS, a.EPSS),
		first(len(a.FixedIn) > 0, len(b.FixedIn) > 0),
		cmp.Compare(b.Score, a.Score),
		strings.Compare(a.ID, b.ID),
		strings.Compare(string(a.Package.Type), string(b.Package.Type)),
		strings.Compare(a.Package.Name, b.Package.Name),
		strings.Compare(a.Package.Version, b.Package.Version),
		slices.Compare(a.Paths, b.Paths),
		compareAsides(a.Aside, b.Aside),
	)
}

func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

func compareAsides(a, b *Aside) int {
	if a == nil || b == nil {
		return first(a == nil, b == nil)
	}
	return cmp.Or(strings.Compare(string(a.By), string(b.By)), strings.Compare(a.Reason, b.Reason))
}

// layerOf is the layer that brought a package, nil where the image does not say.
func layerOf(img *image.Image, p *image.Package) *image.Layer {
	if p.Layer < 0 || p.Layer >= len(img.Layers) {
		return nil
	}
	return &img.Layers[p.Layer]
}
