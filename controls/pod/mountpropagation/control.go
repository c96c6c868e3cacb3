// Package mountpropagation finds containers whose mounts appear on their node.
package mountpropagation

import (
	_ "embed"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is pod.mountpropagation.
var Control = &control.Control{
	ID:       "pod.mountpropagation",
	Title:    "Container changes its node's mounts",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1611")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, p := range s.Pods() {
		v := r.Pod(p)
		for _, c := range p.Containers {
			for _, m := range c.VolumeMounts {
				if m.MountPropagation != nil && *m.MountPropagation == corev1.MountPropagationBidirectional {
					path := fmt.Sprintf("%s.volumeMounts[%s].mountPropagation", c.Path, m.Name)
					v.Broken(path, string(*m.MountPropagation), "None or HostToContainer")
				}
			}
		}
	}
}
