// Package sharedprocesses finds pods whose containers see each other's processes.
package sharedprocesses

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed doc.md
var doc string

// Control is pod.sharedprocesses.
var Control = &control.Control{
	ID:       "pod.sharedprocesses",
	Title:    "Containers of a pod see each other's processes",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1057")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for p := range podsec.Judged(s) {
		v := r.Pod(p)
		share := p.Spec.ShareProcessNamespace
		if share == nil || !*share || len(p.Containers) < 2 {
			continue // alone there is nobody to see
		}
		path := p.Path + ".shareProcessNamespace"
		v.Broken(path, "true", "false").Because("%d containers share it", len(p.Containers)).Set(path, false)
	}
}
