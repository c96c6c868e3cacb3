// Package nodesproxy finds roles that reach kubelets through the API server.
package nodesproxy

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/authz/grant"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is rbac.nodesproxy.
var Control = &control.Control{
	ID:       "rbac.nodesproxy",
	Title:    "Role runs commands on every node",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.RoleBindings, cluster.ClusterRoleBindings},
	With:     []cluster.Need{cluster.Roles, cluster.ClusterRoles},
	Check:    check,
	Refs:     []control.Ref{control.CIS("5.1.10"), control.MITRE("T1609")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	grant.Judge(s, r, grant.Beyond, "nodes/metrics, nodes/stats, nodes/log, nodes/configz, nodes/healthz or nodes/pods",
		grant.Acts("", []string{"get", "create", "update", "patch", "delete"}, []string{"nodes/proxy"})...)
}
