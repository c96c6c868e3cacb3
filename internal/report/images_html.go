package report

import (
	"bufio"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/match"
)

var (
	//go:embed ui/images.html
	imagesSource string

	imagesTemplate = template.Must(template.New("images").Parse(imagesSource))
)

// The structs below are what ui/images.html shows. It shares style.css and script.js with
// the page of a scan: a package is what a control is there, a vulnerability a finding.
type (
	imagesPage struct {
		CSP                        string
		Style, Script              template.HTML
		Bulwark                    string
		Started, StartedISO, Took  string
		Tone, Headline, Verdict    string
		Images                     []*imageView
		Tiles                      []imageTile
		Exploited, Fixable, Unread int
		First                      []imageFirst
		Themes                     []*packageView
		Severities                 []imageTile
		Findings                   int
		Aside                      []asideView
		Blinds                     []imageBlind
		Built                      []builtView
		Notes                      []string
		Capped                     bool
	}
	imageTile struct {
		Severity string
		Count    int
		Packages int
	}
	imageFirst struct{ Severity, What, Image, Closes string }
	imageView  struct {
		Key, Name, Digest, About, Verdict, Runs string
		Tiles                                   []imageTile
		Layers                                  []layerView
		Failed                                  bool
	}
	layerView struct {
		Number         int
		Command        string
		Base           bool
		Packages, Open int
	}
	packageView struct {
		ID, Severity, Name, Version, To, Type, Image, Key string
		Where                                             string
		Exploited                                         int
		Rows                                              []vulnerabilityView
		More                                              int
	}
	vulnerabilityView struct {
		Anchor, Key, Image         string
		ID, Severity, From, Score  string
		Exploited, EPSS, Reachable string
		State, Summary, Why, Fixed string
		Also, Paths, Links         []string
		Vector                     string
	}
	asideView  struct{ Image, What, ID, Package, Reason, Owner, Until string }
	imageBlind struct{ Image, What, Reason, Names string }
	builtView  struct {
		Image, Severity, ID, Title string
		Evidence                   []string
	}
)

const (
	maxPackageRows = 60
	maxAsideRows   = 300
)

func writeImagesHTML(w io.Writer, r *Images, o Options) error {
	b := bufio.NewWriter(w)
	if err := imagesTemplate.Execute(b, newImagesPage(r, o)); err != nil {
		return err
	}
	return b.Flush()
}

func newImagesPage(r *Images, o Options) *imagesPage {
	p := &imagesPage{
		CSP: fmt.Sprintf("default-src 'none'; style-src %s; script-src 'sha256-%s'; base-uri 'none'; form-action 'none'",
			styles(o), digest(pageScript)),
		Style:   template.HTML("<style>" + pageStyle + "</style>"),    //nolint:gosec // our own file
		Script:  template.HTML("<script>" + pageScript + "</script>"), //nolint:gosec // our own file
		Bulwark: printable(r.Version), Took: took(r.Took),
	}
	if !r.Started.IsZero() {
		p.Started = r.Started.UTC().Format("2 January 2006, 15:04 UTC")
		p.StartedISO = r.Started.UTC().Format("2006-01-02T15:04:05Z")
	}
	for _, n := range r.Notes {
		p.Notes = append(p.Notes, printable(n))
	}
	sum := counted{by: map[advisory.Severity]int{}}
	for n, i := range r.Images {
		p.image(fmt.Sprintf("i%d", n+1), i)
		if i.Err == nil {
			sum = sum.add(countFindings(i.Result))
		} else {
			p.Unread++
		}
	}
	slices.SortStableFunc(p.Themes, func(a, b *packageView) int { return severityRank(b.Severity) - severityRank(a.Severity) })
	p.tiles(sum)
	p.Exploited, p.Fixable, p.Findings = sum.exploited, sum.fixable, sum.total
	p.headline(r, sum)
	return p
}

func severityRank(name string) int {
	for n, s := range imageSeverities {
		if s.String() == name {
			return len(imageSeverities) - n
		}
	}
	return 0
}

func (p *imagesPage) headline(r *Images, sum counted) {
	var verdicts []string
	if len(r.Images) == 1 {
		verdicts = append(verdicts, verdictOfImage(r.Images[0]))
	} else {
		verdicts = append(verdicts, totalOfImages(r)+".")
	}
	p.Verdict = strings.Join(verdicts, " ")
	switch {
	case sum.exploited > 0:
		p.Tone, p.Headline = "critical", fmt.Sprintf("%d known to be exploited", sum.exploited)
	case sum.by[advisory.Critical] > 0:
		p.Tone, p.Headline = "critical", fmt.Sprintf("%d critical", sum.by[advisory.Critical])
	case sum.by[advisory.High] > 0:
		p.Tone, p.Headline = "high", fmt.Sprintf("%d high", sum.by[advisory.High])
	case sum.total > 0:
		p.Tone, p.Headline = "medium", "Nothing grave is known"
	case p.Unread == len(r.Images):
		p.Tone, p.Headline = "unknown", "Nothing could be read"
	case len(p.Blinds) > 0:
		p.Tone, p.Headline = "unknown", "Nothing is known, and not everything was assessed"
	default:
		p.Tone, p.Headline = "holds", "No vulnerability is known"
	}
}

func (p *imagesPage) tiles(sum counted) {
	for _, s := range []advisory.Severity{advisory.Critical, advisory.High, advisory.Medium} {
		p.Tiles = append(p.Tiles, imageTile{Severity: s.String(), Count: sum.by[s]})
	}
	low := sum.by[advisory.Low] + sum.by[advisory.Negligible] + sum.by[advisory.Unrated]
	p.Tiles = append(p.Tiles, imageTile{Severity: advisory.Low.String(), Count: low})
	for _, t := range p.Tiles {
		if t.Count > 0 {
			p.Severities = append(p.Severities, t)
		}
	}
}

func (p *imagesPage) image(key string, i *ScannedImage) {
	v := &imageView{Key: key, Name: printable(i.Name), Verdict: verdictOfImage(i), Failed: i.Err != nil}
	p.Images = append(p.Images, v)
	if i.Err != nil {
		return
	}
	v.Digest, v.About = i.Image.Digest, printable(describe(i.Image))
	p.layers(v, i)
	for _, r := range i.Remedies {
		p.First = append(p.First, imageFirst{grave(r.Worst).String(), printable(r.What), v.Name, fmt.Sprintf("closes %d of %d", len(r.Closes), len(i.Findings))})
		if len(p.First) == fewRemedies*2 {
			break
		}
	}
	for n, b := range bundles(i.Result) {
		p.Themes = append(p.Themes, p.pkg(fmt.Sprintf("%s-p%d", key, n+1), v, i, b))
	}
	for n := range i.SetAside {
		f := &i.SetAside[n]
		if len(p.Aside) == maxAsideRows {
			p.Capped = true
			break
		}
		p.Aside = append(p.Aside, asideView{
			v.Name, asideWords[f.Aside.By], f.ID, printable(f.Package.Name + " " + f.Package.Version),
			printable(f.Aside.Reason), printable(f.Aside.Owner), day(f.Aside.Expires),
		})
	}
	for _, g := range i.NotAssessed {
		what := "the image"
		if g.Packages > 0 {
			what = count(g.Packages, string(g.Type)+" package")
		}
		p.Blinds = append(p.Blinds, imageBlind{v.Name, what, printable(g.Reason), printable(names(g.Names))})
	}
	for _, res := range faultsOf(i) {
		b := builtView{Image: v.Name, Severity: res.Control.Severity.String(), ID: res.Control.ID, Title: res.Control.Title}
		for _, f := range res.Findings {
			if f.Outcome == control.Broken && len(b.Evidence) < maxPlaceRows {
				b.Evidence = append(b.Evidence, printable(evidenceOf(f.Path, f.Got, f.Want, f.Reason)))
			}
		}
		p.Built = append(p.Built, b)
	}
}

// layers says what each layer brought.
func (p *imagesPage) layers(v *imageView, i *ScannedImage) {
	packages, open := make([]int, len(i.Image.Layers)), make([]int, len(i.Image.Layers))
	at := func(list []int, layer int) {
		if layer >= 0 && layer < len(list) {
			list[layer]++
		}
	}
	for n := range i.Image.Packages {
		at(packages, i.Image.Packages[n].Layer)
	}
	for n := range i.Findings {
		at(open, i.Findings[n].Package.Layer)
	}
	for n, l := range i.Image.Layers {
		v.Layers = append(v.Layers, layerView{n + 1, printable(l.Command), l.Base, packages[n], open[n]})
	}
}

func (p *imagesPage) pkg(id string, v *imageView, i *ScannedImage, b *bundle) *packageView {
	out := &packageView{
		ID: id, Severity: grave(b.Worst).String(), Name: printable(b.Name), Version: printable(b.Version), To: printable(b.To),
		Type: string(b.Type), Image: v.Name, Key: v.Key, Exploited: b.Exploited,
	}
	var where []string
	if b.Base {
		where = append(where, "base image")
	} else if b.Layer >= 0 && len(i.Image.Layers) > 1 {
		where = append(where, fmt.Sprintf("layer %d", b.Layer+1))
	}
	if len(b.Packages) > 0 {
		where = append(where, names(b.Packages))
	}
	if !b.Type.OS() {
		where = append(where, names(b.Paths))
	}
	out.Where = printable(strings.Join(where, ", "))
	for n, f := range b.Findings {
		if n == maxPackageRows {
			out.More = len(b.Findings) - n
			p.Capped = true
			break
		}
		out.Rows = append(out.Rows, newVulnerabilityView(fmt.Sprintf("%s-%d", id, n+1), v, f))
	}
	return out
}

func newVulnerabilityView(anchor string, v *imageView, f *match.Finding) vulnerabilityView {
	out := vulnerabilityView{
		Anchor: anchor, Key: v.Key, Image: v.Name, ID: printable(f.ID), Severity: f.Severity.String(), From: printable(f.SeverityFrom), Vector: printable(f.Vector),
		Exploited: day(f.Exploited), Summary: printable(f.Summary), Why: printable(f.Why), Fixed: printable(strings.Join(f.FixedIn, " and ")),
	}
	if f.State != advisory.Affected && f.State != advisory.Fixed {
		out.State = f.State.String()
	}
	if f.Score > 0 {
		out.Score = fmt.Sprintf("%.1f", f.Score)
	}
	if f.EPSS > 0 {
		out.EPSS = fmt.Sprintf("%.1f %%", 100*f.EPSS)
	}
	if f.Reachable == match.SymbolThere {
		out.Reachable = "its functions are in the binary"
	}
	for _, id := range f.IDs {
		if id != f.ID {
			out.Also = append(out.Also, printable(id))
		}
	}
	for _, id := range f.Advisories {
		out.Also = append(out.Also, printable(id))
	}
	for _, path := range f.Paths {
		out.Paths = append(out.Paths, printable(path))
	}
	for _, link := range f.References {
		if strings.HasPrefix(link, "https://") || strings.HasPrefix(link, "http://") {
			out.Links = append(out.Links, printable(link))
		}
	}
	return out
}

// A rebuildsView is what the page of a scan says of the images that run.
type rebuildsView struct {
	Says     string
	Rebuilds []rebuildView
	Notes    []string
}

type rebuildView struct {
	Severity, What, Images, Workloads string
	Closes                            int
}

// newRebuildsView is nil where nobody looked into images.
func newRebuildsView(r *Images) *rebuildsView {
	if r == nil || len(r.Images) == 0 {
		return nil
	}
	v := &rebuildsView{Says: totalOfImages(r)}
	for _, b := range rebuilds(r) {
		v.Rebuilds = append(v.Rebuilds, rebuildView{
			grave(b.Worst).String(), printable(b.What), printable(strings.Join(b.images, ", ")), printable(strings.Join(b.workloads, ", ")), b.closes,
		})
	}
	for _, note := range r.Notes {
		v.Notes = append(v.Notes, printable(note))
	}
	return v
}
