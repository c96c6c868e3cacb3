package report

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/scan"
)

// Lines of evidence that a control gets, and controls that a reason names, unless
// everything is asked for.
const (
	fewLines    = 5
	fewControls = 6
	longPlace   = 20 // columns; a longer name gets a line of its own
)

// ANSI styles. Colours come from the basic eight, which every theme of a terminal
// keeps legible on its background.
const (
	plain  = ""
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

var severityStyle = map[control.Severity]string{
	control.Critical: bold + ";" + red, control.High: red, control.Medium: yellow, control.Low: cyan,
}

// A span is text in one style.
type span struct{ style, text string }

// A table writes lines of spans.
type table struct {
	*bufio.Writer
	Options
	spots map[*control.Finding]spot
	met   map[cluster.Ref]bool // objects whose reach was told
}

// put writes text as it is. The Writer keeps the first error and Flush returns it.
func (t *table) put(text string) { _, _ = t.WriteString(text) }

func writeTable(w io.Writer, r *scan.Result, o Options) error {
	t := &table{bufio.NewWriter(w), o, locate(r, o), map[cluster.Ref]bool{}}
	t.head(r)
	t.first(r)
	t.standard(r)
	t.broken(r)
	t.images(o.Images)
	t.past(r)
	t.waived(r)
	t.unknown(r)
	if o.All {
		t.list(r, control.Waived, cyan)
		t.list(r, control.Holds, green)
		t.list(r, control.NotApplicable, dim)
	}
	t.foot(r)
	return t.Flush()
}

func (t *table) head(r *scan.Result) {
	head := []span{{bold, printable(r.Target)}}
	if r.ClusterVersion != "" {
		head = append(head, span{plain, " Kubernetes " + printable(r.ClusterVersion)})
	}
	when := "  "
	if !r.Started.IsZero() {
		when += r.Started.UTC().Format("2006-01-02 15:04 UTC") + ", "
	}
	when += "took " + took(r.Took)
	if r.Version != "" {
		when += ", bulwark " + printable(r.Version)
	}
	t.line(0, append(head, span{dim, when})...)
	t.line(0, span{dim, "looked at " + printable(lookedAt(r, 5))})
	if left := foreign(r, 5); left != "" {
		t.line(0, span{yellow, "not looked at: " + printable(left)})
	}
	t.clusters(r)
	t.put("\n")
	style := bold
	if r.Worst() == 0 && !r.Count().Incomplete {
		style = bold + ";" + green
	}
	t.line(0, span{style, verdict(r)})
	t.put("\n")
}

// clusters says of each of several clusters what was looked at.
func (t *table) clusters(r *scan.Result) {
	all, width := clusters(r), 0
	for _, c := range all {
		width = max(width, utf8.RuneCountInString(c.Name))
	}
	for _, c := range all {
		style := dim
		if c.Fault != "" {
			style = yellow
		}
		t.hang(width+4, []span{{bold, "  " + pad(c.Name, width) + "  "}}, span{style, c.String()})
	}
}

// first says what to do first: five lines that close most of what is grave.
func (t *table) first(r *scan.Result) {
	few, total := doFirst(r)
	if len(few) == 0 {
		return
	}
	t.line(0, span{bold, "DO FIRST"})
	const indent = 5
	for i, task := range few {
		t.hang(indent+10,
			[]span{{plain, fmt.Sprintf("  %d  ", i+1)}, {severityStyle[task.severity], pad(strings.ToUpper(task.severity.String()), 10)}},
			span{bold, task.what}, span{plain, ": " + task.where()}, span{dim, " (" + task.closes(total) + ")"})
		t.line(indent+10, span{dim, "next: "}, span{plain, printable(task.next())})
	}
	t.put("\n")
}

// past says what a baseline knew, and what became of it.
func (t *table) past(r *scan.Result) {
	b := r.Baseline
	if b == nil {
		return
	}
	const indent = 10
	list := func(label, style string, all []scan.Past) {
		few := all
		if !t.All && len(all) > fewLines+1 {
			few = all[:fewLines]
		}
		for i, p := range few {
			if i > 0 {
				label = ""
			}
			t.hang(indent+2, []span{{style, pad(label, indent)}}, span{bold, printable(p.Control) + "  "}, span{plain, printable(p.Object.String())}, span{dim, printable("  " + p.Evidence)})
		}
		if n := len(all) - len(few); n > 0 {
			t.line(indent, span{dim, fmt.Sprintf("… and %d more (--all, or -o json)", n)})
		}
		if len(all) > 0 {
			t.put("\n")
		}
	}
	if b.Known > 0 && !t.All {
		t.hang(indent, []span{{dim, pad("KNOWN", indent)}}, span{plain, count(b.Known, "finding") + " stood in " + printable(b.Name) + " already"}, span{dim, " (--all shows them)"})
		t.put("\n")
	}
	list("FIXED", green, b.Fixed)
	list("UNSEEN", yellow, b.Unseen)
}

// waived shows what somebody answers for, a line for each waiver.
func (t *table) waived(r *scan.Result) {
	groups := waivers(r)
	if len(groups) == 0 {
		return
	}
	const indent = 10
	label, more := "WAIVED", 0
	if !t.All && len(groups) > fewLines+1 {
		for _, g := range groups[fewLines:] {
			more += g.findings
		}
		groups = groups[:fewLines]
	}
	for _, g := range groups {
		t.hang(indent+2, []span{{cyan, pad(label, indent)}},
			span{bold, g.control + "  "}, span{plain, printable(waiverText(g.waiver))}, span{dim, " (" + count(g.findings, "finding") + ", " + printable(g.waiver.Source.String()) + ")"})
		label = ""
	}
	if more > 0 {
		t.line(indent, span{dim, fmt.Sprintf("… and %d more (--all, or -o json)", more)})
	}
	t.put("\n")
}

// broken shows each theme with the lines of evidence that fit.
func (t *table) broken(r *scan.Result) {
	id := 0
	for _, res := range r.Controls {
		if res.Outcome == control.Broken {
			id = max(id, len(res.Control.ID))
		}
	}
	const indent = 10 // where the ID begins
	for _, res := range r.Controls {
		if res.Outcome != control.Broken {
			continue
		}
		rows, more := t.rowsOf(res), 0
		if len(rows) == 0 {
			continue // all of it is known, and what is known was not asked for
		}
		c := res.Control
		t.hang(indent+id+2,
			[]span{
				{severityStyle[res.Severity()], pad(strings.ToUpper(res.Severity().String()), indent)},
				{bold, pad(c.ID, id+2)},
			},
			span{plain, printable(c.Title)}, span{dim, " (" + count(res.Broken, "object") + ")"})

		if !t.All && len(rows) > fewLines+1 { // "and 1 more" would take the line it saves
			for _, row := range rows[fewLines:] {
				more += row.findings
			}
			rows = rows[:fewLines]
		}
		width := 0
		for i := range rows {
			if n := utf8.RuneCountInString(printable(rows[i].place.String())); n <= longPlace {
				width = max(width, n)
			}
		}
		last, said := place{kind: -1}, ""
		for _, row := range rows {
			name := ""
			if row.place != last {
				name, last = printable(row.place.String()), row.place
			}
			if utf8.RuneCountInString(name) > longPlace {
				t.line(indent, span{cyan, name})
				name = ""
			}
			evidence := span{plain, "  " + printable(row.evidence)}
			if row.evidence == said {
				evidence = span{dim, "  the same"}
			}
			said = row.evidence
			file := span{dim, ""}
			if row.file != "" {
				file.text = " (" + printable(row.file) + ")"
			}
			t.hang(indent+width+4,
				[]span{{cyan, pad(strings.Repeat(" ", indent)+name, indent+width) + "  "}},
				span{severityStyle[row.severity], strings.TrimPrefix(row.severity.String()+" ", " ")},
				span{bold, printable(row.objects)}, evidence, span{dim, row.pods}, span{yellow, printable(row.reach)}, file)
			if t.All {
				t.how(indent+width+4, res.Control, row)
			}
		}
		if t.All && len(c.Refs) > 0 {
			refs := make([]string, len(c.Refs))
			for i, ref := range c.Refs {
				refs[i] = ref.String()
			}
			t.line(indent, span{dim, "references: " + printable(strings.Join(refs, "; "))})
		}
		if more > 0 {
			t.line(indent, span{dim, fmt.Sprintf("… and %d more (--all, or -o json)", more)})
		}
		t.put("\n")
	}
}

// how shows how a row's faults are seen and mended, once where several are mended alike.
func (t *table) how(indent int, c *control.Control, r row) {
	byHand := ""
	for _, f := range r.of {
		if l := look(f); l.Command != "" {
			t.line(indent, span{dim, "show: "}, span{plain, printable(l.String())})
		}
		m := mend(c, f)
		switch {
		case m.Hand != "":
			byHand = m.Hand
		case m.Command != "" && f.Source.Line == 0:
			t.line(indent, span{dim, "fix:  "}, span{plain, printable(m.Command)})
		default:
			t.line(indent, span{dim, "fix:  "}, span{plain, printable(strings.Join(edits(f), "; "))})
		}
	}
	if byHand != "" {
		t.line(indent, span{dim, "fix by hand: "}, span{plain, printable(byHand)})
	}
}

// A row is a line of evidence: one finding, or several of one place that are alike.
type row struct {
	place    place
	objects  string // "deployment cart, front; cronjob worker"
	evidence string
	pods     string           // " (3 pods)"
	file     string           // "deploy/cart.yaml:12", of a single finding
	reach    string           // "; reachable from outside through ingress shop/web"
	severity control.Severity // where it is not the theme's
	findings int
	of       []*control.Finding
}

// rowsOf groups a control's faults by place and by what is wrong. In full, only
// faults with the same words are one; otherwise also those of the same field in
// different containers and kinds of workloads.
func (t *table) rowsOf(res *scan.ControlResult) []row {
	type key struct {
		place    place
		shape    string
		severity control.Severity
		reach    string
	}
	type group struct {
		key
		findings []*control.Finding
	}
	var groups []*group
	byKey := map[key]*group{}
	for _, f := range res.Findings {
		if !shown(f, t.Options) {
			continue
		}
		k := key{placeOf(f.Object), "", res.SeverityOf(f), reachText(f)}
		if t.All {
			k.shape = f.Evidence()
		} else {
			k.shape = shape(f)
		}
		g := byKey[k]
		if g == nil {
			g = &group{key: k}
			byKey[k] = g
			groups = append(groups, g)
		}
		g.findings = append(g.findings, f)
	}
	slices.SortStableFunc(groups, func(a, b *group) int {
		return cmp.Or(cmp.Compare(b.severity, a.severity), a.place.compare(b.place))
	})
	rows, worst := make([]row, len(groups)), res.Severity()
	for i, g := range groups {
		rows[i] = row{place: g.place, objects: objects(g.findings), evidence: g.shape, findings: len(g.findings), of: g.findings}
		pods := 0
		for j, f := range g.findings {
			if j == 0 || f.Object != g.findings[j-1].Object {
				pods += f.Pods
			}
		}
		if len(g.findings) == 1 {
			rows[i].evidence = g.findings[0].Evidence()
			rows[i].file = fileLine(g.findings[0], t.spots[g.findings[0]], t.Dir)
		}
		rows[i].reach = t.reachOf(g.findings)
		if g.severity != worst {
			rows[i].severity = g.severity
		}
		if pods > 0 {
			rows[i].pods = " (" + count(pods, "pod") + ")"
		}
	}
	return rows
}

// reachOf is what moved the severity of a row's findings, which have it in common: in
// full where an object is met first, and later in a word.
func (t *table) reachOf(findings []*control.Finding) string {
	f := findings[0]
	if !t.All && !f.Exposed() && (len(f.Reach) == 0 || f.Reach[0].Way == control.LeadsOn) {
		return "" // where it leads moved nothing, since nobody gets there
	}
	if len(f.Reach) > 0 && t.All {
		return "; " + reachText(f)
	}
	fresh := false
	for _, f := range findings {
		fresh = fresh || !t.met[f.Object]
		t.met[f.Object] = true
	}
	switch {
	case fresh:
		return "; " + reachText(f)
	case f.Exposed():
		return "; exposed"
	}
	return ""
}

// shape is a finding's evidence with the way to the field cut off, where that differs
// between workloads that are wrong in the same way.
func shape(f *control.Finding) string {
	short := *f
	if _, rest, ok := strings.Cut(f.Path, "ontainers["); ok {
		if _, field, ok := strings.Cut(rest, "]."); ok {
			short.Path = "…" + field
		}
	} else if _, field, ok := strings.Cut(f.Path, "template.spec."); ok {
		short.Path = "…" + field
	}
	return short.Evidence()
}

// objects names what findings are about, kind by kind.
func objects(findings []*control.Finding) string {
	var order []string
	byKind := map[string][]string{}
	for _, f := range findings {
		kind, name, _ := strings.Cut(local(f.Object), " ")
		if _, ok := byKind[kind]; !ok {
			order = append(order, kind)
			byKind[kind] = nil
		}
		if name != "" && !slices.Contains(byKind[kind], name) {
			byKind[kind] = append(byKind[kind], name)
		}
	}
	for i, kind := range order {
		order[i] = strings.TrimSpace(kind + " " + names(byKind[kind]))
	}
	return strings.Join(order, "; ")
}

// names lists a few names and counts the others.
func names(all []string) string {
	const few = 6
	if len(all) <= few+1 {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(all[:few], ", "), len(all)-few)
}

// unknown shows what could not be told, one line for each reason.
func (t *table) unknown(r *scan.Result) {
	groups := blinds(r)
	if len(groups) == 0 {
		return
	}
	const indent = 10
	for i, b := range groups {
		label := ""
		if i == 0 {
			label = "UNKNOWN"
		}
		first := []span{{yellow, pad(label, indent)}}
		switch {
		case len(b.controls) == 1 && len(b.needs) == 0 && len(b.findings) == 1:
			f := b.findings[0]
			t.hang(indent+2, first, span{bold, b.controls[0].Control.ID + "  "}, span{plain, printable(f.String())})
			continue
		case len(b.controls) == 0:
			t.hang(indent+2, first, span{plain, "not read: " + printable(strings.Join(b.needs, ", ")+": "+b.reason)})
			continue
		}
		what := "could not tell"
		if len(b.needs) > 0 {
			what = "could not look at " + names(b.needs)
		}
		t.hang(indent+2, first, span{bold, count(len(b.controls), "control") + " "}, span{plain, printable(what + ": " + b.reason)})
		ids := make([]string, len(b.controls))
		for i, res := range b.controls {
			ids[i] = res.Control.ID
		}
		if !t.All && len(ids) > fewControls+1 {
			ids = append(ids[:fewControls], fmt.Sprintf("… and %d more", len(ids)-fewControls))
		}
		t.hang(indent+2, []span{{plain, strings.Repeat(" ", indent+2)}}, span{dim, strings.Join(ids, ", ")})
	}
	t.put("\n")
}

// list names the controls with an outcome that nobody needs to act on.
func (t *table) list(r *scan.Result, o control.Outcome, style string) {
	label := map[control.Outcome]string{control.Holds: "HOLDS", control.Waived: "WAIVED", control.NotApplicable: "N/A"}[o]
	width := 0
	for _, res := range r.Controls {
		if res.Outcome == o {
			width = max(width, len(res.Control.ID))
		}
	}
	if width == 0 {
		return
	}
	for _, res := range r.Controls {
		if res.Outcome != o {
			continue
		}
		why := "no: " + res.Control.Title
		if o == control.NotApplicable {
			why = cmp.Or(res.Reason, "no reason was given")
		} else if res.Held > 0 {
			why += " (" + count(res.Held, "object") + ")"
		}
		t.hang(10+width+2, []span{{style, pad(label, 10)}, {plain, pad(res.Control.ID, width+2)}}, span{dim, printable(why)})
		label = ""
	}
	t.put("\n")
}

func (t *table) foot(r *scan.Result) {
	t.line(0, span{bold, totals(r)})
	for _, res := range r.Controls {
		if res.Outcome == control.Broken {
			t.line(0, span{dim, "next: "}, span{plain, "bulwark explain " + res.Control.ID}, span{dim, " says why and how to fix; -o html writes a page for people"})
			return
		}
	}
	if r.Count().Incomplete {
		t.line(0, span{dim, "next: give bulwark what it could not read, and scan again"})
	}
}

// line writes spans as a paragraph whose every line is indented alike.
func (t *table) line(indent int, spans ...span) {
	t.hang(indent, []span{{plain, strings.Repeat(" ", indent)}}, spans...)
}

// hang writes the spans of first as they are and wraps the rest behind them, with
// following lines indented.
func (t *table) hang(indent int, first []span, rest ...span) {
	at := 0
	for _, s := range first {
		t.paint(s)
		at += utf8.RuneCountInString(s.text)
	}
	if t.Width <= 0 {
		for _, s := range rest {
			t.paint(s)
		}
		t.put("\n")
		return
	}
	width := t.Width
	if width-indent < 20 { // so narrow that hanging would leave a column of syllables
		indent, width = 2, max(width, 22)
	}
	fresh := true // nothing stands on this line behind its indent
	for _, w := range split(rest) {
		for {
			gap := w.gap
			if fresh {
				gap = 0
			}
			room, n := width-at-gap, utf8.RuneCountInString(w.text)
			head, tail := w.text, ""
			switch {
			case n <= room:
			case fresh, n > width-indent && room >= 24:
				head, tail = cut(w.text, room) // it fits on no line, so it begins on this one
			default:
				head, tail = "", w.text
			}
			if head != "" {
				t.put(strings.Repeat(" ", gap))
				t.paint(span{w.style, head})
				at += gap + utf8.RuneCountInString(head)
				fresh = false
			}
			if tail == "" {
				break
			}
			t.put("\n" + strings.Repeat(" ", indent))
			at, fresh, w.text = indent, true, tail
		}
	}
	t.put("\n")
}

// A word is what wrapping keeps together, with the spaces before it.
type word struct {
	span
	gap int
}

func split(spans []span) []word {
	var out []word
	gap := 0
	for _, s := range spans {
		for text := s.text; text != ""; {
			rest := strings.TrimLeft(text, " ")
			gap += len(text) - len(rest)
			w, _, _ := strings.Cut(rest, " ")
			if w != "" {
				out = append(out, word{span{s.style, w}, gap})
				gap = 0
			}
			text = rest[len(w):]
		}
	}
	return out
}

// cut takes from a long word, a path mostly, what fits into room, at a place where a
// reader expects it.
func cut(word string, room int) (head, tail string) {
	if utf8.RuneCountInString(word) <= room {
		return word, ""
	}
	runes := []rune(word)
	room = min(max(room, 8), len(runes)-1)
	for i := room; i > room/2; i-- {
		if strings.ContainsRune("./[=,:&-", runes[i]) {
			return string(runes[:i]), string(runes[i:])
		}
	}
	return string(runes[:room]), string(runes[room:])
}

func (t *table) paint(s span) {
	if !t.Color || s.style == plain || strings.TrimSpace(s.text) == "" {
		t.put(s.text)
		return
	}
	t.put("\x1b[" + s.style + "m" + s.text + "\x1b[0m")
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}
