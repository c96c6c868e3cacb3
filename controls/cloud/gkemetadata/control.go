// Package gkemetadata finds GKE nodes whose metadata server is not the one that conceals it.
package gkemetadata

import (
	"cmp"
	_ "embed"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/controls/internal/cloud"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is cloud.gkemetadata.
var Control = &control.Control{
	ID:       "cloud.gkemetadata",
	Title:    "Pods get their node's credential from Google's metadata",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.Nodes},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1552.005")},
	Doc:      doc,
}

const label = "iam.gke.io/gke-metadata-server-enabled"

func check(s *cluster.Snapshot, r *control.Report) {
	for o, node := range cluster.All[*corev1.Node](s, "Node") {
		if _, gke := o.Meta.Labels["cloud.google.com/gke-nodepool"]; !gke || cloud.Provider(node) != "gce" {
			continue
		}
		v := r.Object(o)
		if got := o.Meta.Labels[label]; got != "true" {
			v.Broken("metadata.labels["+label+"]", cmp.Or(got, "not set"), "true").Because("any pod asks the node's metadata for its service account's token")
		}
	}
}
