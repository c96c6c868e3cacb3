// Package scan runs controls over a Snapshot and ranks what they find. It reads
// nothing itself and writes nothing: a Snapshot goes in, a Result comes out.
package scan

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

// A Result is everything a report needs. It is complete and ordered: worst first,
// the same for the same Snapshot.
type Result struct {
	// Target is what was scanned: a context's name or the paths.
	Target string
	// ClusterVersion is the API server's version, if there was one.
	ClusterVersion string
	Live           bool
	Started        time.Time
	Took           time.Duration
	// Version is Bulwark's own.
	Version string
	// Objects counts what was looked at, by kind.
	Objects  map[string]int
	Controls []*ControlResult
	// Gaps are what the controls needed and nobody could read, and inputs that were
	// given and could not be read.
	Gaps []cluster.Gap
}

// A ControlResult is one control's answer.
type ControlResult struct {
	Control *control.Control
	Outcome control.Outcome
	// Findings are the faults first, then what is unknown.
	Findings []*control.Finding
	// Held, Broken and Unknown count subjects; a subject with two faults is one.
	Held, Broken, Unknown int
	// Reason says why the control is NotApplicable or Unknown as a whole.
	Reason string
}

// Run checks every control against the snapshot. The caller sets Started, Took and Version.
func Run(s *cluster.Snapshot, controls []*control.Control) *Result {
	r := &Result{
		Target: s.Name, ClusterVersion: s.Version, Live: s.Live,
		Objects: map[string]int{}, Gaps: gapsOf(s, controls),
		Controls: make([]*ControlResult, len(controls)),
	}
	for _, o := range s.Objects() {
		r.Objects[o.Kind]++
	}
	if n := len(s.Machines()); n > 0 {
		r.Objects["Machine"] = n
	}

	var wg sync.WaitGroup
	next := make(chan int)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := range next {
				r.Controls[i] = one(s, controls[i])
			}
		})
	}
	for i := range controls {
		next <- i
	}
	close(next)
	wg.Wait()

	slices.SortStableFunc(r.Controls, rank)
	return r
}

// gapsOf leaves out what none of the controls would have looked at.
func gapsOf(s *cluster.Snapshot, controls []*control.Control) []cluster.Gap {
	needed := map[cluster.Need]bool{cluster.Input: true}
	for _, c := range controls {
		for _, n := range c.Needs() {
			needed[n] = true
		}
	}
	return slices.DeleteFunc(s.AllGaps(), func(g cluster.Gap) bool { return !needed[g.Need] })
}

// rank orders what a person should read first: broken before unknown before held,
// the graver first, then the one that more subjects share.
func rank(a, b *ControlResult) int {
	order := map[control.Outcome]int{control.Broken: 0, control.Unknown: 1, control.Holds: 2, control.NotApplicable: 3}
	return cmp.Or(
		cmp.Compare(order[a.Outcome], order[b.Outcome]),
		cmp.Compare(b.Control.Severity, a.Control.Severity),
		cmp.Compare(b.Broken, a.Broken),
		strings.Compare(a.Control.ID, b.Control.ID),
	)
}

// one runs one control. A control that panics on a strange object answers Unknown,
// and the others are not harmed.
func one(s *cluster.Snapshot, c *control.Control) (res *ControlResult) {
	res = &ControlResult{Control: c}
	defer func() {
		if p := recover(); p != nil {
			*res = ControlResult{Control: c, Outcome: control.Unknown, Reason: fmt.Sprintf("the control crashed: %v", p)}
		}
	}()

	// Judged subjects come from any of Over; With must all be there.
	if !slices.ContainsFunc(c.Over, s.Looked) {
		return notApplicable(res, c.Over)
	}
	for _, n := range c.With {
		if !s.Looked(n) {
			return notApplicable(res, c.With)
		}
	}
	blind := map[string]cluster.Gap{} // namespaces and nodes where verdicts cannot be trusted
	for _, g := range s.Gaps(c.With...) {
		if g.Scope == "" {
			res.Outcome, res.Reason = control.Unknown, g.String()
			res.Unknown = 1
			return res
		}
		blind[g.Scope] = g
	}

	var report control.Report
	c.Check(s, &report)
	collect(res, &report, blind)

	for _, g := range s.Gaps(c.Over...) {
		res.Unknown++
		res.Findings = append(res.Findings, &control.Finding{
			Outcome: control.Unknown,
			Object:  cluster.Ref{Kind: string(g.Need), Name: cmp.Or(g.Scope, "(all)")},
			Reason:  g.Reason,
		})
	}
	slices.SortStableFunc(res.Findings, func(a, b *control.Finding) int {
		return cmp.Or(cmp.Compare(b.Outcome, a.Outcome), a.Object.Compare(b.Object), strings.Compare(a.Path, b.Path))
	})
	switch {
	case res.Broken > 0:
		res.Outcome = control.Broken
	case res.Unknown > 0:
		res.Outcome = control.Unknown
	case res.Held > 0:
		res.Outcome = control.Holds
	default:
		res.Outcome, res.Reason = control.NotApplicable, "there is nothing of the kind it judges"
	}
	return res
}

func notApplicable(res *ControlResult, needs []cluster.Need) *ControlResult {
	names := make([]string, len(needs))
	for i, n := range needs {
		names[i] = string(n)
	}
	res.Outcome = control.NotApplicable
	res.Reason = "this input is not where to look for " + strings.Join(names, ", ")
	return res
}

// collect counts verdicts and keeps their findings. What is wrong with a running pod
// and with the template that made it is the template's, once.
func collect(res *ControlResult, report *control.Report, blind map[string]cluster.Gap) {
	type fault struct {
		pod       *cluster.PodSpec
		path, got string
	}
	ofTemplate := map[fault]bool{}
	for _, v := range report.Verdicts() {
		if v.Pod == nil || v.Pod.Of != nil {
			continue
		}
		for _, f := range v.Findings {
			ofTemplate[fault{v.Pod, strings.TrimPrefix(f.Path, v.Pod.Path), f.Got}] = true
		}
	}
	for _, v := range report.Verdicts() {
		findings := v.Findings
		if v.Pod != nil && v.Pod.Of != nil {
			findings = slices.DeleteFunc(slices.Clone(findings), func(f *control.Finding) bool {
				return ofTemplate[fault{v.Pod.Of, strings.TrimPrefix(f.Path, v.Pod.Path), f.Got}]
			})
			if len(findings) == 0 {
				continue // counted with its template
			}
			for _, f := range findings {
				f.Changes = nil // a running pod is replaced, not edited
				f.Reason = strings.TrimPrefix(f.Reason+"; the template of "+v.Pod.Of.Object.Ref.String()+" does not say so", "; ")
			}
		}
		if g, ok := blind[v.Object.Namespace]; ok {
			res.Unknown++
			res.Findings = append(res.Findings, &control.Finding{Outcome: control.Unknown, Object: v.Object, Source: v.Source, Reason: g.String()})
			continue
		}
		switch {
		case slices.ContainsFunc(findings, func(f *control.Finding) bool { return f.Outcome == control.Broken }):
			res.Broken++
		case len(findings) > 0:
			res.Unknown++
		default:
			res.Held++
		}
		res.Findings = append(res.Findings, findings...)
	}
}

// Counts are the number of controls with each outcome, and of broken ones by severity.
type Counts struct {
	Broken     map[control.Severity]int
	Outcomes   map[control.Outcome]int
	Findings   int
	Incomplete bool
}

// Count sums the result up.
func (r *Result) Count() Counts {
	c := Counts{Broken: map[control.Severity]int{}, Outcomes: map[control.Outcome]int{}, Incomplete: len(r.Gaps) > 0}
	for _, res := range r.Controls {
		c.Outcomes[res.Outcome]++
		if res.Unknown > 0 || res.Outcome == control.Unknown {
			c.Incomplete = true
		}
		if res.Outcome == control.Broken {
			c.Broken[res.Control.Severity]++
		}
		for _, f := range res.Findings {
			if f.Outcome == control.Broken {
				c.Findings++
			}
		}
	}
	return c
}

// Worst is the gravest severity with a fault, or 0.
func (r *Result) Worst() control.Severity {
	var worst control.Severity
	for _, res := range r.Controls {
		if res.Outcome == control.Broken {
			worst = max(worst, res.Control.Severity)
		}
	}
	return worst
}
