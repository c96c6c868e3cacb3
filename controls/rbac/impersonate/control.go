// Package impersonate finds roles that let their holders act as somebody else.
package impersonate

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/authz/grant"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is rbac.impersonate.
var Control = &control.Control{
	ID:       "rbac.impersonate",
	Title:    "Role lets its holder act as anybody",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.RoleBindings, cluster.ClusterRoleBindings},
	With:     []cluster.Need{cluster.Roles, cluster.ClusterRoles},
	Check:    check,
	Refs:     []control.Ref{control.CIS("5.1.8"), control.MITRE("T1078.004")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	acts := grant.Acts("", []string{"impersonate"}, []string{"users", "groups", "serviceaccounts"})
	// The constrained form (v1.35) names the identity in one rule and the act in another;
	// without names the identity is anybody all the same.
	acts = append(acts, grant.Acts("authentication.k8s.io",
		[]string{"impersonate:user-info", "impersonate:serviceaccount", "impersonate:arbitrary-node"},
		[]string{"users", "groups", "serviceaccounts", "nodes"})...)
	grant.Judge(s, r, grant.Anywhere, "impersonation limited by resourceNames", acts...)
}
