// Package deletedata finds roles that destroy data everywhere.
package deletedata

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/authz/grant"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is rbac.deletedata.
var Control = &control.Control{
	ID:       "rbac.deletedata",
	Title:    "Role destroys data in every namespace",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.RoleBindings, cluster.ClusterRoleBindings},
	With:     []cluster.Need{cluster.Roles, cluster.ClusterRoles},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1485")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	grant.Judge(s, r, grant.Beyond, "a RoleBinding in each namespace that needs it",
		grant.Acts("", []string{"delete", "deletecollection"}, []string{"namespaces", "persistentvolumeclaims", "persistentvolumes"})...)
}
