// Package tiller finds the server part of Helm 2.
package tiller

import (
	_ "embed"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed doc.md
var doc string

// Control is workload.tiller.
var Control = &control.Control{
	ID:       "workload.tiller",
	Title:    "Tiller is running",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1609")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for p := range podsec.Judged(s) {
		v := r.Pod(p)
		for _, c := range p.Containers {
			name, _, _ := strings.Cut(c.Image[strings.LastIndexByte(c.Image, '/')+1:], "@")
			if name, _, _ = strings.Cut(name, ":"); name == "tiller" {
				v.Broken(c.Path+".image", c.Image, "Helm 3 or later, which has no server")
			}
		}
	}
}
