// Package nodelogs finds roles that read nodes' logs or take copies of containers' memory.
package nodelogs

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/authz/grant"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is rbac.nodelogs.
var Control = &control.Control{
	ID:       "rbac.nodelogs",
	Title:    "Role reads the files and memory of every node",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.RoleBindings, cluster.ClusterRoleBindings},
	With:     []cluster.Need{cluster.Roles, cluster.ClusterRoles},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1005"), control.MITRE("T1552")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	// Subresources of nodes that the kubelet asks for
	// (pkg/kubelet/server/auth.go: getKubeletSubresources and the paths above it).
	grant.Judge(s, r, grant.Anywhere, "nodes/metrics, nodes/stats or nodes/healthz",
		append(grant.Acts("", []string{"get"}, []string{"nodes/log"}),
			grant.Acts("", []string{"create"}, []string{"nodes/checkpoint"})...)...)
}
