package report

import (
	"bufio"
	"encoding/json"
	"io"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/scan"
)

// StreamSchema names the shape of the JSON lines. docs/schema/scan-lines-v1.json
// describes a line, and the promises are those of Schema.
const StreamSchema = "bulwark.scan.lines/v1"

// Each line is one of these; type says which. The summary is the last one, so a stream
// without it was cut off.
type (
	lineHeader struct {
		Type    string         `json:"type"`
		Schema  string         `json:"schema"`
		Bulwark string         `json:"bulwark"`
		Target  jsonTarget     `json:"target"`
		Started string         `json:"started"`
		Objects map[string]int `json:"objects"`

		Clusters []jsonCluster  `json:"clusters,omitempty"`
		Foreign  map[string]int `json:"foreign,omitempty"`
	}
	lineFinding struct {
		Type    string    `json:"type"`
		Control string    `json:"control"`
		Title   string    `json:"title"`
		Refs    []jsonRef `json:"refs"`
		jsonFinding
	}
	lineSummary struct {
		Type       string `json:"type"`
		DurationMS int64  `json:"durationMs"`
		jsonSummary
		Controls []lineControl `json:"controls"`
		Gaps     []jsonGap     `json:"gaps"`
		Baseline *jsonBaseline `json:"baseline,omitempty"`
		Standard *jsonStandard `json:"standard,omitempty"`
	}
	lineControl struct {
		ID       string     `json:"id"`
		Severity string     `json:"severity"`
		Outcome  string     `json:"outcome"`
		Reason   string     `json:"reason,omitempty"`
		Counts   jsonCounts `json:"counts"`
	}
)

func writeJSONLines(w io.Writer, r *scan.Result, o Options) error {
	b := bufio.NewWriter(w)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	all := resultJSON(r)
	header := lineHeader{"header", StreamSchema, r.Version, all.Target, r.Started.UTC().Format(time.RFC3339), all.Objects, all.Clusters, all.Foreign}
	if err := e.Encode(header); err != nil {
		return err
	}
	summary := lineSummary{
		Type: "summary", DurationMS: all.DurationMS, jsonSummary: all.Summary, Controls: []lineControl{}, Gaps: all.Gaps,
		Baseline: all.Baseline, Standard: all.Standard,
	}
	spots := locate(r, o)
	for _, res := range r.Controls {
		c := controlJSON(res)
		summary.Controls = append(summary.Controls, lineControl{c.ID, c.Severity, c.Outcome, c.Reason, c.Counts})
		for _, f := range res.Findings {
			if err := e.Encode(lineFinding{"finding", c.ID, c.Title, c.Refs, findingJSON(r, res, f, spots[f])}); err != nil {
				return err
			}
		}
	}
	if err := e.Encode(summary); err != nil {
		return err
	}
	return b.Flush()
}
