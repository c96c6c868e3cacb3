// Package latest finds images that are whatever somebody pushed last.
package latest

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

// Control is image.latest.
var Control = &control.Control{
	ID:       "image.latest",
	Title:    "Image has no fixed version",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1525"), control.MITRE("T1195.002")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for p := range podsec.Judged(s) {
		v := r.Pod(p)
		for _, c := range p.Containers {
			if c.Image != "" && moves(c.Image) {
				v.Broken(c.Path+".image", c.Image, "a version or a digest")
			}
		}
		for _, vol := range p.Spec.Volumes {
			if vol.Image != nil && vol.Image.Reference != "" && moves(vol.Image.Reference) {
				v.Broken(fmt.Sprintf("%s.volumes[%s].image.reference", p.Path, vol.Name), vol.Image.Reference, "a version or a digest")
			}
		}
	}
}

// moves reports whether a reference has no digest and either no tag or the tag latest,
// which is what a runtime assumes without one. A colon before the last slash belongs
// to the registry's port.
func moves(ref string) bool {
	if strings.Contains(ref, "@") {
		return false
	}
	_, tag, _ := strings.Cut(ref[strings.LastIndexByte(ref, '/')+1:], ":")
	return tag == "" || tag == "latest"
}
