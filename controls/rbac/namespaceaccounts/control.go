// Package namespaceaccounts finds bindings that grant to all accounts of a namespace.
package namespaceaccounts

import (
	_ "embed"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/bulwark-k8s/bulwark/internal/authz"
	"github.com/bulwark-k8s/bulwark/internal/authz/grant"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is rbac.namespaceaccounts.
var Control = &control.Control{
	ID:       "rbac.namespaceaccounts",
	Title:    "Rights are granted to all accounts of a namespace",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.RoleBindings, cluster.ClusterRoleBindings},
	With:     []cluster.Need{cluster.Roles, cluster.ClusterRoles},
	Check:    check,
	Refs: []control.Ref{
		control.CIS("5.1.5").Further(),
		control.MITRE("T1078.004"),
	},
	Doc: doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, b := range s.Bindings() {
		v := r.Object(b.Object)
		for _, sub := range b.Subjects {
			namespace, ok := strings.CutPrefix(sub.Name, "system:serviceaccounts:")
			rules := grant.Rules(b)
			if !ok || sub.Kind != rbacv1.GroupKind || authz.Default(b.Object) || len(rules) == 0 || harmless(b) {
				continue
			}
			v.Broken("subjects", sub.Name, "the accounts that need it").
				Because("every pod in %s may %s %s", namespace, grant.Describe(rules), grant.Scope(b)).
				Through(grant.Via(b)[1])
		}
	}
}

// harmless reports whether a binding gives what everybody has anyway, or no more than
// to pull images, which OpenShift binds to these groups for every namespace.
func harmless(b *cluster.Binding) bool {
	switch b.RoleRef.Name {
	case "system:discovery", "system:basic-user", "system:public-info-viewer", "system:service-account-issuer-discovery", "system:image-puller":
		return b.RoleRef.Kind == "ClusterRole"
	}
	return false
}
