package report

import (
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/scan"
)

// shown reports whether a finding belongs among the faults to mend: what is waived has
// a part of its own, and what a baseline knows is shown only where all is asked for.
func shown(f *control.Finding, o Options) bool {
	return f.Counts() || o.All && f.Open()
}

// A waived is what one waiver lets stand of one control.
type waived struct {
	control  string
	waiver   *control.Waiver
	findings int
}

// waivers are what is waived, in the order of the controls.
func waivers(r *scan.Result) []*waived {
	type key struct {
		control string
		waiver  control.Waiver
	}
	var out []*waived
	byKey := map[key]*waived{}
	for _, res := range r.Controls {
		for _, f := range res.Findings {
			if f.Waiver == nil {
				continue
			}
			k := key{res.Control.ID, *f.Waiver}
			w := byKey[k]
			if w == nil {
				w = &waived{control: res.Control.ID, waiver: f.Waiver}
				byKey[k] = w
				out = append(out, w)
			}
			w.findings++
		}
	}
	return out
}
