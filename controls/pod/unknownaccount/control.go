// Package unknownaccount finds workloads whose service account does not exist.
package unknownaccount

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed doc.md
var doc string

// Control is pod.unknownaccount.
var Control = &control.Control{
	ID:       "pod.unknownaccount",
	Title:    "Workload waits for an account that does not exist",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	With:     []cluster.Need{cluster.ServiceAccounts},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1078.004")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	if !s.Live {
		return // files are a part of a cluster; the account may be elsewhere
	}
	for _, p := range s.Pods() {
		v := r.Pod(p)
		if podsec.AccountOf(s, p) == nil && !p.Static() {
			v.Broken(p.Path+".serviceAccountName", p.ServiceAccount()+", which does not exist", "an account that exists")
		}
	}
}
