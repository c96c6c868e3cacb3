// Package procmount finds containers that see all of the kernel's /proc.
package procmount

import (
	_ "embed"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed doc.md
var doc string

// Control is pod.procmount.
var Control = &control.Control{
	ID:       "pod.procmount",
	Title:    "Container sees /proc without its mask",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.PSS("baseline: /proc Mount Type"), control.MITRE("T1611")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for p := range podsec.Judged(s) {
		if podsec.Windows(p) || podsec.OwnUsers(p) {
			// With a user namespace the kernel itself refuses what the mask hides.
			continue
		}
		v := r.Pod(p)
		for _, c := range p.Containers {
			if got := podsec.ProcMount(c); got != corev1.DefaultProcMount {
				f := v.Broken(c.Path+".securityContext.procMount", string(got), "Default")
				podsec.Mend(f, c, "securityContext.procMount", string(corev1.DefaultProcMount))
			}
		}
	}
}
