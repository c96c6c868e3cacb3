package authz

import (
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
)

// A RoleChange is a role as somebody wants it to be.
type RoleChange struct {
	Rules []rbacv1.PolicyRule
	// Aggregates is whether the role, or the one that is replaced, selects others by an
	// aggregationRule.
	Aggregates bool
}

// A Gift is the answer to who gives rights away: what allows it, or which rights are
// missing for it.
type Gift struct {
	Answer
	Missing []rbacv1.PolicyRule
}

// all is what an aggregationRule takes, since it can gather anything
// (pkg/registry/rbac/clusterrole/policybased/storage.go).
var all = []rbacv1.PolicyRule{
	{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}},
	{Verbs: []string{"*"}, NonResourceURLs: []string{"*"}},
}

// MayWriteRole answers a request that creates or changes a Role or ClusterRole: a.User has
// to be allowed the request, and then to escalate the role or to have in RBAC, which alone
// counts for this, what is in it (pkg/registry/rbac/{role,clusterrole}/policybased and
// escalation_check.go). As in the request, a name is not known where one is created by POST.
func (e *Engine) MayWriteRole(a Attributes, w RoleChange) Gift {
	if answer := e.Authorize(&a); answer.Decision != Allow || slices.Contains(a.User.Groups, masters) {
		return Gift{Answer: answer}
	}
	escalate := a
	escalate.Verb, escalate.Version, escalate.Subresource = "escalate", "*", ""
	answer := e.Authorize(&escalate)
	if answer.Decision == Allow {
		return Gift{Answer: answer}
	}
	missing := e.lacks(&a.User, a.Namespace, w.Rules)
	if w.Aggregates && a.Resource == "clusterroles" {
		missing = append(missing, e.lacks(&a.User, a.Namespace, all)...)
	}
	return gift(answer, missing)
}

// MayBind answers whether the user may give the role by a binding in the namespace, or, in
// none, by a ClusterRoleBinding: by the verb bind, or by having in RBAC what is in it
// (pkg/registry/rbac/{rolebinding,clusterrolebinding}/policybased). That the user may write
// the binding at all is for Authorize to say.
func (e *Engine) MayBind(u User, ref rbacv1.RoleRef, namespace string) Gift {
	if slices.Contains(u.Groups, masters) {
		return Gift{Answer: Answer{Decision: Allow, By: Origin{Authorizer: masters}}}
	}
	resource := map[string]string{"Role": "roles", "ClusterRole": "clusterroles"}[ref.Kind]
	var answer Answer
	if resource == "" {
		answer.Decision = Deny
	} else {
		a := Attributes{User: u, Verb: "bind", Group: rbacv1.GroupName, Version: "*", Resource: resource, Name: ref.Name, Namespace: namespace, ResourceRequest: true}
		answer = e.Authorize(&a)
	}
	if answer.Decision == Allow {
		return Gift{Answer: answer}
	}
	r, why := e.rbac.role(ref, namespace)
	if why != "" {
		return Gift{Answer: Answer{Decision: answer.Decision, By: Origin{Authorizer: "RBAC", Detail: why}}}
	}
	rules := make([]rbacv1.PolicyRule, len(r.rules))
	for i := range r.rules {
		rules[i] = *r.rules[i].rule
	}
	return gift(answer, e.lacks(&u, namespace, rules))
}

// gift is the answer for rights that a verb does not give away.
func gift(answer Answer, missing []rbacv1.PolicyRule) Gift {
	if len(missing) == 0 {
		return Gift{Answer: Answer{Decision: Allow, By: Origin{Authorizer: "RBAC", Detail: "they have all of these rights"}}}
	}
	return Gift{Answer: answer, Missing: missing}
}

// lacks returns those of the rules that the user does not have by RBAC in the namespace.
func (e *Engine) lacks(u *User, namespace string, rules []rbacv1.PolicyRule) []rbacv1.PolicyRule {
	var owned []rbacv1.PolicyRule
	for _, r := range e.rbac.rules(u, namespace, nil) {
		owned = append(owned, r.PolicyRule)
	}
	_, missing := Covers(owned, rules)
	return missing
}
