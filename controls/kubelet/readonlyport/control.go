// Package readonlyport finds kubelets that tell everybody what they run.
package readonlyport

import (
	_ "embed"
	"strconv"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is kubelet.readonlyport.
var Control = &control.Control{
	ID:       "kubelet.readonlyport",
	Title:    "Kubelet serves its read-only port",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.KubeletConfig},
	Check:    check,
	Refs:     []control.Ref{control.CIS("4.2.4"), control.MITRE("T1613")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, k := range s.Kubelets() {
		v := r.On(cluster.Ref{Kind: "Kubelet", Name: k.Node}, k.Source)

		if port := k.Config.ReadOnlyPort; port != 0 {
			v.Broken("readOnlyPort", strconv.Itoa(int(port)), "0")
		}
	}
}
