// Package frozenregistry finds images from registries that get no fixes any more.
package frozenregistry

import (
	_ "embed"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed doc.md
var doc string

// Control is image.frozenregistry.
var Control = &control.Control{
	ID:       "image.frozenregistry",
	Title:    "Image comes from a registry that gets no fixes",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1195.002")},
	Doc:      doc,
}

// A registry that its owners closed: what lies there is never mended again.
type registry struct{ prefix, since string }

var frozen = []registry{
	{"k8s.gcr.io/", "it was frozen in April 2023; registry.k8s.io took its place"},
	{"gcr.io/google-containers/", "it was frozen in 2023; registry.k8s.io took its place"},
	{"gcr.io/google_containers/", "it was frozen in 2023; registry.k8s.io took its place"},
	{"gcr.io/kubernetes-helm/", "it holds Helm 2, which ended in 2020"},
	{"quay.io/kubernetes-ingress-controller/", "it was left in 2020"},
	{"bitnamilegacy/", "it is an archive since August 2025"},
}

func check(s *cluster.Snapshot, r *control.Report) {
	for p := range podsec.Judged(s) {
		v := r.Pod(p)
		for _, c := range p.Containers {
			image := strings.TrimPrefix(strings.TrimPrefix(c.Image, "index."), "docker.io/")
			for _, f := range frozen {
				if strings.HasPrefix(image, f.prefix) {
					v.Broken(c.Path+".image", c.Image, "an image that is kept").Because("%s", f.since)
				}
			}
		}
	}
}
