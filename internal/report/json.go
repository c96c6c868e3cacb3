package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/scan"
)

// Schema names the shape of the JSON report. docs/schema/scan-v1.json describes it
// and docs/report.md says what may change without a new name.
const Schema = "bulwark.scan/v1"

// The structs below are the schema: a change here is a change of a promise. They are
// apart from the scan's own structs so that those may change freely.
type (
	jsonResult struct {
		Schema     string         `json:"schema"`
		Bulwark    string         `json:"bulwark"`
		Target     jsonTarget     `json:"target"`
		Clusters   []jsonCluster  `json:"clusters,omitempty"`
		Started    string         `json:"started"`
		DurationMS int64          `json:"durationMs"`
		Summary    jsonSummary    `json:"summary"`
		Objects    map[string]int `json:"objects"`
		Foreign    map[string]int `json:"foreign,omitempty"`
		Controls   []jsonControl  `json:"controls"`
		Gaps       []jsonGap      `json:"gaps"`
		Baseline   *jsonBaseline  `json:"baseline,omitempty"`
		Standard   *jsonStandard  `json:"standard,omitempty"`
	}
	jsonStandard struct {
		ID       string       `json:"id"`
		Title    string       `json:"title"`
		Coverage jsonCoverage `json:"coverage"`
		Items    []jsonItem   `json:"items"`
	}
	jsonCoverage struct {
		Broken        int `json:"broken"`
		Unknown       int `json:"unknown"`
		Waived        int `json:"waived"`
		Holds         int `json:"holds"`
		NotApplicable int `json:"notApplicable"`
		NotCovered    int `json:"notCovered"`
	}
	jsonItem struct {
		Number   string   `json:"number"`
		Title    string   `json:"title"`
		Section  string   `json:"section,omitempty"`
		Manual   bool     `json:"manual,omitempty"`
		Outcome  string   `json:"outcome"`
		Reason   string   `json:"reason,omitempty"`
		Note     string   `json:"note,omitempty"`
		Controls []string `json:"controls"`
		By       []string `json:"by,omitempty"`
		Findings int      `json:"findings"`
	}
	jsonTarget struct {
		Name    string `json:"name"`
		Live    bool   `json:"live"`
		Version string `json:"version,omitempty"`
	}
	jsonCluster struct {
		Name    string         `json:"name"`
		Version string         `json:"version,omitempty"`
		Objects map[string]int `json:"objects"`
		Fault   string         `json:"fault,omitempty"`
	}
	jsonSummary struct {
		Complete bool         `json:"complete"`
		Worst    string       `json:"worst,omitempty"`
		Outcomes jsonOutcomes `json:"outcomes"`
		Broken   jsonBroken   `json:"broken"`
		Findings int          `json:"findings"`
		Waived   int          `json:"waived"`
		// Open are the findings that nobody answers for.
		Open jsonBroken `json:"open"`
	}
	jsonOutcomes struct {
		Broken        int `json:"broken"`
		Unknown       int `json:"unknown"`
		Holds         int `json:"holds"`
		NotApplicable int `json:"notApplicable"`
		Waived        int `json:"waived"`
	}
	jsonBroken struct {
		Critical int `json:"critical"`
		High     int `json:"high"`
		Medium   int `json:"medium"`
		Low      int `json:"low"`
	}
	jsonControl struct {
		ID       string        `json:"id"`
		Title    string        `json:"title"`
		Severity string        `json:"severity"`
		Since    string        `json:"since"`
		Refs     []jsonRef     `json:"refs"`
		Outcome  string        `json:"outcome"`
		Reason   string        `json:"reason,omitempty"`
		Counts   jsonCounts    `json:"counts"`
		Findings []jsonFinding `json:"findings"`
	}
	jsonRef struct {
		Catalogue string `json:"catalogue"`
		Number    string `json:"number"`
	}
	jsonCounts struct {
		Broken  int `json:"broken"`
		Unknown int `json:"unknown"`
		Held    int `json:"held"`
		Waived  int `json:"waived"`
	}
	jsonFinding struct {
		Outcome     string       `json:"outcome"`
		Severity    string       `json:"severity"`
		Fingerprint string       `json:"fingerprint"`
		Object      jsonObject   `json:"object"`
		Source      *jsonSource  `json:"source,omitempty"`
		Path        string       `json:"path,omitempty"`
		Got         string       `json:"got,omitempty"`
		Want        string       `json:"want,omitempty"`
		Reason      string       `json:"reason,omitempty"`
		Evidence    string       `json:"evidence"`
		Via         []jsonObject `json:"via,omitempty"`
		Changes     []jsonChange `json:"changes,omitempty"`
		Pods        int          `json:"pods,omitempty"`
		Reach       []jsonReach  `json:"reach,omitempty"`
		Look        *jsonLook    `json:"look,omitempty"`
		Fix         *jsonFix     `json:"fix,omitempty"`
		Standing    string       `json:"standing,omitempty"`
		Waiver      *jsonWaiver  `json:"waiver,omitempty"`
	}
	jsonReach struct {
		Way  string `json:"way"`
		Text string `json:"text"`
	}
	jsonLook struct {
		Machine string `json:"machine,omitempty"`
		Command string `json:"command"`
	}
	jsonFix struct {
		Command string `json:"command,omitempty"`
		ByHand  string `json:"byHand,omitempty"`
	}
	jsonWaiver struct {
		Reason     string `json:"reason"`
		Owner      string `json:"owner"`
		Until      string `json:"until"`
		Origin     string `json:"origin"`
		Line       int    `json:"line,omitempty"`
		Annotation bool   `json:"annotation,omitempty"`
	}
	// jsonBaseline is what became of an older result's findings.
	jsonBaseline struct {
		Name   string     `json:"name"`
		New    int        `json:"new"`
		Known  int        `json:"known"`
		Fixed  []jsonPast `json:"fixed"`
		Unseen []jsonPast `json:"unseen"`
	}
	jsonPast struct {
		Fingerprint string     `json:"fingerprint"`
		Control     string     `json:"control"`
		Severity    string     `json:"severity"`
		Object      jsonObject `json:"object"`
		Path        string     `json:"path,omitempty"`
		Evidence    string     `json:"evidence"`
	}
	jsonObject struct {
		Kind      string `json:"kind"`
		Namespace string `json:"namespace,omitempty"`
		Machine   string `json:"machine,omitempty"`
		Name      string `json:"name"`
		Cluster   string `json:"cluster,omitempty"`
	}
	jsonSource struct {
		Origin          string `json:"origin"`
		Line            int    `json:"line,omitempty"`
		Column          int    `json:"column,omitempty"`
		ResourceVersion string `json:"resourceVersion,omitempty"`
		// Field is where the finding's path stands in the file, if that is not where
		// the object begins.
		Field *jsonSpot `json:"field,omitempty"`
	}
	jsonSpot struct {
		Line   int `json:"line"`
		Column int `json:"column"`
	}
	jsonChange struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value *any   `json:"value,omitempty"` // a pointer, so that false and 0 are written
	}
	jsonGap struct {
		Need   string `json:"need"`
		Scope  string `json:"scope,omitempty"`
		Reason string `json:"reason"`

		Cluster string `json:"cluster,omitempty"`
	}
)

// outcomeNames are the outcomes as the schema spells them.
var outcomeNames = map[control.Outcome]string{
	control.Unknown: "unknown", control.Holds: "holds", control.Broken: "broken", control.NotApplicable: "not-applicable", control.Waived: "waived",
}

// writeJSON writes a few findings at a time: a big result is many times as long as what
// it is made of.
func writeJSON(w io.Writer, r *scan.Result, o Options) error {
	b := bufio.NewWriterSize(w, 1<<16)
	out, spots := resultJSON(r), locate(r, o)
	out.Controls = []jsonControl{}
	err := around(b, "", "controls", out, len(r.Controls), func() error {
		for i, res := range r.Controls {
			between(b, i, "    ")
			c := controlJSON(res)
			c.Findings = []jsonFinding{}
			err := around(b, "    ", "findings", c, len(res.Findings), func() error {
				return inOrder(b, len(res.Findings), func(text *jsonText, from, to int) error {
					text.indent = 8
					for j := from; j < to; j++ {
						text.begun = j > 0
						text.element()
						f := res.Findings[j]
						out := findingJSON(r, res, f, spots[f])
						text.finding(&out)
					}
					return text.err
				})
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := b.WriteByte('\n'); err != nil {
		return err
	}
	return b.Flush()
}

// around writes a struct whose list of a name is empty, and in its place what fill
// writes: n elements. The text is that of the whole struct written at once with an indent
// of two.
func around(b *bufio.Writer, prefix, list string, v any, n int, fill func() error) error {
	var frame bytes.Buffer
	if err := encodeIn(&frame, prefix)(v); err != nil {
		return err
	}
	// No string of JSON holds a line break, so this is the struct's own field.
	before, after, ok := strings.Cut(frame.String(), "\n"+prefix+"  "+strconv.Quote(list)+": []")
	if !ok {
		return fmt.Errorf("report: no list %s to fill", list)
	}
	text := func(t string) { _, _ = b.WriteString(t) } // its last write or Flush tells the error
	text(before + "\n" + prefix + "  " + strconv.Quote(list) + ": [")
	if n > 0 {
		if err := fill(); err != nil {
			return err
		}
		text("\n" + prefix + "  ")
	}
	_, err := b.WriteString("]" + after)
	return err
}

// between writes what stands before an element of a list.
func between(w io.StringWriter, i int, prefix string) {
	if i > 0 {
		_, _ = w.WriteString(",")
	}
	_, _ = w.WriteString("\n" + prefix)
}

// atOnce is how many elements are encoded together.
const atOnce = 64

// inOrder writes n elements, which all processors encode a few at a time, in their order.
func inOrder(b *bufio.Writer, n int, encode func(text *jsonText, from, to int) error) error {
	type part struct {
		text *jsonText
		err  error
	}
	texts := sync.Pool{New: func() any { return new(jsonText) }}
	parts := make(chan chan part, runtime.GOMAXPROCS(0)) // bounds what is in memory
	go func() {
		defer close(parts)
		for from := 0; from < n; from += atOnce {
			done := make(chan part, 1)
			parts <- done
			go func() {
				text := texts.Get().(*jsonText)
				*text = jsonText{b: text.b[:0]}
				err := encode(text, from, min(from+atOnce, n))
				done <- part{text, err}
			}()
		}
	}()
	var fault error
	for done := range parts { // to the end, so that nobody waits for ever
		p := <-done
		if fault == nil {
			fault = p.err
		}
		if fault == nil {
			_, fault = b.Write(p.text.b)
		}
		texts.Put(p.text)
	}
	return fault
}

// encodeIn returns a function that writes a value whose first line is indented already,
// without the line's end.
func encodeIn(w io.Writer, prefix string) func(any) error {
	var compact, text bytes.Buffer
	e := json.NewEncoder(&compact)
	e.SetEscapeHTML(false) // it is read by programs and people, not by browsers
	return func(v any) error {
		compact.Reset()
		text.Reset()
		if err := e.Encode(v); err != nil {
			return err
		}
		indentJSON(&text, bytes.TrimSuffix(compact.Bytes(), []byte("\n")), prefix)
		_, err := w.Write(text.Bytes())
		return err
	}
}

// resultJSON is the result without its controls.
func resultJSON(r *scan.Result) jsonResult {
	c := r.Count()
	out := jsonResult{
		Schema:  Schema,
		Bulwark: r.Version,
		Target:  jsonTarget{r.Target, r.Live, r.ClusterVersion},
		Started: r.Started.UTC().Format(time.RFC3339), DurationMS: r.Took.Milliseconds(),
		Summary: jsonSummary{
			Complete: !c.Incomplete,
			Worst:    r.Worst().String(),
			Outcomes: jsonOutcomes{c.Outcomes[control.Broken], c.Outcomes[control.Unknown], c.Outcomes[control.Holds], c.Outcomes[control.NotApplicable], c.Outcomes[control.Waived]},
			Broken:   jsonBroken{c.Broken[control.Critical], c.Broken[control.High], c.Broken[control.Medium], c.Broken[control.Low]},
			Findings: c.Findings, Waived: c.Waived,
			Open: jsonBroken{c.BySeverity[control.Critical], c.BySeverity[control.High], c.BySeverity[control.Medium], c.BySeverity[control.Low]},
		},
		Objects:  r.Objects,
		Foreign:  r.Foreign,
		Gaps:     make([]jsonGap, len(r.Gaps)),
		Standard: standardJSON(r.Standard),
	}
	if out.Objects == nil {
		out.Objects = map[string]int{}
	}
	for i, g := range r.Gaps {
		out.Gaps[i] = jsonGap{string(g.Need), g.Scope, g.Reason, g.Cluster}
	}
	for _, c := range r.Clusters {
		out.Clusters = append(out.Clusters, jsonCluster{c.Name, c.Version, c.Objects, c.Fault})
	}
	if b := r.Baseline; b != nil {
		out.Baseline = &jsonBaseline{b.Name, b.New, b.Known, pastsJSON(b.Fixed), pastsJSON(b.Unseen)}
	}
	return out
}

func pastsJSON(all []scan.Past) []jsonPast {
	out := make([]jsonPast, len(all))
	for i, p := range all {
		out[i] = jsonPast{p.ID, p.Control, p.Severity.String(), objectJSON(p.Object), p.Path, p.Evidence}
	}
	return out
}

// controlJSON is a control's answer without its findings.
func controlJSON(res *scan.ControlResult) jsonControl {
	c := res.Control
	out := jsonControl{
		ID: c.ID, Title: c.Title, Severity: c.Severity.String(), Since: c.Since,
		Outcome: outcomeNames[res.Outcome], Reason: res.Reason,
		Refs:   make([]jsonRef, len(c.Refs)),
		Counts: jsonCounts{res.Broken, res.Unknown, res.Held, res.Waived},
	}
	for i, ref := range c.Refs {
		out.Refs[i] = jsonRef{ref.Catalogue, ref.Number}
	}
	return out
}

func findingJSON(r *scan.Result, res *scan.ControlResult, f *control.Finding, at spot) jsonFinding {
	out := jsonFinding{
		Outcome: outcomeNames[f.Outcome], Severity: res.SeverityOf(f).String(), Fingerprint: f.ID, Object: objectJSON(f.Object),
		Path: f.Path, Got: f.Got, Want: f.Want, Reason: f.Reason, Evidence: f.Evidence(), Pods: f.Pods,
	}
	if f.Source != (cluster.Source{}) {
		out.Source = &jsonSource{Origin: f.Source.Origin, Line: f.Source.Line, Column: f.Source.Column, ResourceVersion: f.Source.ResourceVersion}
		if at.line > 0 && at != begin(f.Source) {
			out.Source.Field = &jsonSpot{at.line, at.column}
		}
	}
	for _, v := range f.Via {
		out.Via = append(out.Via, objectJSON(v))
	}
	for _, c := range f.Changes {
		change := jsonChange{Op: string(c.Op), Path: c.Path}
		if c.Op == control.Set {
			change.Value = &c.Value
		}
		out.Changes = append(out.Changes, change)
	}
	for _, reach := range f.Reach {
		out.Reach = append(out.Reach, jsonReach{string(reach.Way), reach.Text})
	}
	if l := look(f); l.Command != "" {
		out.Look = &jsonLook{l.On, l.Command}
	}
	if m := mend(res.Control, f); m != (mending{}) {
		out.Fix = &jsonFix{m.Command, m.Hand}
	}
	out.Standing = standing(f, r.Baseline != nil)
	if w := f.Waiver; w != nil {
		out.Waiver = &jsonWaiver{w.Reason, w.Owner, w.Until, w.Source.Origin, w.Source.Line, w.Annotation}
	}
	return out
}

func objectJSON(r cluster.Ref) jsonObject {
	if r.OnMachine() {
		return jsonObject{Kind: r.Kind, Machine: r.Namespace, Name: r.Name, Cluster: r.Cluster}
	}
	return jsonObject{Kind: r.Kind, Namespace: r.Namespace, Name: r.Name, Cluster: r.Cluster}
}
