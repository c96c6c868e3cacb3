// Package privileged finds containers that have every device and capability of their node.
package privileged

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed doc.md
var doc string

// Control is pod.privileged.
var Control = &control.Control{
	ID:       "pod.privileged",
	Title:    "Container is privileged",
	Severity: control.Critical,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs: []control.Ref{
		control.CIS("5.2.2").At("privileged"),
		control.CIS("5.2.10").At("hostProcess"),
		control.PSS("baseline: Privileged Containers"),
		control.MITRE("T1611"),
	},
	Doc: doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for p := range podsec.Judged(s) {
		v := r.Pod(p)
		for _, c := range p.Containers {
			switch {
			case podsec.Privileged(c):
				f := v.Broken(c.Path+".securityContext.privileged", "true", "false")
				podsec.Mend(f, c, "securityContext.privileged", false)
			case podsec.HostProcess(p, c):
				// All containers of such a pod must be host processes, on the node's
				// network: nothing of it stays when one field changes.
				v.Broken(c.Path+".securityContext.windowsOptions.hostProcess", "true", "false")
			}
		}
	}
}
