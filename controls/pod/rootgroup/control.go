// Package rootgroup finds pods whose processes are in the group root.
package rootgroup

import (
	_ "embed"
	"slices"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed doc.md
var doc string

// Control is pod.rootgroup.
var Control = &control.Control{
	ID:       "pod.rootgroup",
	Title:    "Process is in the group root",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1611")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for p := range podsec.Judged(s) {
		if podsec.Windows(p) || podsec.OwnUsers(p) {
			continue // there is no such group, or it is not the node's
		}
		v := r.Pod(p)
		if sc := p.Spec.SecurityContext; sc != nil {
			path := p.Path + ".securityContext."
			if root(sc.RunAsGroup) {
				v.Broken(path+"runAsGroup", "0", "a group of its own")
			}
			if root(sc.FSGroup) {
				v.Broken(path+"fsGroup", "0", "a group of its own")
			}
			if slices.Contains(sc.SupplementalGroups, 0) {
				v.Broken(path+"supplementalGroups", "0 among others", "no 0")
			}
		}
		for _, c := range p.Containers {
			if c.SecurityContext != nil && root(c.SecurityContext.RunAsGroup) {
				v.Broken(c.Path+".securityContext.runAsGroup", "0", "a group of its own")
			}
		}
	}
}

func root(id *int64) bool { return id != nil && *id == 0 }
