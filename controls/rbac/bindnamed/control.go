// Package bindnamed finds roles that let their holders bind a role that may do everything.
package bindnamed

import (
	_ "embed"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/bulwark-k8s/bulwark/internal/authz/grant"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is rbac.bindnamed.
var Control = &control.Control{
	ID:       "rbac.bindnamed",
	Title:    "Role lets its holder hand out cluster-admin",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.RoleBindings, cluster.ClusterRoleBindings},
	With:     []cluster.Need{cluster.Roles, cluster.ClusterRoles},
	Check:    check,
	Refs:     []control.Ref{control.CIS("5.1.8"), control.MITRE("T1098.006")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	const group = "rbac.authorization.k8s.io"
	acts := grant.Acts(group, []string{"bind", "escalate"}, []string{"clusterroles"})
	for _, g := range grant.Grants(s) {
		v := r.Object(g.Object)
		rules := cluster.Rules(g.Role)
		for i := range rules {
			rule := rules[i]
			j := slices.IndexFunc(rule.ResourceNames, func(name string) bool { return powerful(s, name) })
			if j < 0 {
				continue
			}
			name := rule.ResourceNames[j]
			rule.ResourceNames = nil
			if act, ok := grant.AllowsAny([]rbacv1.PolicyRule{rule}, acts...); ok {
				g.Report(v, i, act.Verb+" on "+name, "no role that may do everything", g.Bindings)
			}
		}
	}
}

// powerful reports whether a ClusterRole may do everything.
func powerful(s *cluster.Snapshot, name string) bool {
	role := s.Get(cluster.Ref{Kind: "ClusterRole", Name: name})
	return name == "cluster-admin" || role != nil && grant.Everything(cluster.Rules(role))
}
