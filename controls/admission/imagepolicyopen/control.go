// Package imagepolicyopen finds image policy webhooks that allow what they cannot judge.
package imagepolicyopen

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is admission.imagepolicyopen.
var Control = &control.Control{
	ID:       "admission.imagepolicyopen",
	Title:    "Image check lets everything in when it fails",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.AdmissionFile},
	Check:    check,
	Refs: []control.Ref{
		control.CIS("5.5.1").Further(),
		control.MITRE("T1562.001"),
	},
	Doc: doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, c := range s.Configs(cluster.AdmissionFile) {
		v := r.On(c.Ref, c.Source)
		for _, p := range c.Admission.Plugins {
			switch {
			case p.Name != "ImagePolicyWebhook":
			case p.ImagePolicy == nil:
				v.Unknown("plugins[ImagePolicyWebhook]", "its configuration stands in "+p.Path+", which was not read")
			case p.ImagePolicy.DefaultAllow:
				v.Broken("plugins[ImagePolicyWebhook].imagePolicy.defaultAllow", "true", "false")
			}
		}
	}
}
