// Package createvolumes finds roles that make volumes of any kind.
package createvolumes

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/authz/grant"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is rbac.createvolumes.
var Control = &control.Control{
	ID:       "rbac.createvolumes",
	Title:    "Role makes volumes of nodes' files",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.RoleBindings, cluster.ClusterRoleBindings},
	With:     []cluster.Need{cluster.Roles, cluster.ClusterRoles},
	Check:    check,
	Refs:     []control.Ref{control.CIS("5.1.9"), control.MITRE("T1611")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	grant.Judge(s, r, grant.Beyond, "a provisioner's own account, or none",
		grant.Act{Verb: "create", Resource: "persistentvolumes"})
}
