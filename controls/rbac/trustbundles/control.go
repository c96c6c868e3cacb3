// Package trustbundles finds roles that change ClusterTrustBundles.
package trustbundles

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/authz/grant"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is rbac.trustbundles.
var Control = &control.Control{
	ID:       "rbac.trustbundles",
	Title:    "Role decides which authorities pods believe",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.RoleBindings, cluster.ClusterRoleBindings},
	With:     []cluster.Need{cluster.Roles, cluster.ClusterRoles},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1553.004"), control.MITRE("T1557")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	grant.Judge(s, r, grant.Anywhere, "bundles named by resourceNames",
		grant.Acts("certificates.k8s.io", grant.Write, []string{"clustertrustbundles"})...)
}
