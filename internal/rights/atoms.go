// Package rights writes what identities may do, or did, as RBAC's rules: as few as say it,
// and not one right more. It takes rights from roles, from requests that were seen, and
// from ABAC's policies, and tells two sets of rights apart by what they allow, not by how
// they are written. It reads nothing and applies nothing.
package rights

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
)

// An Atom is the smallest right of RBAC: one verb on one resource of one group, on any
// object or on one by name; or one verb on a path. A star is RBAC's.
type Atom struct {
	Verb, Group, Resource string
	// Named limits it to objects called Name; "" is a request without a name then.
	Named bool
	Name  string
	// URL is set for a path, and then Verb alone besides.
	URL string
}

// A Set holds atoms, none of which another one covers once it is reduced.
type Set map[Atom]struct{}

// maxAtoms bounds what one rule may be taken apart into. The largest of Kubernetes' own
// roles has some hundreds.
const maxAtoms = 1 << 20

// Add takes a rule apart.
func (s Set) Add(rule *rbacv1.PolicyRule) error {
	verbs := slices.Compact(slices.Sorted(slices.Values(rule.Verbs)))
	if n := len(verbs) * max(len(rule.APIGroups)*len(rule.Resources)*max(len(rule.ResourceNames), 1), len(rule.NonResourceURLs)); n > maxAtoms || len(s)+n > 4*maxAtoms {
		return fmt.Errorf("a rule gives %d rights one by one, want at most %d", n, maxAtoms)
	}
	for _, verb := range verbs {
		for _, url := range rule.NonResourceURLs {
			if strings.HasSuffix(url, "**") { // which is one
				url = strings.TrimRight(url, "*") + "*"
			}
			s[Atom{Verb: verb, URL: url}] = struct{}{}
		}
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				a := Atom{Verb: verb, Group: group, Resource: resource}
				if len(rule.ResourceNames) == 0 {
					s[a] = struct{}{}
				}
				for _, name := range rule.ResourceNames {
					a.Named, a.Name = true, name
					s[a] = struct{}{}
				}
			}
		}
	}
	return nil
}

// Covers reports whether one atom of the set gives all that a gives, as
// ruleCovers in k8s.io/component-helpers/auth/rbac/validation/policy_comparator.go.
func (s Set) Covers(a Atom) bool {
	for wider := range a.wider() {
		if _, ok := s[wider]; ok {
			return true
		}
	}
	return false
}

// wider are all atoms that cover a, itself the first.
func (a Atom) wider() iter.Seq[Atom] {
	return func(yield func(Atom) bool) {
		verbs := [...]string{a.Verb, "*"}
		if a.URL != "" {
			for _, verb := range verbs {
				for url := range widerURLs(a.URL) {
					if !yield(Atom{Verb: verb, URL: url}) {
						return
					}
				}
			}
			return
		}
		resources := []string{a.Resource, "*"}
		if _, sub, ok := strings.Cut(a.Resource, "/"); ok {
			resources = append(resources, "*/"+sub)
		}
		for _, verb := range verbs {
			for _, group := range [...]string{a.Group, "*"} {
				for _, resource := range resources {
					w := Atom{Verb: verb, Group: group, Resource: resource, Named: a.Named, Name: a.Name}
					if !yield(w) {
						return
					}
					if w.Named {
						w.Named, w.Name = false, ""
						if !yield(w) {
							return
						}
					}
				}
			}
		}
	}
}

// widerURLs are the patterns that match whatever a path or pattern does, itself the first.
func widerURLs(url string) iter.Seq[string] {
	return func(yield func(string) bool) {
		if !yield(url) {
			return
		}
		base := strings.TrimRight(url, "*")
		for n := len(base); n >= 0; n-- {
			if p := base[:n] + "*"; p != url && (n == 0 || base[n-1] != '*') && !yield(p) {
				return
			}
		}
	}
}

// Reduce drops the atoms that others cover.
func (s Set) Reduce() {
	for a := range s {
		for wider := range a.wider() {
			if _, ok := s[wider]; ok && wider != a {
				delete(s, a)
				break
			}
		}
	}
}

// Without returns the atoms that other does not cover.
func (s Set) Without(other Set) Set {
	out := Set{}
	for a := range s {
		if !other.Covers(a) {
			out[a] = struct{}{}
		}
	}
	return out
}

// Rules are the rules that give exactly the set: atoms are put into one rule only where
// every verb goes with every resource and name. Rules with stars come first.
func (s Set) Rules() []rbacv1.PolicyRule {
	// For every resource and name the verbs; then for every resource and such verbs the
	// names; then for every group, verbs and names the resources; then the groups.
	verbsOf := map[Atom][]string{}
	for a := range s {
		verb := a.Verb
		a.Verb = ""
		verbsOf[a] = append(verbsOf[a], verb)
	}
	type named struct{ group, resource, verbs, url string }
	namesOf := map[named][]string{}
	anyOf := map[named]bool{}
	for a, verbs := range verbsOf {
		slices.Sort(verbs)
		key := named{a.Group, a.Resource, join(verbs), a.URL}
		if a.Named {
			namesOf[key] = append(namesOf[key], a.Name)
		} else {
			anyOf[key] = true
		}
	}
	type placed struct {
		group, verbs, names string
		any, url            bool
	}
	resourcesOf := map[placed][]string{}
	add := func(key named, names []string, all bool) {
		slices.Sort(names)
		at := placed{key.group, key.verbs, join(names), all, key.url != ""}
		what := key.resource
		if at.url {
			what = key.url
		}
		resourcesOf[at] = append(resourcesOf[at], what)
	}
	for key := range anyOf {
		add(key, nil, true)
	}
	for key, names := range namesOf {
		add(key, names, false)
	}
	type grouped struct {
		verbs, names, resources string
		any, url                bool
	}
	groupsOf := map[grouped][]string{}
	for at, resources := range resourcesOf {
		slices.Sort(resources)
		key := grouped{at.verbs, at.names, join(resources), at.any, at.url}
		groupsOf[key] = append(groupsOf[key], at.group)
	}
	out := make([]rbacv1.PolicyRule, 0, len(groupsOf))
	for key, groups := range groupsOf {
		rule := rbacv1.PolicyRule{Verbs: order(split(key.verbs))}
		if key.url {
			rule.NonResourceURLs = split(key.resources)
		} else {
			slices.Sort(groups)
			rule.APIGroups, rule.Resources = groups, split(key.resources)
			if !key.any {
				rule.ResourceNames = split(key.names)
			}
		}
		out = append(out, rule)
	}
	slices.SortFunc(out, compareRules)
	return out
}

// compareRules puts stars first, paths last, and the rest in the order of groups,
// resources and names.
func compareRules(a, b rbacv1.PolicyRule) int {
	return cmp.Or(
		cmp.Compare(min(len(a.NonResourceURLs), 1), min(len(b.NonResourceURLs), 1)),
		-cmp.Compare(stars(&a), stars(&b)),
		slices.Compare(a.APIGroups, b.APIGroups), slices.Compare(a.Resources, b.Resources),
		slices.Compare(a.NonResourceURLs, b.NonResourceURLs),
		cmp.Compare(len(a.ResourceNames), len(b.ResourceNames)), slices.Compare(a.ResourceNames, b.ResourceNames),
		slices.Compare(a.Verbs, b.Verbs),
	)
}

func stars(rule *rbacv1.PolicyRule) int {
	n := 0
	for _, list := range [][]string{rule.Resources, rule.Verbs, rule.APIGroups, rule.NonResourceURLs} {
		if slices.Contains(list, "*") {
			n++
		}
	}
	return n
}

// verbOrder is how people read them; others follow in the order of letters.
var verbOrder = []string{"*", "get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}

func order(verbs []string) []string {
	rank := func(verb string) int {
		if i := slices.Index(verbOrder, verb); i >= 0 {
			return i
		}
		return len(verbOrder)
	}
	slices.SortFunc(verbs, func(a, b string) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a, b)) })
	return verbs
}

// join and split make a list a key: every word behind its length.
func join(list []string) string {
	var b []byte
	for _, w := range list {
		b = strconv.AppendInt(b, int64(len(w)), 10)
		b = append(append(b, ':'), w...)
	}
	return string(b)
}

func split(key string) []string {
	var list []string
	for key != "" {
		length, rest, _ := strings.Cut(key, ":")
		n, _ := strconv.Atoi(length)
		list, key = append(list, rest[:n]), rest[n:]
	}
	return list
}
