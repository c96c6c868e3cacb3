package scan

import (
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/standard"
)

// A StandardResult is a Result seen item by item of a standard.
type StandardResult struct {
	ID, Title string
	Items     []*ItemResult
	// Fails is set where a finding that breaks an item counts at a gate.
	Fails bool
}

// An ItemResult is the answer to one item of a standard.
type ItemResult struct {
	standard.Item
	// Covered is false where no control answers the item. Such a one is neither held
	// nor unknown: Item.Reason says why.
	Covered bool
	Outcome control.Outcome
	// Controls are the IDs of those that answer it.
	Controls []string
	// Broken are those of them that break it.
	Broken []string
	// Faults counts the open findings that break it.
	Faults int
	// Reason says why it is Unknown or NotApplicable.
	Reason string
}

// A Coverage counts the items of a standard.
type Coverage struct{ Broken, Unknown, Waived, Holds, NotApplicable, NotCovered int }

// Count sums the items up.
func (s *StandardResult) Count() Coverage {
	var c Coverage
	for _, item := range s.Items {
		switch {
		case !item.Covered:
			c.NotCovered++
		case item.Outcome == control.Broken:
			c.Broken++
		case item.Outcome == control.Unknown:
			c.Unknown++
		case item.Outcome == control.Waived:
			c.Waived++
		case item.Outcome == control.NotApplicable:
			c.NotApplicable++
		default:
			c.Holds++
		}
	}
	return c
}

// Under sets Standard from what the plan's controls found, which this is the result of.
func (r *Result) Under(plan *standard.Plan) {
	byID := map[string]*ControlResult{}
	for _, res := range r.Controls {
		byID[res.Control.ID] = res
	}
	r.Standard = &StandardResult{ID: plan.Standard.ID, Title: plan.Standard.Title}
	for i, item := range plan.Standard.Items {
		out := &ItemResult{Item: item, Outcome: control.NotApplicable}
		for _, part := range plan.Parts[i] {
			out.Covered = true
			if out.add(byID[part.Control], part) {
				r.Standard.Fails = true
			}
		}
		if !out.Covered {
			out.Outcome, out.Reason = control.Unknown, item.Reason()
		}
		r.Standard.Items = append(r.Standard.Items, out)
	}
}

// grave orders outcomes of an item's controls: the item's is the gravest.
var grave = map[control.Outcome]int{control.NotApplicable: 0, control.Holds: 1, control.Waived: 2, control.Unknown: 3, control.Broken: 4}

// add takes one control's answer into the item's, and reports whether it counts at a gate.
func (i *ItemResult) add(res *ControlResult, part *standard.Part) (fails bool) {
	outcome, reason := res.Outcome, res.Reason
	waived, faults, unknown := false, 0, len(res.Findings) == 0 && outcome == control.Unknown
	for _, f := range res.Findings {
		switch {
		case !part.Takes(f):
		case f.Open():
			faults++
			fails = fails || f.Counts()
		case f.Outcome == control.Broken:
			waived = true
		default:
			unknown, reason = true, f.Evidence()
		}
	}
	switch {
	case faults > 0:
		outcome = control.Broken
		i.Broken = append(i.Broken, part.Control)
	case unknown:
		outcome = control.Unknown
	case waived:
		outcome = control.Waived
	case part.Judged > 0:
		outcome = control.Holds
	default:
		outcome = control.NotApplicable
		if reason == "" {
			reason = NothingToJudge
		}
	}
	i.Controls = append(i.Controls, part.Control)
	i.Faults += faults
	if len(i.Controls) == 1 || grave[outcome] > grave[i.Outcome] {
		i.Outcome, i.Reason = outcome, ""
		if outcome == control.Unknown || outcome == control.NotApplicable {
			i.Reason = reason
		}
	}
	return fails
}
