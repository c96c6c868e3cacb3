// Package everyone finds bindings that grant to every account at once.
package everyone

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

// Control is rbac.everyone.
var Control = &control.Control{
	ID:       "rbac.everyone",
	Title:    "Rights are granted to every account",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.ClusterRoleBindings, cluster.RoleBindings},
	With:     []cluster.Need{cluster.Roles, cluster.ClusterRoles},
	Check:    check,
	Refs:     []control.Ref{control.NSA("Authentication and authorization"), control.MITRE("T1078")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	granted.To(s, r, all, func(v *control.Verdict, b *cluster.Binding, who string) {
		if rules := slices.DeleteFunc(slices.Clone(grant.Rules(b)), isForAll); len(rules) > 0 {
			v.Broken("subjects", who, "the accounts that need it").
				Because("it lets every one of them %s %s", grant.Describe(rules), grant.Scope(b)).
				Through(grant.Via(b)[1])
		}
	})
}

// all are the groups of everybody who logs in, and of every service account.
var all = []cluster.Subject{
	{Kind: rbacv1.GroupKind, Name: "system:authenticated"},
	{Kind: rbacv1.GroupKind, Name: "system:serviceaccounts"},
}

// isForAll reports whether a rule is among those that the API server gives to all who
// log in: discovery, questions about themselves, and the keys that tokens are checked
// with (plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go). The rules count and
// not the names, for anybody may add a rule to a role.
func isForAll(rule rbacv1.PolicyRule) bool {
	if len(rule.NonResourceURLs) > 0 {
		return slices.Equal(rule.Verbs, []string{"get"}) && len(rule.Resources) == 0 &&
			!slices.ContainsFunc(rule.NonResourceURLs, func(url string) bool { return !slices.Contains(public, url) })
	}
	within := func(list []string, allowed ...string) bool {
		return !slices.ContainsFunc(list, func(item string) bool { return !slices.Contains(allowed, item) })
	}
	return within(rule.Verbs, "create") && within(rule.APIGroups, "authorization.k8s.io", "authentication.k8s.io") &&
		within(rule.Resources, "selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews") ||
		within(rule.Verbs, "get", "list", "watch") && within(rule.APIGroups, "certificates.k8s.io") && within(rule.Resources, "clustertrustbundles")
}

var public = []string{
	"/healthz", "/livez", "/readyz", "/version", "/version/", "/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*",
	"/.well-known/openid-configuration", "/.well-known/openid-configuration/", "/openid/v1/jwks", "/openid/v1/jwks/",
}
