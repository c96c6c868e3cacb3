// Package isolation finds pods that no NetworkPolicy selects.
package isolation

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/controls/internal/netpol"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is network.isolation.
var Control = &control.Control{
	ID:       "network.isolation",
	Title:    "Pod can talk to everything and be talked to",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	With:     cluster.Isolation,
	Check:    check,
	Refs: []control.Ref{
		control.CIS("5.3.2").Further(),
		control.NSA("Network separation"),
		control.MITRE("T1046"),
	},
	Doc: doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	policies := netpol.New(s)
	for _, p := range s.Pods() {
		if p.Spec.HostNetwork {
			continue // no policy applies there: pod.hostnetwork says so
		}
		v := r.Pod(p)
		got, want := "", ""
		isolation := policies.Of(p)
		switch {
		case !isolation.Ingress && !isolation.Egress:
			got, want = "none", "a NetworkPolicy for ingress and one for egress"
		case !isolation.Ingress:
			got, want = "egress only", "a NetworkPolicy for ingress too"
		case !isolation.Egress:
			got, want = "ingress only", "a NetworkPolicy for egress too"
		default:
			continue
		}
		if isolation.Unsure != "" {
			v.Unknown("isolation", "whom "+isolation.Unsure+" selects could not be told")
			continue
		}
		v.Broken("isolation", got, want)
	}
}
