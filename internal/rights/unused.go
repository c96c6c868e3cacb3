package rights

import (
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/bulwark-k8s/bulwark/internal/authz"
)

// Unused is what a binding grants that was not used.
type Unused struct {
	// By says through which binding and role.
	By        string `json:"by"`
	Namespace string `json:"namespace,omitempty"`
	// Rights are what was not used, in words; All is true where nothing was used.
	Rights []string `json:"rights"`
	All    bool     `json:"all,omitempty"`
}

func (u Unused) String() string {
	what := strings.Join(u.Rights, "; ")
	if u.All {
		what = "all of it: " + what
	}
	return u.By + ": " + what
}

// UnusedGrants compares what a subject did with what bindings of its own give it. What it
// has through groups that others are in as well is not its own.
func UnusedGrants(s *Subject, engine *authz.Engine, namespaces []string) []Unused {
	who := s.User
	who.Groups = nil
	used := map[string][]authz.Attributes{}
	for at, r := range s.acts {
		resource, sub, _ := strings.Cut(at.resource, "/")
		a := authz.Attributes{Verb: at.verb, Group: at.group, Resource: resource, Subresource: sub, Namespace: at.namespace, Path: at.url, ResourceRequest: at.url == ""}
		if r.any || at.url != "" {
			used[at.namespace] = append(used[at.namespace], a)
		}
		for name := range r.names {
			a.Name = name
			used[at.namespace] = append(used[at.namespace], a)
		}
	}
	var everywhere []authz.Attributes
	for _, list := range used {
		everywhere = append(everywhere, list...)
	}
	var out []Unused
	for _, namespace := range append([]string{""}, namespaces...) {
		did := used[namespace]
		if namespace == "" {
			did = everywhere
		}
		byBinding := map[string]int{}
		for _, rule := range engine.RulesFor(who, namespace) {
			if rule.Namespace != namespace || rule.By.Binding == nil || authz.Default(rule.By.Binding) {
				continue
			}
			left, touched := unusedOf(&rule.PolicyRule, did)
			by := rule.By.Binding.String() + " gives " + rule.By.Role.String()
			n, ok := byBinding[by]
			if !ok {
				n = len(out)
				byBinding[by] = n
				out = append(out, Unused{By: by, Namespace: namespace, All: true})
			}
			out[n].All = out[n].All && !touched
			out[n].Rights = append(out[n].Rights, left...)
		}
	}
	return slices.DeleteFunc(out, func(u Unused) bool { return len(u.Rights) == 0 })
}

// unusedOf returns the rights of a rule that none of the requests needed, in words, and
// whether any of them needed it.
func unusedOf(rule *rbacv1.PolicyRule, did []authz.Attributes) (left []string, touched bool) {
	all, used, wide := Set{}, Set{}, Set{}
	if all.Add(rule) != nil {
		return nil, true // too much to take apart, which rbac.wildcard is for
	}
	for i := range did {
		if !authz.RuleAllows(rule, &did[i]) {
			continue
		}
		touched = true
		needed := atomOf(&did[i])
		for atom := range needed.wider() {
			if _, ok := all[atom]; ok {
				used[atom] = struct{}{}
				if atom.Verb != needed.Verb || atom.Group != needed.Group || atom.Resource != needed.Resource || atom.URL != needed.URL {
					wide[needed] = struct{}{}
				}
			}
		}
	}
	for _, line := range Lines(all.Without(used).Rules()) {
		left = append(left, line.String())
	}
	// Of a star more is granted than was used, whatever was.
	if len(wide) > 0 {
		var needed []string
		for _, line := range Lines(wide.Rules()) {
			needed = append(needed, line.String())
		}
		var given []string
		for _, line := range Lines([]rbacv1.PolicyRule{*rule}) {
			given = append(given, line.String())
		}
		left = append(left, strings.Join(given, ", ")+", of which only "+strings.Join(needed, ", ")+" was used")
	}
	return left, touched
}
