// Package missingrole finds bindings that wait for somebody to make their role.
package missingrole

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/authz"
	"github.com/bulwark-k8s/bulwark/internal/authz/grant"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is rbac.missingrole.
var Control = &control.Control{
	ID:       "rbac.missingrole",
	Title:    "Binding waits for a role that does not exist",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.RoleBindings, cluster.ClusterRoleBindings},
	With:     []cluster.Need{cluster.Roles, cluster.ClusterRoles},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1098")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, b := range s.Bindings() {
		v := r.Object(b.Object)
		if !s.Live || b.Role != nil || len(b.Subjects) == 0 || authz.Default(b.Object) {
			continue // files are a part of a cluster; what is not there may be elsewhere
		}
		v.Broken("roleRef", grant.Via(b)[1].String()+", which does not exist", "a role that exists").
			Because("whoever makes it decides what %s", grant.Holders([]*cluster.Binding{b})+" may do")
	}
}
