package expect

import (
	"fmt"

	"github.com/bulwark-k8s/bulwark/internal/network"
	"github.com/bulwark-k8s/bulwark/internal/segment"
)

// An Outcome is how a test went. Unknown is the zero value: what could not be asked has
// not passed.
type Outcome uint8

// The outcomes.
const (
	Unknown Outcome = iota
	Failed
	Passed
)

func (o Outcome) String() string { return [...]string{"unknown", "failed", "passed"}[o] }

// A Result is a test and how it went.
type Result struct {
	Test    *Test
	Outcome Outcome
	// Pairs were asked about.
	Pairs int
	// Reason says why a test could not be asked.
	Reason string
	// Against are the pairs that failed or are unknown, the first few; More are the others.
	Against []Against
	More    int
}

// Against is one pair that is not as it is wanted.
type Against struct {
	From, To string
	Ports    network.PortSet
	Verdict  network.Verdict
	Answer   network.Answer // for one of the ports
}

// maxAgainst is how many pairs of a test are kept.
const maxAgainst = 10

// Run asks a test.
func (t *Test) Run(v *segment.View) Result {
	r := Result{Test: t, Outcome: Passed}
	if t.Wrong != nil {
		r.Outcome, r.Reason = Unknown, t.Wrong.Error()
		return r
	}
	from, err := resolve(v, t.From, t.NotFrom)
	if err == nil && len(from) == 0 {
		err = fmt.Errorf("from: nobody is there")
	}
	if err != nil {
		r.Outcome, r.Reason = Unknown, err.Error()
		return r
	}
	to, err := resolve(v, t.To, t.NotTo)
	if err == nil && len(to) == 0 {
		err = fmt.Errorf("to: nobody is there")
	}
	if err != nil {
		r.Outcome, r.Reason = Unknown, err.Error()
		return r
	}
	for _, a := range from {
		for _, b := range to {
			if a.Label != b.Label || !v.Alone(a) {
				r.pair(v, a, b)
			}
		}
	}
	if r.Pairs == 0 {
		r.Outcome, r.Reason = Unknown, "there is no pair to ask about"
	}
	return r
}

// pair asks one pair. What is to be allowed is to be so for everybody of the one and
// everybody of the other; what is to be denied, for nobody.
func (r *Result) pair(v *segment.View, from, to segment.Place) {
	t := r.Test
	r.Pairs++
	good, bad := v.Judge(from, to, t.Ports, t.Want)
	unknown := t.Ports.Minus(good).Minus(bad)
	switch {
	case !bad.Empty():
		r.Outcome = Failed
	case !unknown.Empty() && r.Outcome == Passed:
		r.Outcome = Unknown
	}
	put := func(ports network.PortSet, verdict network.Verdict) {
		if ports.Empty() {
			return
		}
		if len(r.Against) == maxAgainst {
			r.More++
			return
		}
		r.Against = append(r.Against, Against{from.Label, to.Label, ports, verdict, v.Example(from, to, ports, verdict)})
	}
	put(bad, map[network.Verdict]network.Verdict{network.Allowed: network.Denied, network.Denied: network.Allowed}[t.Want])
	put(unknown, network.Unknown)
}

// resolve finds all places that some names stand for, without those of others.
func resolve(v *segment.View, names, not []segment.Name) ([]segment.Place, error) {
	without := map[string]bool{}
	for _, n := range not {
		all, err := v.Resolve(n)
		if err != nil {
			return nil, err
		}
		for _, p := range all {
			without[p.Label] = true
		}
	}
	var out []segment.Place
	for _, n := range names {
		all, err := v.Resolve(n)
		if err != nil {
			return nil, err
		}
		for _, p := range all {
			if !without[p.Label] {
				without[p.Label] = true // once is enough
				out = append(out, p)
			}
		}
	}
	return out, nil
}
