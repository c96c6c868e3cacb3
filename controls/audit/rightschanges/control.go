// Package rightschanges finds audit policies that never record who gave rights to whom.
package rightschanges

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/controls/internal/recorded"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is audit.rightschanges.
var Control = &control.Control{
	ID:       "audit.rightschanges",
	Title:    "Changes of rights leave no trace",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.AuditFile},
	Check:    check,
	Refs: []control.Ref{
		control.CIS("3.2.2").Further(),
		control.NSA("Audit logging"),
		control.MITRE("T1562.008"),
		control.MITRE("T1098.006"),
	},
	Doc: doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	recorded.Judge(s, r, recorded.People,
		recorded.Act{Verbs: recorded.Write, Group: "rbac.authorization.k8s.io", Resources: []string{"roles", "rolebindings", "clusterroles", "clusterrolebindings"}})
}
