package authz

import (
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
)

// Covers reports whether an owner's rules allow all that a servant's do, and if not, what
// is missing, one act a rule. It compares rules as they are written, as the API server does
// before it lets somebody give rights away
// (k8s.io/component-helpers/auth/rbac/validation/policy_comparator.go).
func Covers(owner, servant []rbacv1.PolicyRule) (bool, []rbacv1.PolicyRule) {
	var uncovered []rbacv1.PolicyRule
	check := func(one rbacv1.PolicyRule) {
		if !slices.ContainsFunc(owner, func(o rbacv1.PolicyRule) bool { return coversOne(&o, &one) }) {
			uncovered = append(uncovered, one)
		}
	}
	for _, rule := range servant {
		names := [][]string{nil}
		if len(rule.ResourceNames) > 0 {
			names = nil
			for _, name := range rule.ResourceNames {
				names = append(names, []string{name})
			}
		}
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					for _, name := range names {
						check(rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: []string{verb}, ResourceNames: name})
					}
				}
			}
		}
		for _, url := range rule.NonResourceURLs {
			for _, verb := range rule.Verbs {
				check(rbacv1.PolicyRule{NonResourceURLs: []string{url}, Verbs: []string{verb}})
			}
		}
	}
	return len(uncovered) == 0, uncovered
}

// coversOne is for a servant of one act: one verb, and one resource of one group, of one
// name or any, or one URL.
func coversOne(owner, one *rbacv1.PolicyRule) bool {
	if !has(owner.Verbs, one.Verbs[0]) {
		return false
	}
	if len(owner.ResourceNames) > 0 && (len(one.ResourceNames) == 0 || !slices.Contains(owner.ResourceNames, one.ResourceNames[0])) {
		return false
	}
	if len(one.NonResourceURLs) > 0 {
		return slices.ContainsFunc(owner.NonResourceURLs, func(url string) bool {
			return url == one.NonResourceURLs[0] ||
				strings.HasSuffix(url, "*") && strings.HasPrefix(one.NonResourceURLs[0], strings.TrimRight(url, "*"))
		})
	}
	if !has(owner.APIGroups, one.APIGroups[0]) {
		return false
	}
	if has(owner.Resources, one.Resources[0]) {
		return true
	}
	_, sub, ok := strings.Cut(one.Resources[0], "/")
	return ok && slices.Contains(owner.Resources, "*/"+sub)
}
