// Package fixednode finds templates that name the node to run on.
package fixednode

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is workload.fixednode.
var Control = &control.Control{
	ID:       "workload.fixednode",
	Title:    "Workload goes past the scheduler",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1610")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, p := range s.Pods() {
		if p.Object.Kind == "Pod" {
			continue // the scheduler writes the name into pods
		}
		v := r.Pod(p)
		if p.Spec.NodeName != "" {
			v.Broken(p.Path+".nodeName", p.Spec.NodeName, "a nodeSelector").Because("taints and quotas of nodes do not count")
		}
	}
}
