// Package hostipc finds pods that share their node's interprocess memory.
package hostipc

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed doc.md
var doc string

// Control is pod.hostipc.
var Control = &control.Control{
	ID:       "pod.hostipc",
	Title:    "Pod shares its node's memory segments",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.PSS("baseline: Host Namespaces"), control.CIS("5.2.4")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for p := range podsec.Judged(s) {
		v := r.Pod(p)
		if p.Spec.HostIPC {
			path := p.Path + ".hostIPC"
			v.Broken(path, "true", "false").Remove(path)
		}
	}
}
