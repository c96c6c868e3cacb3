// Package missingaccount finds bindings that wait for somebody to make their account.
package missingaccount

import (
	_ "embed"
	"fmt"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/bulwark-k8s/bulwark/internal/authz"
	"github.com/bulwark-k8s/bulwark/internal/authz/grant"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is rbac.missingaccount.
var Control = &control.Control{
	ID:       "rbac.missingaccount",
	Title:    "Rights wait for an account that does not exist",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.RoleBindings, cluster.ClusterRoleBindings},
	With:     []cluster.Need{cluster.ServiceAccounts, cluster.Roles, cluster.ClusterRoles},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1098")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, b := range s.Bindings() {
		v := r.Object(b.Object)
		if !s.Live || authz.Default(b.Object) || len(grant.Rules(b)) == 0 {
			continue // files are a part of a cluster; what is not there may be elsewhere
		}
		for i, sub := range b.Subjects {
			if sub.Kind != rbacv1.ServiceAccountKind || s.Get(cluster.Ref{Kind: "ServiceAccount", Namespace: sub.Namespace, Name: sub.Name}) != nil {
				continue
			}
			v.Broken(fmt.Sprintf("subjects[%d]", i), sub.String()+", which does not exist", "an account that exists").
				Because("whoever makes it gets %s %s", b.RoleRef.Name, grant.Scope(b)).
				Through(grant.Via(b)[1])
		}
	}
}
