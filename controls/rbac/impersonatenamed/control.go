// Package impersonatenamed finds roles that let their holders act as somebody by name who may do everything.
package impersonatenamed

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

// Control is rbac.impersonatenamed.
var Control = &control.Control{
	ID:       "rbac.impersonatenamed",
	Title:    "Role lets its holder act as an administrator",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.RoleBindings, cluster.ClusterRoleBindings},
	With:     []cluster.Need{cluster.Roles, cluster.ClusterRoles},
	Check:    check,
	Refs:     []control.Ref{control.CIS("5.1.8"), control.MITRE("T1078.004")},
	Doc:      doc,
}

// rulers are the users and groups that Kubernetes itself gives power over the cluster
// (plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go), and kubeadm's administrators.
var rulers = []string{
	"system:masters", "kubeadm:cluster-admins", "system:kube-controller-manager", "system:kube-scheduler", "system:nodes",
}

func check(s *cluster.Snapshot, r *control.Report) {
	acts := grant.Acts("", []string{"impersonate"}, []string{"users", "groups"})
	// The constrained form of v1.35 (k8s.io/apiserver/pkg/endpoints/filters/impersonation/mode.go).
	acts = append(acts, grant.Acts("authentication.k8s.io", []string{"impersonate:user-info"}, []string{"users", "groups"})...)
	for _, g := range grant.Grants(s) {
		v := r.Object(g.Object)
		rules := cluster.Rules(g.Role)
		for i := range rules {
			rule := rules[i]
			j := slices.IndexFunc(rule.ResourceNames, func(name string) bool { return slices.Contains(rulers, name) })
			if j < 0 {
				continue
			}
			name := rule.ResourceNames[j]
			rule.ResourceNames = nil
			if _, ok := grant.AllowsAny([]rbacv1.PolicyRule{rule}, acts...); !ok {
				continue
			}
			var bindings []*cluster.Binding
			for _, b := range g.Bindings {
				if b.Namespace == "" { // users and groups are in no namespace
					bindings = append(bindings, b)
				}
			}
			if len(bindings) > 0 {
				g.Report(v, i, "impersonate "+name, "no name that may do everything", bindings)
			}
		}
	}
}
