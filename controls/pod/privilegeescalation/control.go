// Package privilegeescalation finds containers whose processes may gain rights.
package privilegeescalation

import (
	_ "embed"
	"slices"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed doc.md
var doc string

// Control is pod.privilegeescalation.
var Control = &control.Control{
	ID:       "pod.privilegeescalation",
	Title:    "Process may gain more rights than its parent",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs: []control.Ref{
		control.CIS("5.2.6").When(func(f *control.Finding) bool { return f.Got == "true" }),
		control.PSS("restricted: Privilege Escalation"),
		control.MITRE("T1548.001"),
	},
	Doc: doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for p := range podsec.Judged(s) {
		if podsec.Windows(p) {
			continue // the field does not exist there
		}
		v := r.Pod(p)
		for _, c := range p.Containers {
			if !podsec.EscalationAllowed(c) {
				continue
			}
			got := "not set, so true"
			if c.SecurityContext != nil && c.SecurityContext.AllowPrivilegeEscalation != nil {
				got = "true"
			}
			f := v.Broken(c.Path+".securityContext.allowPrivilegeEscalation", got, "false")
			// The API server refuses false together with either of these.
			switch {
			case podsec.Privileged(c):
				f.Because("the container is privileged, which comes first")
			case slices.Contains(podsec.Added(c), "SYS_ADMIN"):
				f.Because("the container adds SYS_ADMIN, which comes first")
			default:
				podsec.Mend(f, c, "securityContext.allowPrivilegeEscalation", false)
			}
		}
	}
}
