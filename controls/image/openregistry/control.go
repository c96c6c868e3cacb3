// Package openregistry finds images from registries that take pushes from everybody.
package openregistry

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is image.openregistry.
var Control = &control.Control{
	ID:       "image.openregistry",
	Title:    "Image comes from where anybody may push it",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1525"), control.MITRE("T1195.002")},
	Doc:      doc,
}

// open are registries without accounts, and tunnels to somebody's machine.
var open = []string{"ttl.sh", "ngrok.io", "ngrok-free.app", "ngrok.app", "trycloudflare.com", "loca.lt", "serveo.net"}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, p := range s.Pods() {
		v := r.Pod(p)
		for _, c := range p.Containers {
			judge(v, c.Path+".image", c.Image)
		}
		for _, vol := range p.Spec.Volumes {
			if vol.Image != nil {
				judge(v, fmt.Sprintf("%s.volumes[%s].image.reference", p.Path, vol.Name), vol.Image.Reference)
			}
		}
	}
}

func judge(v *control.Verdict, path, image string) {
	registry, _, ok := strings.Cut(image, "/")
	if !ok || strings.Contains(image, "@sha256:") {
		return // a digest cannot be pushed over
	}
	registry, _, _ = strings.Cut(registry, ":")
	for _, o := range open {
		if registry == o || strings.HasSuffix(registry, "."+o) {
			v.Broken(path, registry, "a registry where one must log in to push")
		}
	}
}
