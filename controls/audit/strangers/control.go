// Package strangers finds audit policies that never record what anonymous users try.
package strangers

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/controls/internal/recorded"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is audit.strangers.
var Control = &control.Control{
	ID:       "audit.strangers",
	Title:    "Requests without a login leave no trace",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.AuditFile},
	Check:    check,
	Refs: []control.Ref{
		control.CIS("3.2.2").Further(),
		control.NSA("Audit logging"),
		control.MITRE("T1562.008"),
	},
	Doc: doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	recorded.Judge(s, r, recorded.Anonymous,
		recorded.Act{Verbs: []string{"get", "list"}, Resources: []string{"secrets", "pods"}},
		recorded.Act{Verbs: []string{"create"}, Resources: []string{"pods"}})
}
