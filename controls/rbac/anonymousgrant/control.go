// Package anonymousgrant finds bindings that grant to whoever does not log in.
package anonymousgrant

import (
	_ "embed"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/bulwark-k8s/bulwark/controls/internal/granted"
	"github.com/bulwark-k8s/bulwark/internal/authz/grant"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is rbac.anonymousgrant.
var Control = &control.Control{
	ID:       "rbac.anonymousgrant",
	Title:    "Rights are granted to the anonymous user",
	Severity: control.Critical,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.ClusterRoleBindings, cluster.RoleBindings},
	With:     []cluster.Need{cluster.Roles, cluster.ClusterRoles},
	Check:    check,
	Refs: []control.Ref{
		control.CIS("1.2.1").Further(),
		control.NSA("Authentication and authorization"),
		control.MITRE("T1078.001"),
	},
	Doc: doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	granted.To(s, r, strangers, func(v *control.Verdict, b *cluster.Binding, who string) {
		if what := opens(b); what != "" {
			v.Broken("subjects", who, "nobody who does not log in").
				Because("it lets them %s", what).
				Through(grant.Via(b)[1])
		}
	})
}

var strangers = []cluster.Subject{
	{Kind: rbacv1.UserKind, Name: "system:anonymous"},
	{Kind: rbacv1.GroupKind, Name: "system:unauthenticated"},
}

// opens says what a binding gives beyond what every cluster shows to strangers: its
// version and health (system:public-info-viewer), and in kube-public the address and
// CA that a joining node needs (kubeadm:bootstrap-signer-clusterinfo). The rules count
// and not the names, for anybody may add a rule to a role.
func opens(b *cluster.Binding) string {
	rules := slices.DeleteFunc(slices.Clone(grant.Rules(b)), func(rule rbacv1.PolicyRule) bool {
		return isPublic(rule) || b.Namespace == "kube-public" && isClusterInfo(rule)
	})
	where := grant.Scope(b)
	switch {
	case len(rules) == 0:
		return ""
	case grant.Everything(rules):
		return "do everything " + where
	}
	if act, ok := grant.AllowsAny(rules, slices.Concat(grant.ReadSecrets, grant.WriteSecrets)...); ok {
		return act.Verb + " secrets " + where
	}
	return grant.Describe(rules) + " " + where
}

func isPublic(rule rbacv1.PolicyRule) bool {
	return len(rule.Resources) == 0 && slices.Equal(rule.Verbs, []string{"get"}) && !slices.ContainsFunc(rule.NonResourceURLs, func(url string) bool {
		return !slices.Contains([]string{"/healthz", "/livez", "/readyz", "/version", "/version/"}, url)
	})
}

func isClusterInfo(rule rbacv1.PolicyRule) bool {
	return slices.Equal(rule.Verbs, []string{"get"}) && slices.Equal(rule.Resources, []string{"configmaps"}) &&
		slices.Equal(rule.ResourceNames, []string{"cluster-info"})
}
