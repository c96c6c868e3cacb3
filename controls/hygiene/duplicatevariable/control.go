// Package duplicatevariable finds containers that set a variable twice.
package duplicatevariable

import (
	_ "embed"
	"fmt"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is hygiene.duplicatevariable.
var Control = &control.Control{
	ID:       "hygiene.duplicatevariable",
	Title:    "Variable is set twice",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, p := range s.Pods() {
		v := r.Pod(p)
		for _, c := range p.Containers {
			seen := map[string]bool{}
			for _, e := range c.Env {
				if seen[e.Name] {
					v.Broken(fmt.Sprintf("%s.env[%s]", c.Path, e.Name), "there twice", "there once").Because("the last one counts")
				}
				seen[e.Name] = true
			}
		}
	}
}
