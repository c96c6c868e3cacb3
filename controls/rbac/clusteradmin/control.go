// Package clusteradmin finds bindings that make somebody the cluster's administrator.
package clusteradmin

import (
	_ "embed"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is rbac.clusteradmin.
var Control = &control.Control{
	ID:       "rbac.clusteradmin",
	Title:    "Cluster administrator is granted",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.ClusterRoleBindings, cluster.RoleBindings},
	Check:    check,
	Refs: []control.Ref{
		control.CIS("5.1.1").When(func(f *control.Finding) bool { return f.Object.Kind == "ClusterRoleBinding" }),
		control.MITRE("T1078"),
	},
	Doc: doc,
}

// Grants that Kubernetes and kubeadm make themselves: the API server restores the
// first at every start, and the second is kubeadm's revocable administrator.
var expected = map[cluster.Subject]bool{
	{Kind: "Group", Name: "system:masters"}:         true,
	{Kind: "Group", Name: "kubeadm:cluster-admins"}: true,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, b := range s.Bindings() {
		v := r.Object(b.Object)
		if b.RoleRef.Kind != "ClusterRole" || b.RoleRef.Name != "cluster-admin" {
			continue
		}
		var who []string
		for _, sub := range b.Subjects {
			if !expected[sub] {
				who = append(who, sub.String())
			}
		}
		if len(who) == 0 {
			continue
		}
		scope := "of the whole cluster"
		if b.Namespace != "" {
			scope = "inside the namespace, and whatever its service accounts may do"
		}
		v.Broken("roleRef", "cluster-admin", "a role with only what is needed").
			Because("it makes %s administrator %s", strings.Join(who, ", "), scope)
	}
}
