// Package seccompdefault finds kubelets that start containers without a seccomp profile.
package seccompdefault

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is kubelet.seccompdefault.
var Control = &control.Control{
	ID:       "kubelet.seccompdefault",
	Title:    "Kubelet gives containers no seccomp profile",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.KubeletConfig},
	Check:    check,
	Refs:     []control.Ref{control.CIS("4.2.14")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, k := range s.Kubelets() {
		v := r.On(cluster.Ref{Kind: "Kubelet", Name: k.Node}, k.Source)

		if on := k.Config.SeccompDefault; on == nil || !*on {
			got := "false"
			if on == nil {
				got = "not set, so false"
			}
			v.Broken("seccompDefault", got, "true")
		}
	}
}
