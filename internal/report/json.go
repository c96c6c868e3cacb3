package report

import (
	"bufio"
	"encoding/json"
	"io"
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
		Started    string         `json:"started"`
		DurationMS int64          `json:"durationMs"`
		Summary    jsonSummary    `json:"summary"`
		Objects    map[string]int `json:"objects"`
		Controls   []jsonControl  `json:"controls"`
		Gaps       []jsonGap      `json:"gaps"`
	}
	jsonTarget struct {
		Name    string `json:"name"`
		Live    bool   `json:"live"`
		Version string `json:"version,omitempty"`
	}
	jsonSummary struct {
		Complete bool         `json:"complete"`
		Worst    string       `json:"worst,omitempty"`
		Outcomes jsonOutcomes `json:"outcomes"`
		Broken   jsonBroken   `json:"broken"`
		Findings int          `json:"findings"`
	}
	jsonOutcomes struct {
		Broken        int `json:"broken"`
		Unknown       int `json:"unknown"`
		Holds         int `json:"holds"`
		NotApplicable int `json:"notApplicable"`
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
	}
	jsonFinding struct {
		Outcome  string       `json:"outcome"`
		Object   jsonObject   `json:"object"`
		Source   *jsonSource  `json:"source,omitempty"`
		Path     string       `json:"path,omitempty"`
		Got      string       `json:"got,omitempty"`
		Want     string       `json:"want,omitempty"`
		Reason   string       `json:"reason,omitempty"`
		Evidence string       `json:"evidence"`
		Via      []jsonObject `json:"via,omitempty"`
		Changes  []jsonChange `json:"changes,omitempty"`
		Pods     int          `json:"pods,omitempty"`
	}
	jsonObject struct {
		Kind      string `json:"kind"`
		Namespace string `json:"namespace,omitempty"`
		Machine   string `json:"machine,omitempty"`
		Name      string `json:"name"`
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
	}
)

// outcomeNames are the outcomes as the schema spells them.
var outcomeNames = map[control.Outcome]string{
	control.Unknown: "unknown", control.Holds: "holds", control.Broken: "broken", control.NotApplicable: "not-applicable",
}

func writeJSON(w io.Writer, r *scan.Result, o Options) error {
	b := bufio.NewWriter(w)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false) // it is read by programs and people, not by browsers
	e.SetIndent("", "  ")
	if err := e.Encode(toJSON(r, o)); err != nil {
		return err
	}
	return b.Flush()
}

func toJSON(r *scan.Result, o Options) jsonResult {
	out, spots := resultJSON(r), locate(r, o)
	for i, res := range r.Controls {
		out.Controls[i] = controlJSON(res)
		for j, f := range res.Findings {
			out.Controls[i].Findings[j] = findingJSON(f, spots[f])
		}
	}
	return out
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
			Outcomes: jsonOutcomes{c.Outcomes[control.Broken], c.Outcomes[control.Unknown], c.Outcomes[control.Holds], c.Outcomes[control.NotApplicable]},
			Broken:   jsonBroken{c.Broken[control.Critical], c.Broken[control.High], c.Broken[control.Medium], c.Broken[control.Low]},
			Findings: c.Findings,
		},
		Objects:  r.Objects,
		Controls: make([]jsonControl, len(r.Controls)),
		Gaps:     make([]jsonGap, len(r.Gaps)),
	}
	if out.Objects == nil {
		out.Objects = map[string]int{}
	}
	for i, g := range r.Gaps {
		out.Gaps[i] = jsonGap{string(g.Need), g.Scope, g.Reason}
	}
	return out
}

// controlJSON is a control's answer with room for its findings.
func controlJSON(res *scan.ControlResult) jsonControl {
	c := res.Control
	out := jsonControl{
		ID: c.ID, Title: c.Title, Severity: c.Severity.String(), Since: c.Since,
		Outcome: outcomeNames[res.Outcome], Reason: res.Reason,
		Refs:     make([]jsonRef, len(c.Refs)),
		Counts:   jsonCounts{res.Broken, res.Unknown, res.Held},
		Findings: make([]jsonFinding, len(res.Findings)),
	}
	for i, ref := range c.Refs {
		out.Refs[i] = jsonRef{ref.Catalogue, ref.Number}
	}
	return out
}

func findingJSON(f *control.Finding, at spot) jsonFinding {
	out := jsonFinding{
		Outcome: outcomeNames[f.Outcome], Object: objectJSON(f.Object),
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
	return out
}

func objectJSON(r cluster.Ref) jsonObject {
	if r.OnMachine() {
		return jsonObject{Kind: r.Kind, Machine: r.Namespace, Name: r.Name}
	}
	return jsonObject{Kind: r.Kind, Namespace: r.Namespace, Name: r.Name}
}
