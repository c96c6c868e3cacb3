// Package commands finds audit policies that never record exec, attach and port-forward.
package commands

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/controls/internal/recorded"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is audit.commands.
var Control = &control.Control{
	ID:       "audit.commands",
	Title:    "Commands in pods leave no trace",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.AuditFile},
	Check:    check,
	Refs:     []control.Ref{control.CIS("3.2.2"), control.NSA("Audit logging"), control.MITRE("T1562.008"), control.MITRE("T1609")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	// A request over WebSockets is a GET (k8s.io/apiserver/pkg/endpoints/request), one over
	// SPDY a POST.
	recorded.Judge(s, r, recorded.People, recorded.Act{
		Verbs: []string{"create", "get"}, Long: true,
		Resources: []string{"pods/exec", "pods/attach", "pods/portforward"},
	})
}
