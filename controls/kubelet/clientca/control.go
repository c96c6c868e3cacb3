// Package clientca finds kubelets that cannot check a client certificate.
package clientca

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is kubelet.clientca.
var Control = &control.Control{
	ID:       "kubelet.clientca",
	Title:    "Kubelet cannot check client certificates",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.KubeletConfig},
	Check:    check,
	Refs:     []control.Ref{control.CIS("4.2.3")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, k := range s.Kubelets() {
		v := r.On(cluster.Ref{Kind: "Kubelet", Name: k.Node}, k.Source)

		if k.Config.Authentication.X509.ClientCAFile == "" {
			v.Broken("authentication.x509.clientCAFile", "not set", "the CA of the kubelet's clients")
		}
	}
}
