// Package volumetypes finds pods that mount storage without a claim in between.
package volumetypes

import (
	_ "embed"
	"fmt"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed doc.md
var doc string

// Control is pod.volumetypes.
var Control = &control.Control{
	ID:       "pod.volumetypes",
	Title:    "Pod mounts storage that nobody granted",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.PSS("restricted: Volume Types")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for p := range podsec.Judged(s) {
		v := r.Pod(p)
		for i := range p.Spec.Volumes {
			vol := &p.Spec.Volumes[i]
			if kind := podsec.RawStorage(vol); kind != "" {
				v.Broken(fmt.Sprintf("%s.volumes[%s].%s", p.Path, vol.Name, kind), "set", "a PersistentVolumeClaim")
			}
		}
	}
}
