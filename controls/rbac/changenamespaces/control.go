// Package changenamespaces finds roles that change what namespaces let in.
package changenamespaces

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/authz/grant"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is rbac.changenamespaces.
var Control = &control.Control{
	ID:       "rbac.changenamespaces",
	Title:    "Role changes the labels of namespaces",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.RoleBindings, cluster.ClusterRoleBindings},
	With:     []cluster.Need{cluster.Roles, cluster.ClusterRoles},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1562.001")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	grant.Judge(s, r, grant.Anywhere, "get and list, or one namespace by resourceNames",
		grant.Acts("", []string{"update", "patch"}, []string{"namespaces"})...)
}
