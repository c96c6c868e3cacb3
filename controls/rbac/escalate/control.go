// Package escalate finds roles that let their holders grant what they do not have.
package escalate

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/authz/grant"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is rbac.escalate.
var Control = &control.Control{
	ID:       "rbac.escalate",
	Title:    "Role lets its holder grant more than it has",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.RoleBindings, cluster.ClusterRoleBindings},
	With:     []cluster.Need{cluster.Roles, cluster.ClusterRoles},
	Check:    check,
	Refs:     []control.Ref{control.CIS("5.1.8"), control.MITRE("T1098.006")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	const group = "rbac.authorization.k8s.io"
	grant.Judge(s, r, grant.Anywhere, "no escalate, and bind limited by resourceNames",
		grant.Acts(group, []string{"escalate", "bind"}, []string{"clusterroles", "roles"})...)
}
