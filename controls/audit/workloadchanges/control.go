// Package workloadchanges finds audit policies that never record who started what.
package workloadchanges

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/controls/internal/recorded"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is audit.workloadchanges.
var Control = &control.Control{
	ID:       "audit.workloadchanges",
	Title:    "New workloads leave no trace",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.AuditFile},
	Check:    check,
	Refs:     []control.Ref{control.CIS("3.2.2"), control.NSA("Audit logging"), control.MITRE("T1562.008"), control.MITRE("T1610")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	recorded.Judge(s, r, recorded.People,
		recorded.Act{Verbs: []string{"create", "delete"}, Resources: []string{"pods"}},
		recorded.Act{Verbs: []string{"patch", "update"}, Resources: []string{"pods/ephemeralcontainers"}},
		recorded.Act{Verbs: []string{"create", "update", "patch"}, Group: "apps", Resources: []string{"deployments", "daemonsets", "statefulsets"}},
		recorded.Act{Verbs: []string{"create", "update", "patch"}, Group: "batch", Resources: []string{"jobs", "cronjobs"}})
}
