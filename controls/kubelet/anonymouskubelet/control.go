// Package anonymouskubelet finds kubelets that take requests from nobody.
package anonymouskubelet

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is kubelet.anonymouskubelet.
var Control = &control.Control{
	ID:       "kubelet.anonymouskubelet",
	Title:    "Kubelet takes anonymous requests",
	Severity: control.Critical,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.KubeletConfig},
	Check:    check,
	Refs:     []control.Ref{control.CIS("4.2.1"), control.MITRE("T1609")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, k := range s.Kubelets() {
		v := r.On(cluster.Ref{Kind: "Kubelet", Name: k.Node}, k.Source)

		if on := k.Config.Authentication.Anonymous.Enabled; on != nil && *on {
			v.Broken("authentication.anonymous.enabled", "true", "false")
		}
	}
}
