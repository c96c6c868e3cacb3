// Package hostpid finds pods that share their node's processes.
package hostpid

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed doc.md
var doc string

// Control is pod.hostpid.
var Control = &control.Control{
	ID:       "pod.hostpid",
	Title:    "Pod shares its node's processes",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.PSS("baseline: Host Namespaces"), control.CIS("5.2.3"), control.MITRE("T1611")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for p := range podsec.Judged(s) {
		v := r.Pod(p)
		if p.Spec.HostPID {
			path := p.Path + ".hostPID"
			v.Broken(path, "true", "false").Remove(path)
		}
	}
}
