// Package isolation finds pods that no NetworkPolicy selects.
package isolation

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/network"
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
	policies := network.Compile(s, network.Options{Profile: network.Generic()})
	for _, p := range s.Pods() {
		if p.Spec.HostNetwork {
			continue // no policy applies there: pod.hostnetwork says so
		}
		v := r.Pod(p)
		got, want := "", ""
		is := policies.Isolation(p)
		switch {
		case is.Ingress == network.Yes && is.Egress == network.Yes:
			continue
		case is.Ingress == network.Maybe || is.Egress == network.Maybe:
			v.Unknown("isolation", is.Doubt)
			continue
		case is.Ingress == network.Yes:
			got, want = "ingress only", "a NetworkPolicy for egress too"
		case is.Egress == network.Yes:
			got, want = "egress only", "a NetworkPolicy for ingress too"
		default:
			got, want = "none", "a NetworkPolicy for ingress and one for egress"
		}
		v.Broken("isolation", got, want)
	}
}
