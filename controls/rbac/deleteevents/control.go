// Package deleteevents finds roles that wipe away events.
package deleteevents

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/authz/grant"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is rbac.deleteevents.
var Control = &control.Control{
	ID:       "rbac.deleteevents",
	Title:    "Role deletes events",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.RoleBindings, cluster.ClusterRoleBindings},
	With:     []cluster.Need{cluster.Roles, cluster.ClusterRoles},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1070")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	acts := grant.Acts("", []string{"delete", "deletecollection"}, []string{"events"})
	acts = append(acts, grant.Acts("events.k8s.io", []string{"delete", "deletecollection"}, []string{"events"})...)
	grant.Judge(s, r, grant.Anywhere, "no delete", acts...)
}
