package report

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
	"github.com/bulwark-k8s/bulwark/internal/match"
)

// Lines that a list gets unless everything is asked for.
const (
	fewRemedies  = 5
	fewBundles   = 10
	fewOfBundle  = 3
	bundleIndent = 10
)

func writeImagesTable(w io.Writer, r *Images, o Options) error {
	t := &table{Writer: bufio.NewWriter(w), Options: o}
	for n, i := range r.Images {
		if n > 0 {
			t.put("\n")
		}
		t.image(i)
	}
	t.put("\n")
	for _, note := range r.Notes {
		t.hang(6, []span{{yellow, "note: "}}, span{plain, printable(note)})
	}
	if len(r.Images) > 1 {
		t.line(0, span{bold, totalOfImages(r)})
	}
	t.line(0, span{dim, "took " + took(r.Took) + "; "}, span{plain, "-o html"}, span{dim, " writes a page for people, "}, span{plain, "--all"}, span{dim, " shows everything"})
	return t.Flush()
}

// totalOfImages is the result in one line.
func totalOfImages(r *Images) string {
	sum, broken, blind := counted{by: map[advisory.Severity]int{}}, 0, 0
	for _, i := range r.Images {
		if i.Err != nil {
			broken++
			continue
		}
		sum = sum.add(countFindings(i.Result))
		blind += notAssessed(i.Result)
	}
	parts := []string{count(len(r.Images), "image")}
	if sum.total > 0 {
		parts = append(parts, sum.String())
	} else {
		parts = append(parts, "nothing known")
	}
	if sum.exploited > 0 {
		parts = append(parts, fmt.Sprintf("%d exploited", sum.exploited))
	}
	if blind > 0 {
		parts = append(parts, count(blind, "package")+" not assessed")
	}
	if broken > 0 {
		parts = append(parts, fmt.Sprintf("%d could not be read", broken))
	}
	return strings.Join(parts, "; ")
}

func (t *table) image(i *ScannedImage) {
	t.line(0, span{bold, printable(i.Name)})
	if i.Err == nil {
		t.line(0, span{dim, printable(describe(i.Image))})
		if d := i.Image.Digest; d != "" && !strings.Contains(i.Name, d) {
			t.line(0, span{dim, d})
		}
	}
	style := bold
	switch {
	case i.Err != nil:
		style = yellow
	case len(i.Findings) == 0 && len(i.NotAssessed) == 0:
		style = bold + ";" + green
	}
	t.line(0, span{style, verdictOfImage(i)})
	if i.Err != nil {
		return
	}
	t.remedies(i)
	t.bundles(i)
	t.built(i)
	t.aside(i)
	t.notAssessed(i)
}

func (t *table) remedies(i *ScannedImage) {
	if len(i.Remedies) == 0 {
		return
	}
	t.put("\n")
	t.line(0, span{bold, "DO FIRST"})
	for n, r := range i.Remedies {
		if n == fewRemedies && !t.All {
			t.line(5, span{dim, fmt.Sprintf("and %s more", count(len(i.Remedies)-n, "thing"))})
			break
		}
		note := ""
		if r.Exploited > 0 {
			note = fmt.Sprintf(", %d of them exploited", r.Exploited)
		}
		t.hang(15, []span{{plain, fmt.Sprintf("  %d  ", n+1)}, {styleOf(r.Worst), pad(strings.ToUpper(r.Worst.String()), 10)}},
			span{bold, printable(r.What)}, span{dim, fmt.Sprintf(" (closes %d of %d%s)", len(r.Closes), len(i.Findings), note)})
	}
}

func styleOf(s advisory.Severity) string {
	if s < advisory.Low {
		return dim
	}
	return severityStyle[grave(s)]
}

func (t *table) bundles(i *ScannedImage) {
	all := bundles(i.Result)
	if len(all) > 0 {
		t.put("\n")
	}
	for n, b := range all {
		if n == fewBundles && !t.All {
			rest := 0
			for _, b := range all[n:] {
				rest += len(b.Findings)
			}
			t.line(bundleIndent, span{dim, fmt.Sprintf("and %d more in %s: --all shows them", rest, count(len(all)-n, "package"))})
			break
		}
		t.bundle(i, b)
	}
}

func (t *table) bundle(i *ScannedImage, b *bundle) {
	to := span{dim, "  no fix"}
	if b.To != "" {
		to = span{green, " → " + printable(b.To)}
	}
	where := ""
	switch {
	case b.Base:
		where = "  base image"
	case b.Layer >= 0 && b.Layer < len(i.Image.Layers):
		where = fmt.Sprintf("  layer %d", b.Layer+1)
	}
	if len(b.Packages) > 0 {
		where += "  " + names(b.Packages)
	}
	t.hang(bundleIndent, []span{{styleOf(b.Worst), pad(strings.ToUpper(b.Worst.String()), bundleIndent)}},
		span{bold, printable(b.Name)}, span{plain, " " + printable(b.Version)}, to, span{dim, printable(where)})
	if paths := b.Paths; !b.Type.OS() && len(paths) > 0 {
		t.line(bundleIndent, span{dim, printable(names(paths))})
	}
	for n, f := range b.Findings {
		if n == fewOfBundle && len(b.Findings) > fewOfBundle+1 && !t.All {
			ids := make([]string, 0, len(b.Findings)-n)
			for _, f := range b.Findings[n:] {
				ids = append(ids, f.ID)
			}
			t.line(bundleIndent+2, span{dim, "and " + names(ids)})
			break
		}
		t.finding(f)
	}
}

func (t *table) finding(f *match.Finding) {
	spans := []span{{plain, printable(f.ID)}, {styleOf(f.Severity), "  " + f.Severity.String()}}
	if f.Score > 0 {
		spans = append(spans, span{dim, fmt.Sprintf(" %.1f", f.Score)})
	}
	if !f.Exploited.IsZero() {
		spans = append(spans, span{bold + ";" + red, "  exploited"})
	}
	if f.EPSS >= 0.01 {
		spans = append(spans, span{dim, fmt.Sprintf("  EPSS %.0f %%", 100*f.EPSS)})
	}
	if f.Reachable == match.SymbolThere {
		spans = append(spans, span{yellow, "  in the binary"})
	}
	if f.State != advisory.Affected && f.State != advisory.Fixed {
		spans = append(spans, span{dim, "  " + f.State.String()})
	}
	if f.Summary != "" {
		spans = append(spans, span{plain, "  " + printable(f.Summary)})
	}
	t.hang(bundleIndent+4, []span{{plain, strings.Repeat(" ", bundleIndent+2)}}, spans...)
	if t.All {
		for _, line := range []string{f.Why, strings.Join(f.IDs[1:], ", ")} {
			if line != "" {
				t.line(bundleIndent+4, span{dim, printable(line)})
			}
		}
	}
}

// built says what the catalogue has against how the image is built.
func (t *table) built(i *ScannedImage) {
	faults := faultsOf(i)
	if len(faults) == 0 {
		return
	}
	t.put("\n")
	t.line(0, span{bold, "HOW IT IS BUILT"})
	for _, res := range faults {
		worst := res.Control.Severity
		t.hang(12, []span{{plain, "  "}, {severityStyle[worst], pad(strings.ToUpper(worst.String()), 10)}},
			span{bold, res.Control.Title}, span{dim, "  " + res.Control.ID})
		shown := 0
		for _, f := range res.Findings {
			if shown == fewOfBundle && !t.All {
				t.line(14, span{dim, fmt.Sprintf("and %d more", len(res.Findings)-shown)})
				break
			}
			shown++
			t.hang(14, []span{{plain, strings.Repeat(" ", 12)}}, span{plain, printable(evidenceOf(f.Path, f.Got, f.Want, f.Reason))})
		}
	}
}

// evidenceOf is what was found where, without the image's own name.
func evidenceOf(path, got, want, reason string) string {
	var parts []string
	if path != "" && got != "" {
		parts = append(parts, path+" is "+got)
	} else if path+got != "" {
		parts = append(parts, path+got)
	}
	if want != "" {
		parts = append(parts, "want "+want)
	}
	if reason != "" {
		parts = append(parts, reason)
	}
	return strings.Join(parts, ", ")
}

func (t *table) aside(i *ScannedImage) {
	for n, g := range aside(i.Result) {
		label := ""
		if n == 0 {
			label = "SET ASIDE"
			t.put("\n")
		}
		t.hang(12, []span{{dim, pad(label, 12)}}, span{plain, fmt.Sprint(len(g.Findings))}, span{dim, ": " + cmp.Or(asideWords[g.By], string(g.By))})
		if !t.All {
			continue
		}
		for _, f := range g.Findings {
			words := fmt.Sprintf("%s in %s %s", f.ID, f.Package.Name, f.Package.Version)
			if f.Aside.Reason != "" {
				words += ": " + f.Aside.Reason
			}
			t.line(14, span{dim, printable(words)})
		}
	}
}

func (t *table) notAssessed(i *ScannedImage) {
	groups := slices.Clone(i.NotAssessed)
	for n, g := range groups {
		label := ""
		if n == 0 {
			label = "UNKNOWN"
			t.put("\n")
		}
		what := printable(g.Reason)
		if g.Packages > 0 {
			what = count(g.Packages, string(g.Type)+" package") + " not assessed: " + what
		}
		t.hang(12, []span{{yellow, pad(label, 12)}}, span{plain, what}, span{dim, "  " + printable(names(g.Names))})
	}
}

// images says what to do about the images that a cluster runs.
func (t *table) images(r *Images) {
	if r == nil || len(r.Images) == 0 {
		return
	}
	t.hang(10, []span{{bold, pad("IMAGES", 10)}}, span{plain, totalOfImages(r)})
	for n, b := range rebuilds(r) {
		if n == fewRemedies && !t.All {
			t.line(12, span{dim, fmt.Sprintf("and %d more; -o html shows them", len(rebuilds(r))-n)})
			break
		}
		t.hang(22, []span{{plain, strings.Repeat(" ", 10)}, {styleOf(b.Worst), pad(strings.ToUpper(b.Worst.String()), 10)}},
			span{bold, printable(b.What)}, span{plain, printable(" in " + names(b.images))},
			span{dim, fmt.Sprintf(" (closes %d, run by %s)", b.closes, count(len(b.workloads), "workload"))})
	}
	for _, note := range r.Notes {
		t.hang(12, []span{{plain, strings.Repeat(" ", 10)}}, span{yellow, "note: "}, span{plain, printable(note)})
	}
	t.put("\n")
}
