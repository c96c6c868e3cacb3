// Package usesdefault finds workloads in the namespace that everybody uses.
package usesdefault

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is namespace.usesdefault.
var Control = &control.Control{
	ID:       "namespace.usesdefault",
	Title:    "Workload runs in the namespace default",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.CIS("5.6.4")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, p := range s.Pods() {
		if p.Object.Source.Unplaced {
			continue
		}
		v := r.Pod(p)
		if p.Namespace() == "default" {
			v.Broken("metadata.namespace", "default", "a namespace of its own")
		}
	}
}
