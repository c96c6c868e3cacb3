// Package secretvalues finds audit policies that write secrets into the log.
package secretvalues

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"

	"github.com/bulwark-k8s/bulwark/controls/internal/recorded"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is audit.secretvalues.
var Control = &control.Control{
	ID:       "audit.secretvalues",
	Title:    "Audit log holds the values of secrets",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.AuditFile},
	Check:    check,
	Refs: []control.Ref{
		control.CIS("3.2.2"),
		control.NSA("Audit logging"),
		control.MITRE("T1552.001"),
	},
	Doc: doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	acts := []recorded.Act{
		{Verbs: []string{"create", "update", "patch", "get", "list"}, Resources: []string{"secrets"}},
		{Verbs: []string{"create"}, Resources: []string{"serviceaccounts/token"}},
		{Verbs: []string{"create"}, Group: "authentication.k8s.io", Resources: []string{"tokenreviews"}},
	}
	for _, c := range s.Configs(cluster.AuditFile) {
		v := r.On(c.Ref, c.Source)
		levels := recorded.Levels(c.Audit, recorded.People, acts...)
		for _, rule := range slices.Sorted(maps.Keys(levels)) {
			v.Broken(fmt.Sprintf("rules[%d].level", rule), levels[rule], "Metadata for secrets and tokens").
				Because("the first rule that matches; it writes what they say")
		}
	}
}
