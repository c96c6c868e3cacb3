// Package readsecrets finds roles whose holders read all secrets of a place.
package readsecrets

import (
	_ "embed"
	"fmt"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/bulwark-k8s/bulwark/internal/authz"
	"github.com/bulwark-k8s/bulwark/internal/authz/grant"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is rbac.readsecrets.
var Control = &control.Control{
	ID:       "rbac.readsecrets",
	Title:    "Role reads every secret of its scope",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.RoleBindings, cluster.ClusterRoleBindings},
	With:     []cluster.Need{cluster.Roles, cluster.ClusterRoles},
	Check:    check,
	Refs:     []control.Ref{control.CIS("5.1.2"), control.MITRE("T1552.007")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	type given struct {
		role     *cluster.Object
		bindings []*cluster.Binding
	}
	var all []*given
	byRole := map[*cluster.Object]*given{}
	for _, b := range s.Bindings() {
		if len(b.Subjects) == 0 || authz.Default(b.Object) {
			continue // what Kubernetes binds for itself is what its controllers need
		}
		if b.Role == nil || authz.Default(b.Role) {
			// The fault is not in a role that every cluster has but in handing it
			// out for all namespaces; in one, admin and edit are meant to be given.
			v := r.Object(b.Object)
			if act, ok := grant.AllowsAny(grant.Rules(b), grant.ReadSecrets...); ok && b.Namespace == "" && b.RoleRef.Name != "cluster-admin" {
				v.Broken("roleRef", b.RoleRef.Name, "a RoleBinding in each namespace that needs it").
					Because("%s may %s secrets in every namespace", subjects(b), act.Verb)
			}
			continue
		}
		g := byRole[b.Role]
		if g == nil {
			g = &given{role: b.Role}
			byRole[b.Role] = g
			all = append(all, g)
		}
		g.bindings = append(g.bindings, b)
	}
	for _, g := range all {
		v := r.Object(g.role)
		for i, rule := range cluster.Rules(g.role) {
			act, ok := grant.AllowsAny([]rbacv1.PolicyRule{rule}, grant.ReadSecrets...)
			if !ok {
				continue
			}
			f := v.Broken(fmt.Sprintf("rules[%d]", i), act.Verb+" on all secrets", "get, limited by resourceNames")
			var where []string
			for _, b := range g.bindings {
				where = append(where, subjects(b)+" "+grant.Scope(b))
				f.Through(b.Object.Ref)
			}
			f.Because("held by %s", strings.Join(where, "; "))
		}
	}
}

func subjects(b *cluster.Binding) string {
	names := make([]string, len(b.Subjects))
	for i, sub := range b.Subjects {
		names[i] = sub.String()
	}
	return strings.Join(names, ", ")
}
