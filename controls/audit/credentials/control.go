// Package credentials finds audit policies that never record who asked for a token or a certificate.
package credentials

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/controls/internal/recorded"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is audit.credentials.
var Control = &control.Control{
	ID:       "audit.credentials",
	Title:    "New credentials leave no trace",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.AuditFile},
	Check:    check,
	Refs: []control.Ref{
		control.CIS("3.2.2").Further(),
		control.NSA("Audit logging"),
		control.MITRE("T1562.008"),
		control.MITRE("T1528"),
	},
	Doc: doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	recorded.Judge(s, r, recorded.People,
		recorded.Act{Verbs: []string{"create"}, Resources: []string{"serviceaccounts/token"}},
		recorded.Act{Verbs: []string{"create"}, Group: "certificates.k8s.io", Resources: []string{"certificatesigningrequests"}},
		recorded.Act{Verbs: []string{"update", "patch"}, Group: "certificates.k8s.io", Resources: []string{"certificatesigningrequests/approval"}})
}
