// Package changedefinitions finds roles that change CustomResourceDefinitions.
package changedefinitions

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/authz/grant"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is rbac.changedefinitions.
var Control = &control.Control{
	ID:       "rbac.changedefinitions",
	Title:    "Role changes how kinds are defined",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.RoleBindings, cluster.ClusterRoleBindings},
	With:     []cluster.Need{cluster.Roles, cluster.ClusterRoles},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1546")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	grant.Judge(s, r, grant.Beyond, "definitions named by resourceNames, and create for who installs operators",
		grant.Acts("apiextensions.k8s.io", []string{"update", "patch", "delete", "deletecollection"}, []string{"customresourcedefinitions"})...)
}
