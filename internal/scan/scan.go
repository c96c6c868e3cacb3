// Package scan runs controls over a Snapshot and ranks what they find by its reach. It reads
// nothing itself and writes nothing: a Snapshot goes in, a Result comes out.
package scan

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/reach"
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
	Objects map[string]int
	// Foreign counts what was met and no control knows, by "Kind of group/version".
	Foreign  map[string]int
	Controls []*ControlResult
	// Gaps are what the controls needed and nobody could read, and inputs that were
	// given and could not be read.
	Gaps []cluster.Gap
	// Cluster is set where the result is one of several that will be joined.
	Cluster string
	// Clusters are set where the result is about several; every object then names its own.
	Clusters []Cluster
	// Baseline is set where the result was held against an older one.
	Baseline *Baseline
	// Standard is set where the scan was for one: the same, item by item.
	Standard *StandardResult
}

// A Baseline is what became of an older result's faults.
type Baseline struct {
	Name string // the file it was read from
	// New and Known count this result's open faults.
	New, Known int
	// Fixed were open then and are no more. Unseen were open then, and this scan did
	// not look there, or could not.
	Fixed, Unseen []Past
}

// A Past is a fault of an older result.
type Past struct {
	ID       string
	Control  string
	Severity control.Severity
	Object   cluster.Ref
	Path     string
	Evidence string
}

// NothingToJudge is the reason of a control that looked and found no subject.
const NothingToJudge = "there is nothing of the kind it judges"

// A ControlResult is one control's answer.
type ControlResult struct {
	Control *control.Control
	Outcome control.Outcome
	// Findings are the faults first, then what is unknown; of each, the graver first.
	Findings []*control.Finding
	// Held, Broken and Unknown count subjects; a subject with two faults is one. A
	// subject whose every fault is waived is Waived and not Broken.
	Held, Broken, Unknown, Waived int
	// Reason says why the control is NotApplicable or Unknown as a whole.
	Reason string
}

// Needs are the facts that a scan with these controls rests on, each once and in order.
func Needs(controls []*control.Control) []cluster.Need {
	needs := slices.Clone(reach.Needs)
	for _, c := range controls {
		needs = append(needs, c.Needs()...)
	}
	slices.Sort(needs)
	return slices.Compact(needs)
}

// Run checks every control against the snapshot. The caller sets Started, Took and Version.
func Run(s *cluster.Snapshot, controls []*control.Control) *Result {
	r := &Result{
		Target: s.Name, ClusterVersion: s.Version, Live: s.Live,
		Objects: map[string]int{}, Foreign: s.Foreign(), Gaps: gapsOf(s, controls),
		Controls: make([]*ControlResult, len(controls)),
	}
	for _, o := range s.Objects() {
		r.Objects[o.Kind]++
	}
	if n := len(s.Machines()); n > 0 {
		r.Objects["Machine"] = n
	}
	if n := len(s.Images()); n > 0 {
		r.Objects["Image"] = n
	}

	var who *reach.Index
	var wg sync.WaitGroup
	wg.Go(func() { who = reach.New(s) })
	each(len(controls), func() func(int) {
		var report control.Report
		return func(i int) { r.Controls[i] = one(s, controls[i], &report) }
	})
	wg.Wait()
	each(len(controls), func() func(int) {
		return func(i int) {
			res := r.Controls[i]
			for _, f := range res.Findings {
				if f.Outcome == control.Broken {
					f.Rank(res.Control, who.Of(f.Object))
				}
			}
			res.order()
		}
	})
	r.Order()
	return r
}

// each does n things on all processors; worker makes what does them on one.
func each(n int, worker func() func(i int)) {
	var wg sync.WaitGroup
	var next atomic.Int64
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			do := worker()
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	wg.Wait()
}

// order sorts a control's findings and names them. Nothing in it depends on the order
// in which the control met its subjects.
func (res *ControlResult) order() {
	slices.SortStableFunc(res.Findings, func(a, b *control.Finding) int {
		if c := cmp.Or(cmp.Compare(b.Outcome, a.Outcome), cmp.Compare(b.Severity, a.Severity), compareBool(b.Exposed(), a.Exposed())); c != 0 {
			return c
		}
		if c := a.Object.Compare(b.Object); c != 0 {
			return c // nearly always
		}
		return cmp.Or(
			strings.Compare(a.Path, b.Path),
			strings.Compare(a.Got, b.Got), strings.Compare(a.Want, b.Want), strings.Compare(a.Reason, b.Reason),
		)
	})
	seen := make(map[string]int, len(res.Findings))
	for _, f := range res.Findings {
		f.ID = control.Fingerprint(res.Control.ID, f, seen)
	}
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// Order puts the controls in the order in which a person should read them. Who changes
// findings of a result calls it again.
func (r *Result) Order() {
	ranks := make(map[*ControlResult]ranked, len(r.Controls))
	for _, res := range r.Controls {
		ranks[res] = ranked{res, res.Severity(), res.exposed()}
	}
	slices.SortStableFunc(r.Controls, func(a, b *ControlResult) int { return ranks[a].compare(ranks[b]) })
}

// SeverityOf is a finding's own severity.
func (res *ControlResult) SeverityOf(f *control.Finding) control.Severity {
	return cmp.Or(f.Severity, res.Control.Severity)
}

// Severity is that of the gravest open finding, or the control's own where none is.
func (res *ControlResult) Severity() control.Severity {
	var worst control.Severity
	for _, f := range res.Findings {
		if f.Open() {
			worst = max(worst, res.SeverityOf(f))
		}
	}
	return cmp.Or(worst, res.Control.Severity)
}

// exposed reports whether one of the gravest open findings is exposed.
func (res *ControlResult) exposed() bool {
	worst := res.Severity()
	return slices.ContainsFunc(res.Findings, func(f *control.Finding) bool {
		return f.Open() && f.Exposed() && res.SeverityOf(f) == worst
	})
}

// Conclude works out the outcome and the counts of broken subjects anew, after findings
// were waived.
func (res *ControlResult) Conclude() {
	open := map[cluster.Ref]bool{} // subjects with a fault, and whether one is not waived
	for _, f := range res.Findings {
		if f.Outcome == control.Broken {
			open[f.Object] = open[f.Object] || f.Open()
		}
	}
	waived := 0
	for _, is := range open {
		if !is {
			waived++
		}
	}
	res.Broken, res.Waived = res.Broken+res.Waived-waived, waived
	switch {
	case res.Outcome != control.Broken && res.Outcome != control.Waived || len(open) == 0:
	case waived < len(open):
		res.Outcome, res.Broken = control.Broken, max(res.Broken, 1)
	case res.Unknown > 0:
		res.Outcome, res.Broken = control.Unknown, 0
	default:
		res.Outcome, res.Broken = control.Waived, 0
	}
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

// A ranked is a control's answer with what it is ranked by.
type ranked struct {
	*ControlResult
	severity control.Severity
	exposed  bool
}

// turn is the place of an outcome.
var turn = map[control.Outcome]int{control.Broken: 0, control.Unknown: 1, control.Waived: 2, control.Holds: 3, control.NotApplicable: 4}

// compare orders what a person should read first: broken before unknown before held,
// the graver first, then what is exposed, then the one that more subjects share.
func (a ranked) compare(b ranked) int {
	return cmp.Or(
		cmp.Compare(turn[a.Outcome], turn[b.Outcome]),
		cmp.Compare(b.severity, a.severity),
		compareBool(b.exposed, a.exposed),
		cmp.Compare(b.Broken, a.Broken),
		strings.Compare(a.Control.ID, b.Control.ID),
	)
}

// one runs one control. A control that panics on a strange object answers Unknown,
// and the others are not harmed.
func one(s *cluster.Snapshot, c *control.Control, report *control.Report) (res *ControlResult) {
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

	report.Reset()
	c.Check(s, report)
	collect(res, report, blind)

	for _, g := range s.Gaps(c.Over...) {
		res.Unknown++
		res.Findings = append(res.Findings, &control.Finding{
			Outcome: control.Unknown,
			Object:  cluster.Ref{Kind: string(g.Need), Name: cmp.Or(g.Scope, "(all)")},
			Reason:  g.Reason,
		})
	}
	res.settle()
	return res
}

// settle works out the outcome from what was counted.
func (res *ControlResult) settle() {
	switch {
	case res.Broken > 0:
		res.Outcome = control.Broken
	case res.Unknown > 0:
		res.Outcome = control.Unknown
	case res.Held > 0:
		res.Outcome = control.Holds
	default:
		res.Outcome, res.Reason = control.NotApplicable, NothingToJudge
	}
}

// Judged is the answer of a control that was checked outside of Run.
func Judged(c *control.Control, report *control.Report) *ControlResult {
	res := &ControlResult{Control: c}
	collect(res, report, nil)
	res.settle()
	for _, f := range res.Findings {
		f.Rank(c, nil)
	}
	res.order()
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
		if v.Pod == nil || len(v.Pod.Running) == 0 {
			continue // it has nothing in common with a running pod
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

// Counts are the number of controls with each outcome, and of broken ones by the
// severity of their gravest finding.
type Counts struct {
	Broken   map[control.Severity]int
	Outcomes map[control.Outcome]int
	// Findings are the faults, those of them that are waived included; BySeverity are
	// those that are open.
	Findings, Waived int
	BySeverity       map[control.Severity]int
	Incomplete       bool
}

// Count sums the result up.
func (r *Result) Count() Counts {
	c := Counts{
		Broken: map[control.Severity]int{}, Outcomes: map[control.Outcome]int{}, BySeverity: map[control.Severity]int{},
		Incomplete: len(r.Gaps) > 0,
	}
	for _, res := range r.Controls {
		c.Outcomes[res.Outcome]++
		if res.Unknown > 0 || res.Outcome == control.Unknown {
			c.Incomplete = true
		}
		if res.Outcome == control.Broken {
			c.Broken[res.Severity()]++
		}
		for _, f := range res.Findings {
			switch {
			case f.Open():
				c.Findings++
				c.BySeverity[res.SeverityOf(f)]++
			case f.Outcome == control.Broken:
				c.Findings++
				c.Waived++
			}
		}
	}
	return c
}

// Worst is the gravest severity of an open fault, or 0.
func (r *Result) Worst() control.Severity {
	var worst control.Severity
	for _, res := range r.Controls {
		if res.Outcome == control.Broken {
			worst = max(worst, res.Severity())
		}
	}
	return worst
}

// Gate is the gravest severity that decides how a gate ends: what is waived does not
// count, nor what the baseline knows. It is 0 where nothing counts.
func (r *Result) Gate() control.Severity {
	var worst control.Severity
	for _, res := range r.Controls {
		for _, f := range res.Findings {
			if f.Counts() {
				worst = max(worst, res.SeverityOf(f))
			}
		}
	}
	return worst
}
