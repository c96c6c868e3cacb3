package rights

import (
	"maps"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"

	"github.com/bulwark-k8s/bulwark/internal/authz"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// A Part is what somebody has in some namespaces, the same in each; in none it is everywhere.
type Part struct {
	Namespaces []string            `json:"namespaces,omitempty"`
	Rules      []rbacv1.PolicyRule `json:"rules"`
}

// parts writes sets by namespace, everywhere first, and namespaces with the same together.
func parts(sets map[string]Set) []Part {
	var out []Part
	at := map[string]int{}
	for _, namespace := range slices.Sorted(maps.Keys(sets)) {
		rules := sets[namespace].Rules()
		if len(rules) == 0 {
			continue
		}
		if namespace == "" {
			out = append(out, Part{Rules: rules})
			continue
		}
		key := keyOf(rules)
		if n, ok := at[key]; ok {
			out[n].Namespaces = append(out[n].Namespaces, namespace)
			continue
		}
		at[key] = len(out)
		out = append(out, Part{Namespaces: []string{namespace}, Rules: rules})
	}
	return out
}

// keyOf tells lists of rules apart.
func keyOf(rules []rbacv1.PolicyRule) string {
	var key []string
	for _, r := range rules {
		for _, list := range [][]string{r.Verbs, r.APIGroups, r.Resources, r.ResourceNames, r.NonResourceURLs} {
			key = append(key, join(list))
		}
	}
	return join(key)
}

// Held is what somebody may do.
type Held struct {
	// Parts are the rights, merged: what stars cover is not repeated, nor in a namespace
	// what holds everywhere.
	Parts []Part
	// Rules are the same as they were given, each with where from.
	Rules []authz.Rule
	// Unknown are the reasons why there may be more.
	Unknown []string
}

// HeldBy collects what a user has, everywhere and in each of the namespaces.
func HeldBy(engine *authz.Engine, who authz.User, namespaces []string) (*Held, error) {
	out := new(Held)
	sets := map[string]Set{}
	for _, namespace := range append([]string{""}, namespaces...) {
		set := Set{}
		for _, rule := range engine.RulesFor(who, namespace) {
			switch {
			case rule.Unknown:
				if why := rule.By.String(); !slices.Contains(out.Unknown, why) {
					out.Unknown = append(out.Unknown, why)
				}
				continue
			case rule.Namespace != namespace:
				continue
			}
			out.Rules = append(out.Rules, rule)
			if err := set.Add(&rule.PolicyRule); err != nil {
				return nil, err
			}
		}
		set.Reduce()
		if namespace != "" {
			set = set.Without(sets[""])
		}
		sets[namespace] = set
	}
	out.Parts = parts(sets)
	return out, nil
}

// A Change is what a subject gained and lost between two snapshots.
type Change struct {
	Subject      cluster.Subject
	Gained, Lost []Part
}

// Diff says who may do more or less by RBAC's bindings in the newer snapshot. What somebody
// has through a group that they are always in is not lost where it is the group's, and what
// a group gains is said of the group.
func Diff(older, newer *cluster.Snapshot) ([]Change, error) {
	a, err := bound(older)
	if err != nil {
		return nil, err
	}
	b, err := bound(newer)
	if err != nil {
		return nil, err
	}
	subjects := maps.Clone(a)
	maps.Copy(subjects, b)
	var out []Change
	for _, s := range slices.SortedFunc(maps.Keys(subjects), func(x, y cluster.Subject) int {
		return strings.Compare(x.Kind+"\x00"+x.Namespace+"\x00"+x.Name, y.Kind+"\x00"+y.Namespace+"\x00"+y.Name)
	}) {
		c := Change{s, parts(missing(b, a, s)), parts(missing(a, b, s))}
		if len(c.Gained)+len(c.Lost) > 0 {
			out = append(out, c)
		}
	}
	return out, nil
}

// missing is what a subject itself is given in one and has in no way in the other.
func missing(one, other map[cluster.Subject]map[string]Set, s cluster.Subject) map[string]Set {
	out := map[string]Set{}
	for namespace, set := range one[s] {
		for _, is := range append(always(s), s) {
			set = set.Without(other[is][""])
			if namespace != "" {
				set = set.Without(other[is][namespace])
			}
		}
		out[namespace] = set
	}
	for namespace, set := range out {
		set.Reduce()
		if namespace != "" {
			out[namespace] = set.Without(out[""])
		}
	}
	return out
}

// always are the groups that a subject is in, whoever it is.
func always(s cluster.Subject) []cluster.Subject {
	group := func(name string) cluster.Subject { return cluster.Subject{Kind: rbacv1.GroupKind, Name: name} }
	switch {
	case s.Kind == rbacv1.ServiceAccountKind:
		out := []cluster.Subject{group("system:authenticated")}
		for _, name := range serviceaccount.MakeGroupNames(s.Namespace) {
			out = append(out, group(name))
		}
		return out
	case s.Kind == rbacv1.UserKind && s.Name == "system:anonymous":
		return []cluster.Subject{group("system:unauthenticated")}
	case s.Kind == rbacv1.UserKind, s.Kind == rbacv1.GroupKind && strings.HasPrefix(s.Name, "system:serviceaccounts:"):
		out := []cluster.Subject{group("system:authenticated")}
		if s.Kind == rbacv1.GroupKind {
			out = append(out, group("system:serviceaccounts"))
		}
		return out
	}
	return nil
}

// bound are the rights that bindings give, by subject and namespace.
func bound(s *cluster.Snapshot) (map[cluster.Subject]map[string]Set, error) {
	engine := authz.New(s, authz.Options{Authorizers: []cluster.Authorizer{{Type: "RBAC"}}})
	where := map[cluster.Subject]map[string][]*cluster.Binding{}
	for _, b := range s.Bindings() {
		for _, subject := range b.Subjects {
			if subject.Kind == rbacv1.UserKind {
				if namespace, name, err := serviceaccount.SplitUsername(subject.Name); err == nil {
					subject = cluster.ServiceAccount(namespace, name)
				}
			}
			if where[subject] == nil {
				where[subject] = map[string][]*cluster.Binding{}
			}
			where[subject][b.Namespace] = append(where[subject][b.Namespace], b)
		}
	}
	out := map[cluster.Subject]map[string]Set{}
	for subject, namespaces := range where {
		who := authz.User{Name: subject.Name}
		switch subject.Kind {
		case rbacv1.ServiceAccountKind:
			who.Name = serviceaccount.MakeUsername(subject.Namespace, subject.Name)
		case rbacv1.GroupKind:
			who = authz.User{Groups: []string{subject.Name}}
		}
		out[subject] = map[string]Set{}
		for namespace, bindings := range namespaces {
			set, known := Set{}, map[*cluster.Object]bool{}
			for _, rule := range engine.RulesFor(who, namespace) {
				if rule.Namespace != namespace || rule.Unknown || rule.By.Binding == nil {
					continue
				}
				known[rule.By.Binding] = true
				if err := set.Add(&rule.PolicyRule); err != nil {
					return nil, err
				}
			}
			// Manifests may bind a role that is not among them. What it gives is the same
			// as long as it is bound.
			for _, b := range bindings {
				if b.Role == nil && !s.Live && !known[b.Object] {
					set[Atom{Verb: "whatever", Resource: strings.ToLower(b.RoleRef.Kind) + " " + b.RoleRef.Name + " gives"}] = struct{}{}
				}
			}
			set.Reduce()
			out[subject][namespace] = set
		}
	}
	return out, nil
}
