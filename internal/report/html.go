package report

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/scan"
)

var (
	//go:embed ui/page.html
	pageSource string
	//go:embed ui/style.css
	pageStyle string
	//go:embed ui/script.js
	pageScript string

	pageTemplate = template.Must(template.New("page").Parse(pageSource))
)

// What the page shows of long lists, so that a browser opens it at once however large
// the cluster is. The page says where it cut, and the JSON report has everything.
const (
	maxRows      = 250 // findings of one control
	maxPlaces    = 120
	maxPlaceRows = 6  // worst findings of one place
	maxSubjects  = 80 // things that could not be judged
)

// The structs below are what ui/page.html shows. Strings from the cluster went through
// printable; html/template escapes them.
type (
	page struct {
		CSP string
		// Whole elements, as the CSP's hashes want their exact bytes.
		Style, Script, NetStyle template.HTML

		Target, ClusterVersion, Bulwark string
		Live                            bool
		Started, StartedISO, Took       string
		Looked                          string
		Kinds                           []kindCount
		Clusters                        []clusterView

		Tone, Headline, Verdict string
		Tiles                   []tile
		Bar                     []slice
		BarLabel                string

		Standard     *standardView
		First        []firstView
		Themes       []*theme
		Faults       int
		Severities   []tile // only those that have a theme
		Places       []*placeView
		PlacesMore   int
		Blinds       []blindView
		Unjudged     []subject
		UnjudgedMore int
		Blindness    []template.HTML // both in a few lines
		Held, None   []*theme
		Gaps         []gapView
		Networks     []networkView
		Images       *rebuildsView
		Capped       bool
		Waived       []waivedView
		Fixed        []string
		FixedMore    int
	}
	// A tile is the number of broken controls of one severity.
	tile struct {
		Severity, Anchor, Meaning string
		Controls, Findings        int
	}
	// A slice is one part of the bar of outcomes, in percent of its width.
	slice struct {
		Name     string
		Count    int
		X, Width string
	}
	// A theme is one control.
	theme struct {
		ID, Title, Severity, Since   string
		Refs                         []string
		Objects, Faults, Unknown     int
		Held                         int
		Where                        string
		Reason                       string
		Rows                         []*rowView
		More                         int
		Why, Reads, Fix, Prove, Also template.HTML
	}
	// A rowView is one finding.
	rowView struct {
		Anchor                  string
		Unknown                 bool
		PlaceKey, PlaceKind     string
		Place, Kind, Name       string
		Path, Got, Want, Reason string
		Evidence                string
		Via                     []string
		Pods                    string
		Source                  string
		Changes                 []changeView
		Patch, PatchNote        string
		LookOn, Look            string
		Severity                string // where it is not the theme's
		Reach                   []string
		Hand                    template.HTML
		Known                   bool
	}
	waivedView struct {
		Control, Findings, Reason, Owner, Until, Source string
	}
	changeView struct {
		Set         bool
		Path, Value string
	}
	placeView struct {
		Key, Kind, Name string
		Tiles           []tile
		Rows            []placeRow
		More            int
		weight          [5]int
	}
	placeRow struct{ Severity, Title, Object, Anchor string }

	blindView struct {
		What     string
		Reason   template.HTML
		Controls []*theme
		Subjects int
	}
	// A subject is a thing that was there and could not be judged.
	subject struct{ Control, Object, Evidence, LookOn, Look string }
	gapView struct{ Need, Scope, Reason string }
)

func writeHTML(w io.Writer, r *scan.Result, o Options) error {
	b := bufio.NewWriter(w)
	if err := pageTemplate.Execute(b, newPage(r, o)); err != nil {
		return err
	}
	return b.Flush()
}

func newPage(r *scan.Result, o Options) *page {
	p := &page{
		// The page needs no network and no form; were a stranger's text ever to
		// become markup, it could load and run nothing.
		CSP: fmt.Sprintf("default-src 'none'; style-src %s; script-src 'sha256-%s'; base-uri 'none'; form-action 'none'",
			styles(o), digest(pageScript)),
		Style:  template.HTML("<style>" + pageStyle + "</style>"),    //nolint:gosec // our own file
		Script: template.HTML("<script>" + pageScript + "</script>"), //nolint:gosec // our own file

		Target: printable(cmp.Or(r.Target, "unnamed")), ClusterVersion: printable(r.ClusterVersion),
		Bulwark: printable(r.Version), Live: r.Live, Took: took(r.Took), Looked: lookedAt(r, 0),
		Verdict: verdict(r),
	}
	p.Kinds, _ = kinds(r)
	p.Clusters = clusters(r)
	if total := len(p.Kinds); total > 0 {
		_, n := kinds(r)
		p.Looked = fmt.Sprintf("%s of %s", count(n, "object"), count(total, "kind"))
	}
	if !r.Started.IsZero() {
		p.Started = r.Started.UTC().Format("2 January 2006, 15:04 UTC")
		p.StartedISO = r.Started.UTC().Format("2006-01-02T15:04:05Z")
	}
	p.Tone, p.Headline = headline(r)

	themes, spots := map[*scan.ControlResult]*theme{}, locate(r, o)
	for _, res := range r.Controls {
		t := newTheme(res, spots)
		themes[res] = t
		switch res.Outcome {
		case control.Broken:
			p.Themes = append(p.Themes, t)
			p.Faults += t.Faults
			p.Capped = p.Capped || t.More > 0
		case control.Holds:
			p.Held = append(p.Held, t)
		case control.NotApplicable:
			p.None = append(p.None, t)
		case control.Waived: // shown by waiver, below
		case control.Unknown: // shown by reason, below
		}
	}
	p.Standard = newStandardView(r.Standard)
	few, total := doFirst(r)
	for _, t := range few {
		p.First = append(p.First, firstView{t.severity.String(), t.what, t.worst.ID, t.where(), t.closes(total)})
	}
	p.tiles()
	p.bar(r)
	p.places(r, themes)
	p.blind(r, themes)
	for _, w := range waivers(r) {
		p.Waived = append(p.Waived, waivedView{w.control, count(w.findings, "finding"), printable(w.waiver.Reason), printable(w.waiver.Owner), w.waiver.Until, printable(w.waiver.Source.String())})
	}
	if r.Baseline != nil {
		for i, past := range r.Baseline.Fixed {
			if i == maxSubjects {
				p.FixedMore = len(r.Baseline.Fixed) - i
				break
			}
			p.Fixed = append(p.Fixed, printable(past.Control+" "+past.Object.String()))
		}
	}
	p.networks(o.Networks)
	p.Images = newRebuildsView(o.Images)
	for _, g := range r.Gaps {
		p.Gaps = append(p.Gaps, gapView{string(g.Need), printable(strings.TrimPrefix(g.Cluster+": ", ": ") + cmp.Or(g.Scope, "everywhere")), printable(g.Reason)})
	}
	return p
}

// A firstView is one thing to do first, and the theme to go on reading at.
type firstView struct{ Severity, What, Anchor, Where, Closes string }

// digest is the hash by which the page's policy knows its own style and script.
func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// headline is the verdict in a few words, and the tone to say it in.
func headline(r *scan.Result) (tone, text string) {
	switch worst := r.Worst(); worst {
	case control.Critical:
		return worst.String(), "An attacker needs one step"
	case control.High:
		return worst.String(), "An attacker needs one more weakness"
	case control.Medium:
		return worst.String(), "A break-in would spread"
	case control.Low:
		return worst.String(), "Sound, with blind spots"
	}
	switch c := r.Count(); {
	case c.Incomplete && c.Outcomes[control.Holds] > 0:
		return "unknown", "Nothing broken in what could be seen"
	case c.Incomplete:
		return "unknown", "Nothing could be seen"
	case c.Outcomes[control.Holds] > 0 && c.Waived == 0:
		return "holds", "Everything that was checked holds"
	case c.Outcomes[control.Holds]+c.Outcomes[control.Waived] > 0:
		return "holds", "Nothing is broken beyond what is waived"
	}
	return "unknown", "There was nothing to judge"
}

func (p *page) tiles() {
	for _, s := range control.Severities() {
		t := tile{Severity: s.String(), Meaning: meaning[s]}
		for _, th := range p.Themes {
			if th.Severity != t.Severity {
				continue
			}
			if t.Anchor == "" {
				t.Anchor = th.ID
			}
			t.Controls++
			t.Findings += th.Faults
		}
		p.Tiles = append(p.Tiles, t)
		if t.Controls > 0 {
			p.Severities = append(p.Severities, t)
		}
	}
}

// bar draws how many controls have each outcome.
func (p *page) bar(r *scan.Result) {
	c := r.Count()
	var parts []string
	total, x := len(r.Controls)-c.Outcomes[control.NotApplicable], 0.0
	if total == 0 {
		return
	}
	put := func(name, label string, n int) {
		if n == 0 {
			return
		}
		w := 100 * float64(n) / float64(total)
		p.Bar = append(p.Bar, slice{name, n, fmt.Sprintf("%.2f", x), fmt.Sprintf("%.2f", w)})
		parts = append(parts, fmt.Sprintf("%d %s", n, label))
		x += w
	}
	for _, s := range control.Severities() {
		put(s.String(), s.String(), c.Broken[s])
	}
	put("unknown", "unknown", c.Outcomes[control.Unknown])
	put("holds", "hold", c.Outcomes[control.Holds])
	p.BarLabel = "Of " + count(total, "control") + " that apply: " + and(parts)
}

func newTheme(res *scan.ControlResult, spots map[*control.Finding]spot) *theme {
	c := res.Control
	t := &theme{
		ID: c.ID, Title: c.Title, Severity: res.Severity().String(), Since: c.Since,
		Objects: res.Broken, Unknown: res.Unknown, Held: res.Held, Reason: printable(res.Reason),
	}
	for _, ref := range c.Refs {
		t.Refs = append(t.Refs, ref.String())
	}
	if res.Outcome != control.Broken {
		return t
	}
	t.Why, t.Reads, t.Fix = markdown(c.Section("Why")), markdown(c.Section("Evidence")), markdown(c.Section("Fix"))
	t.Prove, t.Also = markdown(c.Section("Prove")), markdown(c.Section("References"))
	var where []place
	for i, f := range res.Findings {
		if f.Waiver != nil {
			continue // shown by waiver
		}
		if f.Outcome == control.Broken {
			t.Faults++
			if at := placeOf(f.Object); !slices.Contains(where, at) && len(where) <= maxPlaces {
				where = append(where, at)
			}
		}
		if i >= maxRows {
			t.More++
			continue
		}
		t.Rows = append(t.Rows, newRow(res, f, i, spots[f]))
	}
	labels := make([]string, len(where))
	for i, at := range where {
		labels[i] = printable(at.String())
	}
	t.Where = names(labels)
	return t
}

func newRow(res *scan.ControlResult, f *control.Finding, i int, where spot) *rowView {
	source := f.Source
	if where.line > 0 {
		source.Line = where.line
	}
	at := placeOf(f.Object)
	kind, name, _ := strings.Cut(local(f.Object), " ")
	row := &rowView{
		Anchor: anchor(res.Control.ID, i), Unknown: f.Outcome == control.Unknown,
		PlaceKey: at.key(), PlaceKind: at.kind.String(), Place: printable(at.String()),
		Kind: printable(kind), Name: printable(name),
		Path: printable(f.Path), Got: printable(f.Got), Want: printable(f.Want), Reason: printable(f.Reason),
		Evidence: printable(f.Evidence()), Source: printable(source.String()), Patch: patch(f),
	}
	for _, v := range f.Via {
		row.Via = append(row.Via, printable(v.String()))
	}
	if f.Pods > 0 {
		row.Pods = count(f.Pods, "running pod")
	}
	for _, c := range f.Changes {
		v := changeView{Set: c.Op == control.Set, Path: printable(c.Path)}
		if v.Set {
			if text, err := json.Marshal(c.Value); err == nil {
				v.Value = printable(string(text))
			}
		}
		row.Changes = append(row.Changes, v)
	}
	switch {
	case f.Outcome != control.Broken:
	case row.Patch != "" && f.Source.Line > 0:
		row.PatchNote = "Change the file. Where it is applied already:"
	case row.Patch != "":
		row.PatchNote = "In the running cluster:"
	case len(f.Changes) > 0 && f.Object.Kind == "Pod":
		row.PatchNote = "A pod cannot be changed while it lives: change what creates it, and let it be made anew."
	case len(f.Changes) > 0:
		row.PatchNote = "No patch can say this: edit the object."
	}
	for _, r := range f.Reach {
		row.Reach = append(row.Reach, printable(r.Text))
	}
	if s := res.SeverityOf(f); f.Outcome == control.Broken && s != res.Severity() {
		row.Severity = s.String()
	}
	row.Hand, row.Known = ticks(mend(res.Control, f).Hand), f.Known
	l := look(f)
	row.Look, row.LookOn = l.Command, printable(l.On)
	return row
}

func anchor(id string, i int) string { return fmt.Sprintf("%s-%d", id, i+1) }

// places gathers the worst of each namespace and machine, the worst place first.
func (p *page) places(r *scan.Result, themes map[*scan.ControlResult]*theme) {
	byPlace := map[place]*placeView{}
	var all []*placeView
	for _, res := range r.Controls {
		if res.Outcome != control.Broken {
			continue
		}
		t := themes[res]
		counted := map[*placeView]bool{}
		for i, f := range res.Findings {
			if !f.Open() {
				continue
			}
			at := placeOf(f.Object)
			v := byPlace[at]
			if v == nil {
				v = &placeView{Key: at.key(), Kind: at.kind.String(), Name: printable(at.String())}
				if at.kind == wholeCluster {
					v.Name = strings.TrimSpace("The cluster "+printable(at.cluster)) + " as a whole"
				}
				byPlace[at] = v
				all = append(all, v)
			}
			v.count(res.SeverityOf(f))
			// One line of each theme first: six times the same says less than six themes.
			if len(v.Rows) == maxPlaceRows || counted[v] {
				v.More++
				continue
			}
			counted[v] = true
			to := t.ID
			if i < maxRows {
				to = anchor(t.ID, i)
			}
			v.Rows = append(v.Rows, placeRow{res.SeverityOf(f).String(), t.Title, printable(local(f.Object)), to})
		}
	}
	slices.SortStableFunc(all, func(a, b *placeView) int {
		for s := control.Critical; s >= control.Low; s-- {
			if c := cmp.Compare(b.weight[s], a.weight[s]); c != 0 {
				return c
			}
		}
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Key, b.Key))
	})
	if len(all) > maxPlaces {
		p.PlacesMore = len(all) - maxPlaces
		all = all[:maxPlaces]
	}
	for _, v := range all {
		v.tiles()
	}
	p.Places = all
}

// count adds one finding.
func (v *placeView) count(s control.Severity) { v.weight[s]++ }

// tiles shows what was counted, the gravest first.
func (v *placeView) tiles() {
	for _, s := range control.Severities() {
		if n := v.weight[s]; n > 0 {
			v.Tiles = append(v.Tiles, tile{Severity: s.String(), Findings: n})
		}
	}
}

// blind fills the part on what could not be told: a card for each reason that kept
// controls from looking, one list of the things that were seen and could not be judged.
func (p *page) blind(r *scan.Result, themes map[*scan.ControlResult]*theme) {
	const few = 3
	for _, b := range blinds(r) {
		if len(b.needs) == 0 && len(b.findings) > 0 {
			for _, f := range b.findings {
				if len(p.Unjudged) == maxSubjects {
					p.UnjudgedMore++
					continue
				}
				l := look(f)
				p.Unjudged = append(p.Unjudged, subject{themes[b.controls[0]].ID, printable(f.Object.String()), printable(f.Evidence()), printable(l.On), l.Command})
			}
			continue
		}
		v := blindView{What: "The control itself", Reason: ticks(b.reason), Subjects: len(b.findings)}
		if len(b.needs) > 0 {
			v.What = upper(printable(names(b.needs)))
		}
		for _, res := range b.controls {
			v.Controls = append(v.Controls, themes[res])
		}
		p.Blinds = append(p.Blinds, v)
		if len(p.Blindness) < few {
			p.Blindness = append(p.Blindness, ticks(v.What+": "+b.reason))
		}
	}
	if n := len(p.Blinds) - few; n > 0 {
		p.Blindness = append(p.Blindness, ticks(count(n, "other reason")))
	}
	if n := len(p.Unjudged) + p.UnjudgedMore; n > 0 {
		p.Blindness = append(p.Blindness, ticks(count(n, "thing")+" could not be judged"))
	}
}

// upper begins a heading. The names of programs stay as they are.
func upper(s string) string {
	first, _, _ := strings.Cut(s, " ")
	if components[strings.TrimSuffix(first, "'s")] {
		return s
	}
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + s[n:]
}
