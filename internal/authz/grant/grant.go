// Package grant judges who was given what: which bindings reach a subject, which of their
// rules allow an act, and which bindings and roles Kubernetes itself keeps. Whether a rule
// matches is internal/authz's to say; here are the words that controls speak.
package grant

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/bulwark-k8s/bulwark/internal/authz"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// An Act is a request on a resource, of any name. A subresource stands behind a slash: "pods/exec".
type Act struct{ Verb, Group, Resource string }

// Allows reports whether a rule allows the act on every name. A rule limited to
// resourceNames allows it on some, which counts as no.
func Allows(rule *rbacv1.PolicyRule, act Act) bool {
	a := act.request()
	return allows(rule, &a)
}

func (a Act) request() authz.Attributes { return authz.Request(a.Verb, a.Group, a.Resource, "", "") }

func allows(rule *rbacv1.PolicyRule, a *authz.Attributes) bool {
	return len(rule.ResourceNames) == 0 && authz.RuleAllows(rule, a)
}

// AllowsAny returns the first of the acts that one of the rules allows.
func AllowsAny(rules []rbacv1.PolicyRule, acts ...Act) (Act, bool) {
	for _, act := range acts {
		a := act.request()
		for i := range rules {
			if allows(&rules[i], &a) {
				return act, true
			}
		}
	}
	return Act{}, false
}

// ReadSecrets are the acts that show the value of secrets. List and watch return
// whole objects, so they show as much as get.
var ReadSecrets = []Act{{"get", "", "secrets"}, {"list", "", "secrets"}, {"watch", "", "secrets"}}

// WriteSecrets are the acts that change or take away secrets.
var WriteSecrets = []Act{
	{"create", "", "secrets"},
	{"update", "", "secrets"},
	{"patch", "", "secrets"},
	{"delete", "", "secrets"},
	{"deletecollection", "", "secrets"},
}

// Everything reports whether the rules allow every verb on every resource.
func Everything(rules []rbacv1.PolicyRule) bool {
	_, ok := AllowsAny(rules, Act{"*", "*", "*"})
	return ok
}

// userFacing are the roles made for people.
var userFacing = map[string]bool{"cluster-admin": true, "admin": true, "edit": true, "view": true}

// Rules are what a binding grants. Manifests seldom repeat the roles that every
// cluster has, so for those made for people a role that is not in the snapshot is taken
// as known.
func Rules(b *cluster.Binding) []rbacv1.PolicyRule {
	if b.Role == nil && b.RoleRef.Kind == "ClusterRole" && userFacing[b.RoleRef.Name] {
		return authz.Builtin(b.RoleRef.Name)
	}
	return b.Rules()
}

// Identities are the subjects that a service account is: itself, the user name it logs
// in as, and the groups that every account is in.
func Identities(namespace, account string) []cluster.Subject {
	return []cluster.Subject{
		cluster.ServiceAccount(namespace, account),
		{Kind: rbacv1.UserKind, Name: "system:serviceaccount:" + namespace + ":" + account},
		{Kind: rbacv1.GroupKind, Name: "system:serviceaccounts"},
		{Kind: rbacv1.GroupKind, Name: "system:serviceaccounts:" + namespace},
		{Kind: rbacv1.GroupKind, Name: "system:authenticated"},
	}
}

// Bindings returns the bindings that reach a service account: by its own name, by
// the user name it logs in as, and by the groups that every account is in.
func Bindings(s *cluster.Snapshot, namespace, account string) iter.Seq[*cluster.Binding] {
	return func(yield func(*cluster.Binding) bool) {
		var seen []*cluster.Binding // for most there are a few, and those of everybody
		for _, sub := range Identities(namespace, account) {
			for _, b := range s.BoundTo(sub) {
				if slices.Contains(seen, b) {
					continue
				}
				if !yield(b) {
					return
				}
				seen = append(seen, b)
			}
		}
	}
}

// Via names a binding and its role, for a finding's Through.
func Via(b *cluster.Binding) []cluster.Ref {
	role := cluster.Ref{Kind: b.RoleRef.Kind, Name: b.RoleRef.Name}
	if role.Kind == "Role" {
		role.Namespace = b.Namespace
	}
	return []cluster.Ref{b.Object.Ref, role}
}

// Describe puts rules into words, the first few of them: "get, list pods, secrets; get
// /metrics".
func Describe(rules []rbacv1.PolicyRule) string {
	const most = 3
	var parts []string
	for _, rule := range rules {
		if len(parts) == most {
			parts = append(parts, fmt.Sprintf("and %d more rules", len(rules)-most))
			break
		}
		part := strings.Join(rule.Verbs, ", ") + " " + strings.Join(slices.Concat(rule.Resources, rule.NonResourceURLs), ", ")
		if len(rule.ResourceNames) > 0 {
			part += " named " + strings.Join(rule.ResourceNames, ", ")
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "; ")
}

// Scope says where a binding's grant holds.
func Scope(b *cluster.Binding) string {
	if b.Namespace == "" {
		return "in every namespace"
	}
	return "in namespace " + b.Namespace
}
