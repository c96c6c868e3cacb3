// Package nodegroup finds bindings that give all nodes the rights of all nodes.
package nodegroup

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/authz/grant"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is rbac.nodegroup.
var Control = &control.Control{
	ID:       "rbac.nodegroup",
	Title:    "All nodes hold each other's rights",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.RoleBindings, cluster.ClusterRoleBindings},
	Check:    check,
	Refs: []control.Ref{
		control.CIS("1.2.7").Further(),
		control.MITRE("T1078"),
	},
	Doc: doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, b := range s.Bindings() {
		v := r.Object(b.Object)
		if b.RoleRef.Kind != "ClusterRole" || b.RoleRef.Name != "system:node" || len(b.Subjects) == 0 {
			continue
		}
		v.Broken("subjects", grant.Holders([]*cluster.Binding{b}), "none: the Node authorizer gives each node its own")
	}
}
