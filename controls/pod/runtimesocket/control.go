// Package runtimesocket finds containers that can give orders to their node's container runtime.
package runtimesocket

import (
	_ "embed"
	"fmt"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed doc.md
var doc string

// Control is pod.runtimesocket.
var Control = &control.Control{
	ID:       "pod.runtimesocket",
	Title:    "Container can command the node's runtime",
	Severity: control.Critical,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.PSS("baseline: HostPath Volumes"), control.MITRE("T1610"), control.MITRE("T1611")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for p := range podsec.Judged(s) {
		v := r.Pod(p)
		for _, m := range podsec.HostMounts(p) {
			socket := podsec.RuntimeSocket(m)
			if socket == "" {
				continue
			}
			f := v.Broken(fmt.Sprintf("%s.volumeMounts[%s]", m.Container.Path, m.Volume.Name), m.Path, "no path to the runtime's socket")
			if m.Path != socket {
				f.Because("it contains %s", socket)
			}
		}
	}
}
