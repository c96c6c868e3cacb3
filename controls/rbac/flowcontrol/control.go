// Package flowcontrol finds roles that change the API server's queues.
package flowcontrol

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/authz/grant"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is rbac.flowcontrol.
var Control = &control.Control{
	ID:       "rbac.flowcontrol",
	Title:    "Role decides whose requests are served",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.RoleBindings, cluster.ClusterRoleBindings},
	With:     []cluster.Need{cluster.Roles, cluster.ClusterRoles},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1499")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	grant.Judge(s, r, grant.Anywhere, "no change of queues",
		grant.Acts("flowcontrol.apiserver.k8s.io", append([]string{"delete"}, grant.Write...), []string{"flowschemas", "prioritylevelconfigurations"})...)
}
