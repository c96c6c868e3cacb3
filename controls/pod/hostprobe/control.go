// Package hostprobe finds containers whose probes and hooks make the node call other hosts.
package hostprobe

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed doc.md
var doc string

// Control is pod.hostprobe.
var Control = &control.Control{
	ID:       "pod.hostprobe",
	Title:    "Probe makes the node call another host",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.PSS("baseline: Host Probes / Lifecycle Hooks"), control.MITRE("T1046")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for p := range podsec.Judged(s) {
		v := r.Pod(p)
		for _, c := range p.Containers {
			for _, h := range podsec.HostCalls(c) {
				f := v.Broken(h.Path, h.Host, "not set, so the pod itself")
				if c.Kind != cluster.Ephemeral {
					f.Remove(h.Path)
				}
			}
		}
	}
}
