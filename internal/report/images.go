package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/match"
	"github.com/bulwark-k8s/bulwark/internal/match/order"
	"github.com/bulwark-k8s/bulwark/internal/scan"
	"github.com/bulwark-k8s/bulwark/internal/vex"
)

// Images are what was found in one or more images.
type Images struct {
	// Version is Bulwark's own.
	Version string
	Started time.Time
	Took    time.Duration
	Images  []*ScannedImage
	// Notes are what else the reader should know: ignore entries that are used by nobody
	// or have run out, a database that is old.
	Notes []string
}

// A ScannedImage is one image, or why it could not be read.
type ScannedImage struct {
	// Name is what was asked for.
	Name string
	// Result is nil where Err is not.
	*match.Result
	// Remedies are what to do, what closes most first.
	Remedies []match.Remedy
	// Built is what the catalogue says of how the image is built; nil where it was not
	// asked.
	Built *scan.Result
	// RunBy are the workloads that run it, where a cluster is known: "Deployment shop/front".
	RunBy []string
	Err   error
}

// An ImageFormat writes Images in one way.
type ImageFormat struct {
	Name  string // as given to -o
	About string // one line for --help
	Write func(io.Writer, *Images, Options) error
	// Single is set on documents that are about one image only.
	Single bool
}

// ImageFormats lists every format of images, the default first.
func ImageFormats() []ImageFormat {
	return []ImageFormat{
		{"table", "what to do, then packages worst first, for a terminal", writeImagesTable, false},
		{"json", "everything, see docs/images.md for the schema", writeImagesJSON, false},
		{"html", "one self-contained page for people", writeImagesHTML, false},
		{"sarif", "for code scanning", writeImagesSARIF, false},
		{"junit", "for the test results of a pipeline", writeImagesJUnit, false},
		{"cyclonedx-vex", "what is known, for other tools, as CycloneDX", writeStatements(vex.WriteCycloneDX), true},
		{"openvex", "what is known, for other tools, as OpenVEX", writeStatements(vex.WriteOpenVEX), true},
	}
}

// writeStatements writes a document on the one image that was read.
func writeStatements(write func(io.Writer, *match.Result, vex.WriteOptions) error) func(io.Writer, *Images, Options) error {
	return func(w io.Writer, r *Images, _ Options) error {
		switch {
		case len(r.Images) != 1:
			return fmt.Errorf("a document on one image, and there are %d", len(r.Images))
		case r.Images[0].Err != nil:
			return r.Images[0].Err
		}
		return write(w, r.Images[0].Result, vex.WriteOptions{Now: r.Started, Version: r.Version})
	}
}

// counted is how many findings there are of each severity.
type counted struct {
	by        map[advisory.Severity]int
	total     int
	exploited int
	fixable   int
	packages  int
}

// imageSeverities lists them, worst first.
var imageSeverities = []advisory.Severity{advisory.Critical, advisory.High, advisory.Medium, advisory.Low, advisory.Negligible, advisory.Unrated}

func countFindings(r *match.Result) counted {
	c := counted{by: map[advisory.Severity]int{}}
	packages := map[*image.Package]bool{}
	for i := range r.Findings {
		f := &r.Findings[i]
		c.by[f.Severity]++
		c.total++
		if !f.Exploited.IsZero() {
			c.exploited++
		}
		if len(f.FixedIn) > 0 {
			c.fixable++
		}
		packages[f.Package] = true
	}
	c.packages = len(packages)
	return c
}

func (c counted) add(o counted) counted {
	sum := counted{by: map[advisory.Severity]int{}, total: c.total + o.total, exploited: c.exploited + o.exploited, fixable: c.fixable + o.fixable, packages: c.packages + o.packages}
	for s, n := range c.by {
		sum.by[s] += n
	}
	for s, n := range o.by {
		sum.by[s] += n
	}
	return sum
}

// String is the count in words: "2 critical, 5 high".
func (c counted) String() string {
	var parts []string
	for _, s := range imageSeverities {
		if n := c.by[s]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	return and(parts)
}

// notAssessed is the number of packages that nobody's data covers.
func notAssessed(r *match.Result) int {
	n := 0
	for _, g := range r.NotAssessed {
		n += g.Packages
	}
	return n
}

// verdictOfImage says in one or two sentences how an image stands.
func verdictOfImage(i *ScannedImage) string {
	if i.Err != nil {
		return "It could not be read: " + printable(i.Err.Error())
	}
	c, blind := countFindings(i.Result), notAssessed(i.Result)
	var b strings.Builder
	switch assessed := len(i.Image.Packages) - blind; {
	case c.total > 0:
		vulnerabilities := "vulnerabilities"
		if c.total == 1 {
			vulnerabilities = "vulnerability"
		}
		fmt.Fprintf(&b, "%s %s in %s", c, vulnerabilities, count(c.packages, "package"))
		if c.exploited > 0 {
			fmt.Fprintf(&b, ", %d known to be exploited", c.exploited)
		}
		switch c.fixable {
		case 0:
			b.WriteString("; none has a fix.")
		case c.total:
			b.WriteString("; all have a fix.")
		default:
			fmt.Fprintf(&b, "; %d with a fix.", c.fixable)
		}
	case assessed > 0:
		fmt.Fprintf(&b, "No vulnerability is known in the %s that could be assessed.", count(assessed, "package"))
	case blind > 0:
		b.WriteString("Nothing could be assessed.")
	default:
		b.WriteString("Nothing in it says what it is made of, so nothing was assessed.")
	}
	if blind > 0 {
		fmt.Fprintf(&b, " %s not assessed.", are(blind, "package"))
	}
	if n := len(i.SetAside); n > 0 {
		fmt.Fprintf(&b, " %s set aside.", are(n, "finding"))
	}
	return b.String()
}

// A bundle is the findings of one package at one version: what one upgrade closes.
type bundle struct {
	Name, Version string
	Type          image.Type
	// Packages are the binary packages where they have other names than the source's.
	Packages []string
	Findings []*match.Finding
	Worst    advisory.Severity
	// Exploited are how many are known to be exploited.
	Exploited int
	// To is the lowest version without any of the findings that have a fix; empty without.
	To    string
	Base  bool
	Layer int
	Paths []string
}

// bundles groups findings by what is upgraded, worst first.
func bundles(r *match.Result) []*bundle {
	type key struct {
		t             image.Type
		name, version string
	}
	byKey := map[key]*bundle{}
	var all []*bundle
	for i := range r.Findings {
		f := &r.Findings[i]
		k := key{f.Package.Type, f.Package.SourceName(), f.Package.SourceVer()}
		b := byKey[k]
		if b == nil {
			b = &bundle{Name: k.name, Version: cmp.Or(k.version, "of unknown version"), Type: k.t, Layer: f.Package.Layer}
			if l := f.Package.Layer; l >= 0 && l < len(r.Image.Layers) {
				b.Base = r.Image.Layers[l].Base
			}
			byKey[k] = b
			all = append(all, b)
		}
		b.Findings = append(b.Findings, f)
		b.Worst = max(b.Worst, f.Severity)
		if !f.Exploited.IsZero() {
			b.Exploited++
		}
		if f.Package.Name != k.name && !slices.Contains(b.Packages, f.Package.Name) {
			b.Packages = append(b.Packages, f.Package.Name)
		}
		for _, p := range f.Paths {
			if !slices.Contains(b.Paths, p) {
				b.Paths = append(b.Paths, p)
			}
		}
	}
	for _, b := range all {
		b.To = highest(b.Type, b.Findings)
	}
	slices.SortStableFunc(all, func(a, b *bundle) int {
		return cmp.Or(
			cmp.Compare(min(b.Exploited, 1), min(a.Exploited, 1)),
			cmp.Compare(b.Worst, a.Worst),
			cmp.Compare(len(b.Findings), len(a.Findings)),
			cmp.Compare(a.Name, b.Name),
			cmp.Compare(a.Version, b.Version),
		)
	})
	return all
}

// highest is the latest of the first versions that fix each finding.
func highest(t image.Type, findings []*match.Finding) string {
	to := ""
	for _, f := range findings {
		if len(f.FixedIn) == 0 {
			continue
		}
		if c, err := order.Compare(t, f.FixedIn[0], to); to == "" || err == nil && c > 0 {
			to = f.FixedIn[0]
		}
	}
	return to
}

// aside groups what was set aside by what did it, most first.
func aside(r *match.Result) []asideGroup {
	byKind := map[match.By]*asideGroup{}
	var all []*asideGroup
	for i := range r.SetAside {
		f := &r.SetAside[i]
		g := byKind[f.Aside.By]
		if g == nil {
			g = &asideGroup{By: f.Aside.By}
			byKind[f.Aside.By] = g
			all = append(all, g)
		}
		g.Findings = append(g.Findings, f)
	}
	slices.SortStableFunc(all, func(a, b *asideGroup) int {
		return cmp.Or(cmp.Compare(len(b.Findings), len(a.Findings)), cmp.Compare(a.By, b.By))
	})
	out := make([]asideGroup, len(all))
	for i, g := range all {
		out[i] = *g
	}
	return out
}

type asideGroup struct {
	By       match.By
	Findings []*match.Finding
}

// asideWords say what set a finding aside.
var asideWords = map[match.By]string{
	match.ByVEX:         "a VEX statement says that it does not matter here",
	match.ByIgnore:      "somebody answers for it in .bulwark.yaml",
	match.ByDistributor: "the distributor of the file says that it is fixed, or never was there",
	match.ByPlatform:    "it is a matter of another platform",
	match.ByPackage:     "the vulnerable package is not in the binary",
	match.BySymbol:      "the vulnerable functions are not in the binary",
	match.ByUnfixed:     "there is no fix, and only what has one was asked for",
}

// describe says what an image is, in one line.
func describe(i *image.Image) string {
	var parts []string
	if i.Platform != (image.Platform{}) {
		parts = append(parts, i.Platform.String())
	}
	switch {
	case i.OS.Name != "":
		parts = append(parts, i.OS.Name)
	case i.OS.ID != "":
		parts = append(parts, strings.TrimSpace(i.OS.ID+" "+i.OS.Version))
	default:
		parts = append(parts, "no distribution")
	}
	parts = append(parts, count(len(i.Packages), "package"))
	if n := len(i.Layers); n > 0 {
		parts = append(parts, count(n, "layer"))
	}
	if b := i.Base; b != nil && b.Name+b.Digest != "" {
		parts = append(parts, "on "+cmp.Or(b.Name, b.Digest))
	}
	return strings.Join(parts, ", ")
}

// faultsOf are the broken controls of how an image is built.
func faultsOf(i *ScannedImage) []*scan.ControlResult {
	if i.Built == nil {
		return nil
	}
	var out []*scan.ControlResult
	for _, res := range i.Built.Controls {
		if res.Outcome == control.Broken {
			out = append(out, res)
		}
	}
	return out
}

// grave is a severity of an advisory in the words of the catalogue, for what is coloured
// or counted alike.
func grave(s advisory.Severity) control.Severity {
	switch s {
	case advisory.Critical:
		return control.Critical
	case advisory.High:
		return control.High
	case advisory.Medium:
		return control.Medium
	case advisory.Low, advisory.Negligible, advisory.Unrated:
	}
	return control.Low
}

// ImageFormatNames are the formats' names, for help and completion.
func ImageFormatNames() []string {
	var names []string
	for _, f := range ImageFormats() {
		names = append(names, f.Name)
	}
	return names
}

// FindImageFormat returns the format with a name.
func FindImageFormat(name string) (ImageFormat, error) {
	for _, f := range ImageFormats() {
		if f.Name == name {
			return f, nil
		}
	}
	return ImageFormat{}, fmt.Errorf("format %q: want %s", name, strings.Join(ImageFormatNames(), ", "))
}

// A rebuild is one remedy for all images that it helps.
type rebuild struct {
	match.Remedy
	closes    int
	images    []string
	workloads []string
}

// rebuilds are the remedies of all images together, what closes most first.
func rebuilds(r *Images) []*rebuild {
	byWhat := map[string]*rebuild{}
	var all []*rebuild
	for _, i := range r.Images {
		for _, remedy := range i.Remedies {
			b := byWhat[remedy.What]
			if b == nil {
				b = &rebuild{Remedy: remedy}
				b.Exploited = 0
				byWhat[remedy.What] = b
				all = append(all, b)
			}
			b.closes += len(remedy.Closes)
			b.Exploited += remedy.Exploited
			b.Worst = max(b.Worst, remedy.Worst)
			b.images = append(b.images, i.Name)
			for _, w := range i.RunBy {
				if !slices.Contains(b.workloads, w) {
					b.workloads = append(b.workloads, w)
				}
			}
		}
	}
	slices.SortStableFunc(all, func(a, b *rebuild) int {
		return cmp.Or(
			cmp.Compare(min(b.Exploited, 1), min(a.Exploited, 1)), cmp.Compare(b.Worst, a.Worst),
			cmp.Compare(b.closes, a.closes), cmp.Compare(a.What, b.What),
		)
	})
	return all
}
