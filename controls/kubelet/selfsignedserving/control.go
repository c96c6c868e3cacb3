// Package selfsignedserving finds kubelets whose certificate nobody can check.
package selfsignedserving

import (
	_ "embed"
	"path"
	"strings"

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

		file := k.Config.TLSCertFile
		switch {
		case k.Config.ServerTLSBootstrap:
		case file == "":
			v.Broken("serverTLSBootstrap", "false", "true").Because("tlsCertFile is not set either")
		case path.Base(file) == "kubelet.crt" && strings.HasSuffix(k.Source.Origin, "/configz"):
			// The kubelet reports the certificate that it made for itself as if it
			// had been told to use it (cmd/kubelet/app, InitializeTLS).
			v.Broken("tlsCertFile", file, "a certificate of a CA, or serverTLSBootstrap").
				Because("that is where the kubelet keeps the certificate it signs itself")
		}
	}
}
