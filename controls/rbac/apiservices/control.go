// Package apiservices finds roles that add API servers.
package apiservices

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/authz/grant"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is rbac.apiservices.
var Control = &control.Control{
	ID:       "rbac.apiservices",
	Title:    "Role answers for a part of the API",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.RoleBindings, cluster.ClusterRoleBindings},
	With:     []cluster.Need{cluster.Roles, cluster.ClusterRoles},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1557")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	grant.Judge(s, r, grant.Beyond, "update and patch of one by resourceNames",
		grant.Acts("apiregistration.k8s.io", grant.Write, []string{"apiservices"})...)
}
