// Package alwaysallow finds kubelets that let everybody do everything.
package alwaysallow

import (
	_ "embed"

	kubeletv1beta1 "k8s.io/kubelet/config/v1beta1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is kubelet.alwaysallow.
var Control = &control.Control{
	ID:       "kubelet.alwaysallow",
	Title:    "Kubelet allows everything to everybody",
	Severity: control.Critical,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.KubeletConfig},
	Check:    check,
	Refs:     []control.Ref{control.CIS("4.2.2"), control.MITRE("T1609")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, k := range s.Kubelets() {
		v := r.On(cluster.Ref{Kind: "Kubelet", Name: k.Node}, k.Source)

		if mode := k.Config.Authorization.Mode; mode == kubeletv1beta1.KubeletAuthorizationModeAlwaysAllow {
			v.Broken("authorization.mode", string(mode), "Webhook")
		}
	}
}
