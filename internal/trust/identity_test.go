package trust

import (
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
)

func TestRulesInWords(t *testing.T) {
	rule := func(group, resource string, verbs ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: verbs}
	}
	named := func(r rbacv1.PolicyRule, names ...string) rbacv1.PolicyRule {
		r.ResourceNames = names
		return r
	}
	for name, tt := range map[string]struct {
		rules []rbacv1.PolicyRule
		want  string
	}{
		"nothing":                     {nil, "nothing"},
		"reads and writes":            {[]rbacv1.PolicyRule{rule("", "pods", "get", "list"), rule("", "pods/binding", "create")}, "writes pods/binding; reads pods"},
		"secrets are said once":       {[]rbacv1.PolicyRule{rule("", "secrets", "get", "update")}, "reads Secrets; writes secrets"},
		"one Secret":                  {[]rbacv1.PolicyRule{named(rule("", "secrets", "get"), "db")}, "reads secrets (db)"},
		"secrets of another API":      {[]rbacv1.PolicyRule{rule("vault.test", "secrets", "get")}, "reads secrets"},
		"one signer":                  {[]rbacv1.PolicyRule{named(rule("certificates.k8s.io", "signers", "approve"), "kubernetes.io/kubelet-serving")}, "approve signers (kubernetes.io/kubelet-serving)"},
		"every signer":                {[]rbacv1.PolicyRule{rule("certificates.k8s.io", "signers", "approve")}, "approves certificates; approve signers"},
		"reads all":                   {[]rbacv1.PolicyRule{rule("", "pods", "get"), rule("*", "*", "get", "list")}, "reads Secrets; reads every kind of object"},
		"reads all of one API":        {[]rbacv1.PolicyRule{rule("apps", "*", "get")}, "reads every kind of object of apps"},
		"every verb":                  {[]rbacv1.PolicyRule{rule("apps", "deployments", "*")}, "writes deployments"},
		"paths that are not objects'": {[]rbacv1.PolicyRule{{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}}}, "reads /metrics"},
		"many kinds":                  {[]rbacv1.PolicyRule{{APIGroups: []string{""}, Verbs: []string{"get"}, Resources: []string{"a", "b", "c", "d", "e", "f", "g", "h"}}}, "reads a, b, c, d, e, f and 2 more"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := inWords(tt.rules); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}
