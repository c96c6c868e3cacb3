// Package gitrepo finds pods that let the node check out a repository.
package gitrepo

import (
	_ "embed"
	"fmt"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed doc.md
var doc string

// Control is pod.gitrepo.
var Control = &control.Control{
	ID:       "pod.gitrepo",
	Title:    "Node checks out a repository for the pod",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.PSS("restricted: Volume Types"), control.MITRE("T1611")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for p := range podsec.Judged(s) {
		v := r.Pod(p)
		for _, vol := range p.Spec.Volumes {
			if vol.GitRepo != nil {
				// Its address may hold a password and is not shown.
				v.Broken(fmt.Sprintf("%s.volumes[%s].gitRepo", p.Path, vol.Name), "set", "an emptyDir that an init container fills")
			}
		}
	}
}
