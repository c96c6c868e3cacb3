// Package systempriority finds workloads outside the system with the system's priority.
package systempriority

import (
	_ "embed"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is workload.systempriority.
var Control = &control.Control{
	ID:       "workload.systempriority",
	Title:    "Workload pushes others off their nodes",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1499")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, p := range s.Pods() {
		if strings.HasPrefix(p.Namespace(), "kube-") || p.Static() {
			continue
		}
		v := r.Pod(p)
		if name := p.Spec.PriorityClassName; name == "system-node-critical" || name == "system-cluster-critical" {
			v.Broken(p.Path+".priorityClassName", name, "a class of its own").Because("it goes before every other workload, DNS among them")
		}
	}
}
