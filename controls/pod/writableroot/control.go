// Package writableroot finds containers that can change the files they were made from.
package writableroot

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed doc.md
var doc string

// Control is pod.writableroot.
var Control = &control.Control{
	ID:       "pod.writableroot",
	Title:    "Container can change its own files",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.NSA("Immutable container file systems"), control.MITRE("T1105")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for p := range podsec.Judged(s) {
		if podsec.Windows(p) {
			continue // Windows writes to its system files while it runs
		}
		v := r.Pod(p)
		for _, c := range p.Containers {
			sc := c.SecurityContext
			path := c.Path + ".securityContext.readOnlyRootFilesystem"
			switch {
			case sc == nil || sc.ReadOnlyRootFilesystem == nil:
				v.Broken(path, "not set, so false", "true")
			case !*sc.ReadOnlyRootFilesystem:
				v.Broken(path, "false", "true")
			}
		}
	}
}
