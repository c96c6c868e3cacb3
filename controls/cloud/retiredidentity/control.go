// Package retiredidentity finds retired agents that hand the cloud's roles to pods.
package retiredidentity

import (
	_ "embed"
	"maps"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is cloud.retiredidentity.
var Control = &control.Control{
	ID:       "cloud.retiredidentity",
	Title:    "Pods get their role from an agent that gets no fixes",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1552.005")},
	Doc:      doc,
}

// retired are the images of agents whose projects ended.
var retired = map[string]string{
	"kiam":                            "IAM roles for service accounts or Pod Identity",
	"kube2iam":                        "IAM roles for service accounts or Pod Identity",
	"aad-pod-identity/nmi":            "Azure workload identity",
	"aad-pod-identity/mic":            "Azure workload identity",
	"gke-metadata-proxy":              "Workload Identity Federation",
	"k8s-metadata-proxy":              "Workload Identity Federation",
	"prometheus-to-sd-metadata-proxy": "Workload Identity Federation",
}

func check(s *cluster.Snapshot, r *control.Report) {
	names := slices.Sorted(maps.Keys(retired))
	for _, p := range s.Pods() {
		v := r.Pod(p)
		for _, c := range p.Containers {
			image, _, _ := strings.Cut(c.Image, "@")
			if i := strings.LastIndexByte(image, ':'); i > strings.LastIndexByte(image, '/') {
				image = image[:i]
			}
			for _, name := range names {
				if image == name || strings.HasSuffix(image, "/"+name) {
					v.Broken(c.Path+".image", name, retired[name])
				}
			}
		}
	}
}
