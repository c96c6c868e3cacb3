// Package undigested finds images that are named by a version only.
package undigested

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed doc.md
var doc string

// Control is image.undigested.
var Control = &control.Control{
	ID:       "image.undigested",
	Title:    "Image is named by a tag that can be moved",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1525")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for p := range podsec.Judged(s) {
		v := r.Pod(p)
		for _, c := range p.Containers {
			if versioned(c.Image) {
				v.Broken(c.Path+".image", c.Image, "the same with its digest")
			}
		}
		for _, vol := range p.Spec.Volumes {
			if vol.Image != nil && versioned(vol.Image.Reference) {
				v.Broken(fmt.Sprintf("%s.volumes[%s].image.reference", p.Path, vol.Name), vol.Image.Reference, "the same with its digest")
			}
		}
	}
}

// versioned reports whether a reference has a version and no digest. Without a version,
// or with latest, it is image.latest's to report.
func versioned(ref string) bool {
	if strings.Contains(ref, "@") {
		return false
	}
	_, tag, _ := strings.Cut(ref[strings.LastIndexByte(ref, '/')+1:], ":")
	return tag != "" && tag != "latest"
}
