// Package hostnetwork finds pods that share their node's network.
package hostnetwork

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed doc.md
var doc string

// Control is pod.hostnetwork.
var Control = &control.Control{
	ID:       "pod.hostnetwork",
	Title:    "Pod shares its node's network",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.PSS("baseline: Host Namespaces"), control.CIS("5.2.5"), control.MITRE("T1611")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for p := range podsec.Judged(s) {
		v := r.Pod(p)
		if p.Spec.HostNetwork {
			path := p.Path + ".hostNetwork"
			v.Broken(path, "true", "false").Remove(path)
		}
	}
}
