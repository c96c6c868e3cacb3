// Package podexec finds roles that run commands in pods that are there already.
package podexec

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/authz/grant"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is rbac.podexec.
var Control = &control.Control{
	ID:       "rbac.podexec",
	Title:    "Role runs commands in others' pods",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.RoleBindings, cluster.ClusterRoleBindings},
	With:     []cluster.Need{cluster.Roles, cluster.ClusterRoles},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1609")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	acts := grant.Acts("", []string{"create", "get"}, []string{"pods/exec", "pods/attach"})
	acts = append(acts, grant.Acts("", []string{"update", "patch"}, []string{"pods/ephemeralcontainers"})...)
	grant.Judge(s, r, grant.Programs, "none, or people in one namespace at a time", acts...)
}
