// Package portforward finds roles that reach into pods past the network's rules.
package portforward

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/authz/grant"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is rbac.portforward.
var Control = &control.Control{
	ID:       "rbac.portforward",
	Title:    "Role opens tunnels to pods of every namespace",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.RoleBindings, cluster.ClusterRoleBindings},
	With:     []cluster.Need{cluster.Roles, cluster.ClusterRoles},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1090")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	grant.Judge(s, r, grant.Programs, "none, or people in one namespace at a time",
		grant.Acts("", []string{"create", "get"}, []string{"pods/portforward"})...)
}
