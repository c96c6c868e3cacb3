package authz

import (
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// abac is a policy file, decided as pkg/auth/authorizer/abac/abac.go does: a subresource is
// its resource, names and verbs but reading play no part.
type abac struct{ policies []cluster.ABACPolicy }

// abac returns the policies that an API server reads; nil is one that nobody saw.
func (e *Engine) abac(s *cluster.Snapshot, c *cluster.Component) authorizer {
	configs := s.Configs(cluster.ABACFile)
	if c != nil {
		configs = nil
		if config, _ := s.ConfigOf(c, cluster.ABACFile); config != nil {
			configs = append(configs, config)
		}
	}
	if len(configs) == 0 {
		return &outside{by: Origin{Authorizer: "ABAC", Detail: "its policy file was not read"}, worst: mayAllow}
	}
	all := new(abac)
	for _, config := range configs {
		all.policies = append(all.policies, config.ABAC.Policies...)
	}
	return all
}

var readOnly = []string{"get", "list", "watch"}

func (x *abac) judge(a *Attributes) (opinion, Origin) {
	for i := range x.policies {
		if p := &x.policies[i]; abacSubject(p, &a.User) && abacActs(p, a) {
			return allows, abacOrigin(p)
		}
	}
	return none, Origin{}
}

func abacOrigin(p *cluster.ABACPolicy) Origin { return Origin{Authorizer: "ABAC", Line: p.Line} }

// abacSubject reports whether the policy is the user's: of both where both are set.
func abacSubject(p *cluster.ABACPolicy, u *User) bool {
	if p.User == "" && p.Group == "" {
		return false
	}
	return (p.User == "" || p.User == "*" || p.User == u.Name) &&
		(p.Group == "" || p.Group == "*" || slices.Contains(u.Groups, p.Group))
}

func abacActs(p *cluster.ABACPolicy, a *Attributes) bool {
	if p.Readonly && !slices.Contains(readOnly, a.Verb) {
		return false
	}
	if !a.ResourceRequest {
		return urlMatches(p.NonResourcePath, a.Path)
	}
	is := func(have, want string) bool { return have == "*" || have == want }
	return is(p.Namespace, a.Namespace) && is(p.Resource, a.Resource) && is(p.APIGroup, a.Group)
}

func (x *abac) holders(a *need, out []Holder) []Holder {
	for i := range x.policies {
		p := &x.policies[i]
		if !abacActs(p, &a.Attributes) {
			continue
		}
		h := Holder{By: abacOrigin(p)}
		switch {
		case p.User != "" && p.Group != "":
			h.Subject, h.Within = userSubject(p.User), p.Group
		case p.User != "":
			h.Subject = userSubject(p.User)
		case p.Group != "":
			h.Subject = groupSubject(p.Group)
		default:
			continue
		}
		out = append(out, h)
	}
	return out
}

func (x *abac) rules(u *User, namespace string, out []Rule) []Rule {
	for i := range x.policies {
		p := &x.policies[i]
		if !abacSubject(p, u) || p.Namespace != "*" && p.Namespace != namespace {
			continue
		}
		verbs := []string{"*"}
		if p.Readonly {
			verbs = readOnly
		}
		r := Rule{By: abacOrigin(p)}
		if p.Namespace != "*" {
			r.Namespace = p.Namespace
		}
		if p.Resource != "" {
			r.PolicyRule = rbacv1.PolicyRule{Verbs: verbs, APIGroups: []string{p.APIGroup}, Resources: []string{p.Resource}}
			out = append(out, r)
		}
		if p.NonResourcePath != "" {
			r.PolicyRule = rbacv1.PolicyRule{Verbs: verbs, NonResourceURLs: []string{p.NonResourcePath}}
			out = append(out, r)
		}
	}
	return out
}
