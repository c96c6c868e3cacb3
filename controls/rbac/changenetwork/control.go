// Package changenetwork finds roles that take the network's walls down.
package changenetwork

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/authz/grant"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is rbac.changenetwork.
var Control = &control.Control{
	ID:       "rbac.changenetwork",
	Title:    "Role takes network policies away everywhere",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.RoleBindings, cluster.ClusterRoleBindings},
	With:     []cluster.Need{cluster.Roles, cluster.ClusterRoles},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1562.004")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	grant.Judge(s, r, grant.Beyond, "a RoleBinding in each namespace that needs it",
		grant.Acts("networking.k8s.io", []string{"create", "update", "patch", "delete", "deletecollection"}, []string{"networkpolicies"})...)
}
