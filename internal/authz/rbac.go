package authz

import (
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// RuleAllows reports whether one rule allows a request, word for word as RuleAllows in
// plugin/pkg/auth/authorizer/rbac/rbac.go and pkg/apis/rbac/v1/evaluation_helpers.go.
func RuleAllows(rule *rbacv1.PolicyRule, a *Attributes) bool {
	if !has(rule.Verbs, a.Verb) {
		return false
	}
	if !a.ResourceRequest {
		return slices.ContainsFunc(rule.NonResourceURLs, func(url string) bool { return urlMatches(url, a.Path) })
	}
	return has(rule.APIGroups, a.Group) &&
		slices.ContainsFunc(rule.Resources, func(r string) bool { return resourceMatches(r, a.Resource, a.Subresource) }) &&
		(len(rule.ResourceNames) == 0 || slices.Contains(rule.ResourceNames, a.Name))
}

// has reports whether the list has the word or a star.
func has(list []string, want string) bool {
	for _, x := range list {
		if x == "*" || x == want {
			return true
		}
	}
	return false
}

// resourceMatches knows a star, resource, resource/sub and */sub; resource/* is nothing.
func resourceMatches(rule, resource, sub string) bool {
	if rule == "*" {
		return true
	}
	if sub == "" {
		return rule == resource
	}
	head, ok := strings.CutSuffix(rule, sub)
	if !ok {
		return false
	}
	head, ok = strings.CutSuffix(head, "/")
	return ok && (head == "*" || head == resource)
}

// urlMatches knows a star, a path, and a path that ends in stars, which stand for any end.
func urlMatches(rule, path string) bool {
	if rule == "*" || rule == path {
		return true
	}
	return strings.HasSuffix(rule, "*") && strings.HasPrefix(path, strings.TrimRight(rule, "*"))
}

// A sieve is a set of words as 64 bits. Two words may share one, so it only says which
// rules need not be looked at; a star fills it.
type sieve uint64

// word adds up to FNV-1a over the words, so that "pods", "/", "exec" needs no string.
func word(parts ...string) sieve {
	h := uint64(14695981039346656037)
	for _, p := range parts {
		for i := range len(p) {
			h = (h ^ uint64(p[i])) * 1099511628211
		}
	}
	return 1 << (h >> 58)
}

func words(list []string) sieve {
	var s sieve
	for _, x := range list {
		if x == "*" {
			return ^sieve(0)
		}
		s |= word(x)
	}
	return s
}

// A sieved rule is looked at only where every sieve lets a request through.
type sieved struct {
	verbs, groups, resources sieve
	urls                     bool
	rule                     *rbacv1.PolicyRule
}

// A question is a request as sieves.
type question struct {
	*Attributes
	verb, group, resource sieve
	// names are others that will do; some says that any will.
	names []string
	some  bool
}

// allows is RuleAllows, for other names too.
func (q *question) allows(rule *rbacv1.PolicyRule) bool {
	if RuleAllows(rule, q.Attributes) {
		return true
	}
	if len(rule.ResourceNames) == 0 || !q.some && !slices.ContainsFunc(q.names, func(name string) bool { return slices.Contains(rule.ResourceNames, name) }) {
		return false
	}
	nameless := *rule
	nameless.ResourceNames = nil
	return RuleAllows(&nameless, q.Attributes)
}

func ask(a *Attributes) question {
	q := question{Attributes: a, verb: word(a.Verb)}
	if !a.ResourceRequest {
		return q
	}
	q.group = word(a.Group)
	if a.Subresource == "" {
		q.resource = word(a.Resource)
	} else {
		q.resource = word(a.Resource, "/", a.Subresource) | word("*/", a.Subresource)
	}
	return q
}

// A role is a Role or ClusterRole with what its rules let through together.
type role struct {
	object *cluster.Object
	all    sieved
	rules  []sieved
}

func newRole(o *cluster.Object, rules []rbacv1.PolicyRule) *role {
	r := &role{object: o, rules: make([]sieved, len(rules))}
	for i := range rules {
		rule := &rules[i]
		s := sieved{words(rule.Verbs), words(rule.APIGroups), words(rule.Resources), len(rule.NonResourceURLs) > 0, rule}
		r.rules[i] = s
		r.all.verbs |= s.verbs
		r.all.groups |= s.groups
		r.all.resources |= s.resources
		r.all.urls = r.all.urls || s.urls
	}
	return r
}

func (s *sieved) lets(q *question) bool {
	if s.verbs&q.verb == 0 {
		return false
	}
	if !q.ResourceRequest {
		return s.urls
	}
	return s.groups&q.group != 0 && s.resources&q.resource != 0
}

// allows returns the first rule that allows the request, or -1.
func (r *role) allows(q *question) int {
	if !r.all.lets(q) {
		return -1
	}
	for i := range r.rules {
		if r.rules[i].lets(q) && q.allows(r.rules[i].rule) {
			return i
		}
	}
	return -1
}

// A grant is a binding with its role.
type grant struct {
	binding *cluster.Object
	role    *role
}

func (g grant) origin(rule int) Origin {
	return Origin{Authorizer: "RBAC", Binding: g.binding, Role: g.role.object, Rule: rule}
}

// grants are what one user or group has: everywhere, and by namespace.
type grants struct {
	everywhere []grant
	in         map[string][]grant
}

// rbac are the roles and bindings of a cluster, indexed by who is bound.
type rbac struct {
	// unread says which list of roles or bindings is missing, if one is.
	unread        string
	users, groups map[string]*grants
	roles         map[cluster.Ref]*role
	// bindings are all that have a role, ClusterRoleBindings under no namespace.
	bindings map[string][]bound
}

// A bound grant has its subjects.
type bound struct {
	grant
	subjects []rbacv1.Subject
}

// index joins bindings and roles as VisitRulesFor in pkg/registry/rbac/validation/rule.go.
func (x *rbac) index(p *policy, problem func(cluster.Ref, string, ...any)) {
	x.users, x.groups, x.bindings = map[string]*grants{}, map[string]*grants{}, map[string][]bound{}
	x.roles = make(map[cluster.Ref]*role, len(p.roles))
	for _, r := range p.roles {
		x.roles[r.object.Ref] = newRole(r.object, r.rules)
	}
	for _, b := range p.bindings {
		o := b.object
		if o.Kind == "RoleBinding" && b.namespace == "" {
			problem(o.Ref, "metadata.namespace is not set, so it holds nowhere")
			continue
		}
		r, why := x.role(b.role, b.namespace)
		if why != "" {
			problem(o.Ref, "%s", why)
			continue
		}
		g := grant{o, r}
		x.bindings[b.namespace] = append(x.bindings[b.namespace], bound{g, b.subjects})
		for i := range b.subjects {
			x.give(g, b.namespace, &b.subjects[i], func(why string) { problem(o.Ref, "subjects[%d] %s", i, why) })
		}
	}
}

// role finds the role that a binding in the namespace, or in none, refers to; or why there
// is none.
func (x *rbac) role(ref rbacv1.RoleRef, namespace string) (r *role, why string) {
	at := cluster.Ref{Kind: ref.Kind, Name: ref.Name}
	switch {
	case ref.Kind == "Role" && namespace == "":
		return nil, "roleRef is a Role, which a ClusterRoleBinding cannot give"
	case ref.Kind == "Role":
		at.Namespace = namespace
	case ref.Kind != "ClusterRole":
		return nil, fmt.Sprintf("roleRef.kind is %q, want Role or ClusterRole", ref.Kind)
	}
	if r = x.roles[at]; r == nil {
		return nil, fmt.Sprintf("roleRef names %s, which is not there", at)
	}
	return r, ""
}

// give notes a grant under the name that its subject goes by. The subject's apiGroup
// decides nothing, and a service account is the user that it logs in as
// (appliesToUser in pkg/registry/rbac/validation/rule.go).
func (x *rbac) give(g grant, namespace string, s *rbacv1.Subject, problem func(string)) {
	under, name, why := subjectName(s, namespace)
	if why != "" {
		problem(why)
		return
	}
	byName := x.users
	if under == rbacv1.GroupKind {
		byName = x.groups
	}
	has := byName[name]
	if has == nil {
		has = new(grants)
		byName[name] = has
	}
	// A subject that is named twice has it once.
	add := func(list []grant) []grant {
		if len(list) > 0 && list[len(list)-1] == g {
			return list
		}
		return append(list, g)
	}
	if namespace == "" {
		has.everywhere = add(has.everywhere)
		return
	}
	if has.in == nil {
		has.in = map[string][]grant{}
	}
	has.in[namespace] = add(has.in[namespace])
}

// subjectName returns whether a subject is a user or a group, and by which name; or why it
// is nobody.
func subjectName(s *rbacv1.Subject, namespace string) (kind, name, why string) {
	switch s.Kind {
	case rbacv1.UserKind, rbacv1.GroupKind:
		return s.Kind, s.Name, ""
	case rbacv1.ServiceAccountKind:
		if s.Namespace != "" {
			namespace = s.Namespace
		}
		if namespace == "" {
			return "", "", "is a service account without a namespace, which is nobody"
		}
		return rbacv1.UserKind, accountPrefix + namespace + ":" + s.Name, ""
	}
	return "", "", "is of kind " + s.Kind + ", which is nobody"
}

func (x *rbac) judge(a *Attributes) (opinion, Origin) {
	if g, rule, ok := x.allow(a); ok {
		return allows, g.origin(rule)
	}
	if x.unread != "" {
		return mayAllow, Origin{Authorizer: "RBAC", Detail: x.unread}
	}
	return none, Origin{}
}

// allow returns the first grant that allows the request, and its rule.
func (x *rbac) allow(a *Attributes) (grant, int, bool) {
	q := ask(a)
	if g, i, ok := x.users[a.User.Name].allow(&q); ok {
		return g, i, true
	}
	for _, group := range a.User.Groups {
		if g, i, ok := x.groups[group].allow(&q); ok {
			return g, i, true
		}
	}
	return grant{}, 0, false
}

func (s *grants) allow(q *question) (grant, int, bool) {
	if s == nil {
		return grant{}, 0, false
	}
	for _, g := range s.everywhere {
		if i := g.role.allows(q); i >= 0 {
			return g, i, true
		}
	}
	if q.Namespace != "" {
		for _, g := range s.in[q.Namespace] {
			if i := g.role.allows(q); i >= 0 {
				return g, i, true
			}
		}
	}
	return grant{}, 0, false
}

// holders adds whoever is bound to a role that allows the request.
func (x *rbac) holders(n *need, out []Holder) []Holder {
	a, q := &n.Attributes, ask(&n.Attributes)
	q.names, q.some = n.names, n.some
	judged := map[*role]int{}
	for _, namespace := range []string{"", a.Namespace} {
		for _, b := range x.bindings[namespace] {
			rule, ok := judged[b.role]
			if !ok {
				rule = b.role.allows(&q)
				judged[b.role] = rule
			}
			if rule < 0 {
				continue
			}
			for i := range b.subjects {
				if _, _, why := subjectName(&b.subjects[i], namespace); why == "" {
					out = append(out, Holder{Subject: subject(&b.subjects[i], namespace), By: b.origin(rule)})
				}
			}
		}
		if a.Namespace == "" {
			break
		}
	}
	if x.unread != "" {
		out = append(out, Holder{Unknown: true, By: Origin{Authorizer: "RBAC", Detail: x.unread}})
	}
	return out
}

func subject(s *rbacv1.Subject, namespace string) cluster.Subject {
	out := cluster.Subject{Kind: s.Kind, Name: s.Name}
	if s.Kind == rbacv1.ServiceAccountKind {
		out.Namespace = namespace
		if s.Namespace != "" {
			out.Namespace = s.Namespace
		}
	}
	return out
}

// rulesFor adds the rules that a user has.
func (x *rbac) rules(u *User, namespace string, out []Rule) []Rule {
	seen := map[grant]bool{}
	add := func(list []grant, namespace string) {
		for _, g := range list {
			if seen[g] {
				continue
			}
			seen[g] = true
			for i := range g.role.rules {
				out = append(out, Rule{PolicyRule: *g.role.rules[i].rule, Namespace: namespace, By: g.origin(i)})
			}
		}
	}
	of := func(s *grants) {
		if s == nil {
			return
		}
		add(s.everywhere, "")
		if namespace != "" {
			add(s.in[namespace], namespace)
		}
	}
	of(x.users[u.Name])
	for _, group := range u.Groups {
		of(x.groups[group])
	}
	return out
}
