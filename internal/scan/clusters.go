package scan

import (
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

// A Cluster is one of several that a Result is about.
type Cluster struct {
	Name    string
	Version string // the API server's; empty where there was none
	// Objects counts what was looked at, by kind.
	Objects map[string]int
	// Fault says why it could not be read at all; empty where it was.
	Fault string
}

// As makes the result one of several: everything in it names its cluster. It is called
// once, before findings are waived.
func (r *Result) As(name string) {
	r.Cluster = name
	for i := range r.Gaps {
		r.Gaps[i].Cluster = name
	}
	for _, res := range r.Controls {
		// What a control could not tell of this cluster, it may tell of others.
		if res.Outcome == control.Unknown && len(res.Findings) == 0 {
			res.Findings = []*control.Finding{{Object: cluster.WholeCluster(name), Reason: res.Reason}}
			res.Reason = ""
		}
		for _, f := range res.Findings {
			f.Object.Cluster = name
		}
		res.order()
	}
}

// Unread is the result for a cluster that could not be read: each control is unknown.
func Unread(name string, controls []*control.Control, why string) *Result {
	gap := cluster.Gap{Need: cluster.Input, Scope: name, Reason: why}
	r := &Result{
		Target: name, Live: true, Objects: map[string]int{}, Gaps: []cluster.Gap{gap},
		Controls: make([]*ControlResult, len(controls)),
	}
	for i, c := range controls {
		r.Controls[i] = &ControlResult{Control: c, Outcome: control.Unknown, Unknown: 1, Reason: gap.String()}
	}
	return r
}

// Join makes one result of those of several clusters, each of which went through As. A
// control's answer is the gravest that it gave to one of them. The caller sets Started,
// Took and Version.
func Join(parts []*Result) *Result {
	out := &Result{Live: true, Objects: map[string]int{}}
	byID := map[string]*ControlResult{}
	var names []string
	for i, p := range parts {
		names = append(names, p.Target)
		if i == 0 {
			out.ClusterVersion = p.ClusterVersion
		} else if out.ClusterVersion != p.ClusterVersion {
			out.ClusterVersion = "" // each says its own
		}
		out.Live = out.Live && p.Live
		for kind, n := range p.Objects {
			out.Objects[kind] += n
		}
		for kind, n := range p.Foreign {
			if out.Foreign == nil {
				out.Foreign = map[string]int{}
			}
			out.Foreign[kind] += n
		}
		c := Cluster{Name: p.Cluster, Version: p.ClusterVersion, Objects: p.Objects}
		for _, g := range p.Gaps {
			if g.Need == cluster.Input && g.Scope == p.Cluster {
				c.Fault = g.Reason
			}
		}
		out.Clusters = append(out.Clusters, c)
		out.Gaps = append(out.Gaps, p.Gaps...)
		for _, res := range p.Controls {
			if all := byID[res.Control.ID]; all != nil {
				all.join(res)
				continue
			}
			byID[res.Control.ID] = res
			out.Controls = append(out.Controls, res)
		}
	}
	out.Target = strings.Join(names, ", ")
	for _, res := range out.Controls {
		res.order()
	}
	out.Order()
	return out
}

// join takes the control's answer to another cluster into this one.
func (res *ControlResult) join(other *ControlResult) {
	res.Findings = append(res.Findings, other.Findings...)
	res.Held += other.Held
	res.Broken += other.Broken
	res.Unknown += other.Unknown
	res.Waived += other.Waived
	if grave[other.Outcome] > grave[res.Outcome] {
		res.Outcome, res.Reason = other.Outcome, other.Reason
	}
}
