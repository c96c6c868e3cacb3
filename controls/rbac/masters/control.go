// Package masters finds bindings that name the group nobody can take rights from.
package masters

import (
	_ "embed"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/bulwark-k8s/bulwark/internal/authz"
	"github.com/bulwark-k8s/bulwark/internal/authz/grant"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is rbac.masters.
var Control = &control.Control{
	ID:       "rbac.masters",
	Title:    "Rights are bound to system:masters",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.RoleBindings, cluster.ClusterRoleBindings},
	Check:    check,
	Refs:     []control.Ref{control.CIS("5.1.7"), control.MITRE("T1078")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, b := range s.Bindings() {
		v := r.Object(b.Object)
		if authz.Default(b.Object) {
			continue
		}
		if slices.Contains(b.Subjects, cluster.Subject{Kind: rbacv1.GroupKind, Name: "system:masters"}) {
			v.Broken("subjects", "group system:masters", "a group of your own").
				Because("its members may do everything already, and deleting this binding takes nothing from them").
				Through(grant.Via(b)[1])
		}
	}
}
