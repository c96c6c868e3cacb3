// Package wildcard finds roles that grant more than anybody listed.
package wildcard

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/authz"
	"github.com/bulwark-k8s/bulwark/internal/authz/grant"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is rbac.wildcard.
var Control = &control.Control{
	ID:       "rbac.wildcard",
	Title:    "Role grants resources that it does not name",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.Roles, cluster.ClusterRoles},
	With:     []cluster.Need{cluster.RoleBindings, cluster.ClusterRoleBindings},
	Check:    check,
	Refs:     []control.Ref{control.CIS("5.1.3"), control.MITRE("T1078")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	bound := map[*cluster.Object][]*cluster.Binding{}
	for _, b := range s.Bindings() {
		if b.Role != nil && len(b.Subjects) > 0 {
			bound[b.Role] = append(bound[b.Role], b)
		}
	}
	for _, role := range slices.Concat(s.Kind("ClusterRole"), s.Kind("Role")) {
		bindings := bound[role]
		if authz.Default(role) || len(bindings) == 0 {
			// Kubernetes' own roles are what they are; who got cluster-admin is
			// rbac.clusteradmin's to say. A role that nobody has gives nothing.
			continue
		}
		v := r.Object(role)
		for i, rule := range cluster.Rules(role) {
			if !grant.Wild(&rule) {
				continue
			}
			f := v.Broken(fmt.Sprintf("rules[%d]", i), fmt.Sprintf("%s on *", strings.Join(rule.Verbs, ", ")), "verbs and resources by name")
			var who []string
			for _, b := range bindings {
				f.Through(b.Object.Ref)
				for _, sub := range b.Subjects {
					who = append(who, sub.String())
				}
			}
			slices.Sort(who)
			f.Because("held by %s", strings.Join(slices.Compact(who), ", "))
		}
	}
}
