// Package endpoints finds roles that say where Services lead.
package endpoints

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/authz/grant"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is rbac.endpoints.
var Control = &control.Control{
	ID:       "rbac.endpoints",
	Title:    "Role decides where Services lead",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.RoleBindings, cluster.ClusterRoleBindings},
	With:     []cluster.Need{cluster.Roles, cluster.ClusterRoles},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1557")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	acts := grant.Acts("", grant.Write, []string{"endpoints"})
	acts = append(acts, grant.Acts("discovery.k8s.io", grant.Write, []string{"endpointslices"})...)
	grant.Judge(s, r, grant.Anywhere, "none, or one by resourceNames", acts...)
}
