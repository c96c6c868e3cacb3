// Package kubeletverify finds API servers that do not check whom they talk to on a node.
package kubeletverify

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/controls/internal/flag"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is apiserver.kubeletverify.
var Control = &control.Control{
	ID:       "apiserver.kubeletverify",
	Title:    "API server does not verify kubelets",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.APIServerFlags},
	Check:    check,
	Refs:     []control.Ref{control.CIS("1.2.5"), control.MITRE("T1557")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, c := range s.Components("kube-apiserver") {
		v := r.On(c.Ref, c.Source)

		if ca, got := flag.Text(c.Flags, "kubelet-certificate-authority", ""); ca == "" {
			v.Broken("--kubelet-certificate-authority", got, "the CA of the kubelets' serving certificates")
		}
	}
}
