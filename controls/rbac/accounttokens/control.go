// Package accounttokens finds roles that make tokens of service accounts.
package accounttokens

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/authz/grant"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is rbac.accounttokens.
var Control = &control.Control{
	ID:       "rbac.accounttokens",
	Title:    "Role makes tokens of other accounts",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.RoleBindings, cluster.ClusterRoleBindings},
	With:     []cluster.Need{cluster.Roles, cluster.ClusterRoles},
	Check:    check,
	Refs:     []control.Ref{control.CIS("5.1.13"), control.MITRE("T1528")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	grant.Judge(s, r, grant.Programs, "serviceaccounts/token limited by resourceNames",
		grant.Act{Verb: "create", Resource: "serviceaccounts/token"})
}
