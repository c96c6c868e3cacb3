// Package selfsignedserving finds kubelets whose certificate nobody can check.
package selfsignedserving

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is kubelet.selfsignedserving.
var Control = &control.Control{
	ID:       "kubelet.selfsignedserving",
	Title:    "Kubelet signs its own serving certificate",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.KubeletConfig},
	Check:    check,
	Refs:     []control.Ref{control.CIS("4.2.9"), control.CIS("4.2.11")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, k := range s.Kubelets() {
		v := r.On(cluster.Ref{Kind: "Kubelet", Name: k.Node}, k.Source)

		if k.Config.TLSCertFile == "" && !k.Config.ServerTLSBootstrap {
			v.Broken("serverTLSBootstrap", "false", "true").Because("tlsCertFile is not set either")
		}
	}
}
