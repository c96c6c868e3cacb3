// Package systemconfig finds roles that rewrite the configuration of kube-system.
package systemconfig

import (
	_ "embed"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/bulwark-k8s/bulwark/internal/authz/grant"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is rbac.systemconfig.
var Control = &control.Control{
	ID:       "rbac.systemconfig",
	Title:    "Role rewrites the configuration of kube-system",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.RoleBindings, cluster.ClusterRoleBindings},
	With:     []cluster.Need{cluster.Roles, cluster.ClusterRoles},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1557"), control.MITRE("T1565")},
	Doc:      doc,
}

// vital are ConfigMaps that parts of the system take their orders from.
var vital = []string{"coredns", "kube-proxy", "kubelet-config", "kubeadm-config", "extension-apiserver-authentication", "aws-auth", "kube-dns", "node-local-dns"}

func check(s *cluster.Snapshot, r *control.Report) {
	acts := grant.Acts("", []string{"update", "patch"}, []string{"configmaps"})
	for _, g := range grant.Grants(s) {
		v := r.Object(g.Object)
		bindings := slices.DeleteFunc(slices.Clone(g.Bindings), func(b *cluster.Binding) bool {
			return b.Namespace != "" && b.Namespace != "kube-system"
		})
		if len(bindings) == 0 {
			continue
		}
		rules := cluster.Rules(g.Role)
		for i := range rules {
			if grant.Wild(&rules[i]) {
				continue
			}
			which := "every ConfigMap there"
			if names := rules[i].ResourceNames; len(names) > 0 {
				which = strings.Join(slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !slices.Contains(vital, name) }), ", ")
			}
			unnamed := rules[i]
			unnamed.ResourceNames = nil
			if act, ok := grant.AllowsAny([]rbacv1.PolicyRule{unnamed}, acts...); ok && which != "" {
				g.Report(v, i, act.Verb+" on "+which, "ConfigMaps of its own, by resourceNames", bindings)
			}
		}
	}
}
