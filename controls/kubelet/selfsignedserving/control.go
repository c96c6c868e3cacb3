// Package selfsignedserving finds kubelets whose certificate nobody can check.
package selfsignedserving

import (
	_ "embed"
	"path"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/controls/internal/flag"
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
	Refs: []control.Ref{
		control.CIS("4.2.9").At("serverTLSBootstrap"),
		control.CIS("4.2.11").Further(),
	},
	Doc: doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	servers := s.Components("kube-apiserver")
	verified := slices.ContainsFunc(servers, func(c *cluster.Component) bool {
		ca, _ := flag.Text(c.Flags, "kubelet-certificate-authority", "")
		return ca != ""
	})
	for _, k := range s.Kubelets() {
		v := r.On(cluster.Ref{Kind: "Kubelet", Name: k.Node}, k.Source)
		file := k.Config.TLSCertFile
		// A running kubelet reports the certificate that it made for itself as if it
		// had been told to use it (cmd/kubelet/app, InitializeTLS). An API server
		// that checks kubelets would not have read the report from such a one.
		own := path.Base(file) == "kubelet.crt" && strings.HasSuffix(k.Source.Origin, "/proxy/configz") && !verified
		switch {
		case k.Config.ServerTLSBootstrap:
		case file == "":
			v.Broken("serverTLSBootstrap", "false", "true").Because("tlsCertFile is not set either")
		case own && len(servers) == 0:
			v.Unknown("tlsCertFile", "it is "+file+", where the kubelet keeps the certificate it signs itself, or one of a CA by the same name")
		case own:
			v.Broken("tlsCertFile", file, "a certificate of a CA, or serverTLSBootstrap").
				Because("that is where the kubelet keeps the certificate it signs itself")
		}
	}
}
