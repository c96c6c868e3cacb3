// Package compare holds one scan against another: which faults are new, known, fixed, or
// were not looked at again. It knows a scan by its JSON report alone, so that two can be
// compared years apart and on another machine. A fault is the same one if its
// fingerprint is; lines, counts and wording do not matter.
package compare

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/scan"
)

// MaxReportSize is the largest report that is read, in bytes.
const MaxReportSize = 1 << 30

// schema is the only shape that is read.
const schema = "bulwark.scan/v1"

// A Report is what a scan said, as far as comparing needs it.
type Report struct {
	Target, Started string
	Complete        bool
	clusters        []string // of several
	controls        map[string]answer
	faults          map[string]fault
	// order are the faults' fingerprints as the report has them.
	order []string
}

// An answer is one control's.
type answer struct {
	outcome, reason string
	// unknown are the things that it could not judge; all of them where blind, and all of
	// a cluster or namespace where that is among unseen.
	unknown map[cluster.Ref]bool
	unseen  map[area]bool
	blind   bool
}

// An area is a namespace of a cluster, or with (all) the whole cluster.
type area struct{ cluster, namespace string }

const everywhere = "(all)"

func answerOf(outcome, reason string, findings int) answer {
	return answer{
		outcome: outcome, reason: reason, unknown: map[cluster.Ref]bool{}, unseen: map[area]bool{},
		blind: outcome == "unknown" && findings == 0,
	}
}

// missed notes a thing that could not be judged. A kind that could not be listed is
// one whose kind is the resource and whose name is the namespace, or (all).
func (a answer) missed(ref cluster.Ref) {
	a.unknown[ref] = true
	switch {
	case ref.IsCluster():
		a.unseen[area{ref.Cluster, everywhere}] = true
	case ref.Namespace == "" && ref.Kind == strings.ToLower(ref.Kind):
		a.unseen[area{ref.Cluster, ref.Name}] = true
	}
}

// A fault is a finding that was broken.
type fault struct {
	scan.Past
	waived bool
}

// The structs below are the part of docs/schema/scan-v1.json that comparing reads.
type (
	jsonReport struct {
		Schema   string `json:"schema"`
		Started  string `json:"started"`
		Target   struct{ Name string }
		Clusters []struct{ Name string }
		Summary  struct{ Complete bool }
		Controls []struct {
			ID, Outcome, Reason string
			Findings            []jsonFinding
		}
	}
	jsonFinding struct {
		Outcome, Severity, Fingerprint, Path, Evidence, Standing string
		Object                                                   struct{ Kind, Namespace, Machine, Name, Cluster string }
	}
)

// Read reads a JSON report.
func Read(data []byte) (*Report, error) {
	var in jsonReport
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&in); err != nil {
		return nil, fmt.Errorf("it is no JSON report: %w", err)
	}
	if in.Schema != schema {
		return nil, fmt.Errorf("schema is %q, want %s: a report written by `bulwark scan -o json`", in.Schema, schema)
	}
	out := &Report{Target: in.Target.Name, Started: in.Started, Complete: in.Summary.Complete, controls: map[string]answer{}, faults: map[string]fault{}}
	for _, c := range in.Clusters {
		out.clusters = append(out.clusters, c.Name)
	}
	for _, c := range in.Controls {
		a := answerOf(c.Outcome, c.Reason, len(c.Findings))
		for _, f := range c.Findings {
			ref := cluster.Ref{Kind: f.Object.Kind, Namespace: cmp.Or(f.Object.Namespace, f.Object.Machine), Name: f.Object.Name, Cluster: f.Object.Cluster}
			if f.Outcome != "broken" {
				a.missed(ref)
				continue
			}
			severity, err := control.ParseSeverity(f.Severity)
			if err != nil || f.Fingerprint == "" {
				return nil, fmt.Errorf("control %s: a finding without fingerprint and severity", c.ID)
			}
			if _, twice := out.faults[f.Fingerprint]; twice {
				return nil, fmt.Errorf("control %s: fingerprint %s stands twice", c.ID, f.Fingerprint)
			}
			out.order = append(out.order, f.Fingerprint)
			out.faults[f.Fingerprint] = fault{
				scan.Past{ID: f.Fingerprint, Control: c.ID, Severity: severity, Object: ref, Path: f.Path, Evidence: f.Evidence},
				f.Standing == "waived",
			}
		}
		if _, twice := out.controls[c.ID]; twice {
			return nil, fmt.Errorf("control %s stands twice", c.ID)
		}
		out.controls[c.ID] = a
	}
	return out, nil
}

// Of is what a result is to be compared by.
func Of(r *scan.Result) *Report {
	out := &Report{Target: r.Target, Complete: !r.Count().Incomplete, controls: map[string]answer{}, faults: map[string]fault{}}
	for _, c := range r.Clusters {
		out.clusters = append(out.clusters, c.Name)
	}
	for _, res := range r.Controls {
		a := answerOf(res.Outcome.String(), res.Reason, len(res.Findings))
		for _, f := range res.Findings {
			if f.Outcome != control.Broken {
				a.missed(f.Object)
				continue
			}
			out.order = append(out.order, f.ID)
			out.faults[f.ID] = fault{
				scan.Past{ID: f.ID, Control: res.Control.ID, Severity: res.SeverityOf(f), Object: f.Object, Path: f.Path, Evidence: f.Evidence()}, f.Waiver != nil,
			}
		}
		out.controls[res.Control.ID] = a
	}
	return out
}

// saw reports whether the scan looked where a fault of another one was: its control ran
// and could judge the object, or would have told that it is gone.
func (r *Report) saw(p scan.Past) bool {
	a, ran := r.controls[p.Control]
	switch {
	case !ran && strings.HasPrefix(p.Control, "waiver."):
		return true // reported only where there are waivers
	case !ran, a.blind, a.unknown[p.Object], !r.holds(p):
		return false
	case strings.HasPrefix(a.outcome, "not") && a.reason != scan.NothingToJudge:
		return false // this input is not where to look
	}
	return !a.unseen[area{p.Object.Cluster, everywhere}] && !a.unseen[area{p.Object.Cluster, p.Object.Namespace}]
}

// holds reports whether the scan was of the cluster that a fault is in. A scan of one
// cluster does not name it, so nothing of it is found again in a scan of several.
func (r *Report) holds(p scan.Past) bool {
	if p.Object.Cluster == "" {
		return len(r.clusters) == 0 || strings.HasPrefix(p.Control, "waiver.")
	}
	return slices.Contains(r.clusters, p.Object.Cluster)
}

// Mark holds a result against a baseline: a fault is known where the baseline has it, not
// less gravely and not as waived, and what the baseline had and is gone is fixed.
func Mark(r *scan.Result, name string, old *Report) {
	now := Of(r)
	b := &scan.Baseline{Name: name, Fixed: []scan.Past{}, Unseen: []scan.Past{}}
	for _, res := range r.Controls {
		for _, f := range res.Findings {
			if !f.Open() {
				continue
			}
			was, ok := old.faults[f.ID]
			if f.Known = ok && !was.waived && was.Severity >= res.SeverityOf(f); f.Known {
				b.Known++
			} else {
				b.New++
			}
		}
	}
	for _, id := range old.order {
		was := old.faults[id]
		if _, still := now.faults[id]; still || was.waived {
			continue
		}
		if now.saw(was.Past) {
			b.Fixed = append(b.Fixed, was.Past)
		} else {
			b.Unseen = append(b.Unseen, was.Past)
		}
	}
	r.Baseline = b
}

// A Change is a fault that both scans have and that differs.
type Change struct {
	Was, Is scan.Past
	// Waived says that it is waived now and was not, Reopened the other way round.
	Waived, Reopened bool
}

// A Difference is what lies between two scans.
type Difference struct {
	// Appeared are open now, and were not there or not as grave or waived; Gone were
	// open and are no more; Unseen were open, and the later scan did not look there.
	Appeared, Gone, Unseen []scan.Past
	Changed                []Change
	Same                   int
	// Complete is false where the later scan could not tell everything.
	Complete bool
}

// Diff says what changed from a to b.
func Diff(a, b *Report) *Difference {
	out := &Difference{Complete: b.Complete}
	for _, id := range b.order {
		is := b.faults[id]
		was, known := a.faults[id]
		switch {
		case !known && !is.waived:
			out.Appeared = append(out.Appeared, is.Past)
		case !known:
			out.Changed = append(out.Changed, Change{Is: is.Past, Waived: true})
		case was.waived != is.waived || was.Severity != is.Severity || was.Evidence != is.Evidence:
			out.Changed = append(out.Changed, Change{was.Past, is.Past, is.waived && !was.waived, was.waived && !is.waived})
		default:
			out.Same++
		}
	}
	for _, id := range a.order {
		was := a.faults[id]
		switch _, still := b.faults[id]; {
		case still || was.waived:
		case b.saw(was.Past):
			out.Gone = append(out.Gone, was.Past)
		default:
			out.Unseen = append(out.Unseen, was.Past)
		}
	}
	return out
}

// Worst is the gravest severity of what came up: appeared, reopened, or got graver.
func (d *Difference) Worst() control.Severity {
	var worst control.Severity
	for _, p := range d.Appeared {
		worst = max(worst, p.Severity)
	}
	for _, c := range d.Changed {
		if c.Reopened || !c.Waived && c.Was.ID != "" && c.Is.Severity > c.Was.Severity {
			worst = max(worst, c.Is.Severity)
		}
	}
	return worst
}
