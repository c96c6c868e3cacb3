package rights

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"

	"github.com/bulwark-k8s/bulwark/internal/apiresource"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// A Remainder is what RBAC does not give of an ABAC policy.
type Remainder struct {
	Line int    `json:"line"`
	Text string `json:"text"`
	// Nothing is true where the policy gives nobody anything anyway.
	Nothing bool `json:"nothing,omitempty"`
}

func (r Remainder) String() string { return fmt.Sprintf("line %d %s", r.Line, r.Text) }

// FromABAC writes ABAC's policies as roles and bindings, by subject, that allow the same
// requests and never more (k8s.io/kubernetes/pkg/auth/authorizer/abac/abac.go), and says
// what of them it cannot. Requests are those of the API: one on nodes is in no namespace.
func FromABAC(policies []cluster.ABACPolicy, prefix string) (objects []any, rest []Remainder) {
	bySubject := map[rbacv1.Subject]map[string]Set{}
	for i := range policies {
		p := abacPolicy{ABACPolicy: &policies[i], rest: &rest}
		subject, ok := p.subject()
		if !ok {
			continue
		}
		if bySubject[subject] == nil {
			bySubject[subject] = map[string]Set{}
		}
		p.in = bySubject[subject]
		p.resources()
		p.paths()
	}
	names := Namer{Prefix: prefix}
	for _, subject := range slices.SortedFunc(maps.Keys(bySubject), compareSubjects) {
		sets := bySubject[subject]
		for _, set := range sets {
			set.Reduce()
		}
		for namespace, set := range sets {
			if namespace != "" {
				sets[namespace] = set.Without(sets[""])
			}
		}
		maps.DeleteFunc(sets, func(_ string, set Set) bool { return len(set) == 0 })
		if len(sets) > 0 {
			objects = append(objects, Manifests(names.Name(subject), subject, sets)...)
		}
	}
	return objects, rest
}

func compareSubjects(a, b rbacv1.Subject) int {
	return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
}

// An abacPolicy is one line on its way.
type abacPolicy struct {
	*cluster.ABACPolicy
	in   map[string]Set
	rest *[]Remainder
}

func (p *abacPolicy) leave(format string, args ...any) {
	*p.rest = append(*p.rest, Remainder{Line: p.Line, Text: fmt.Sprintf(format, args...)})
}

func (p *abacPolicy) nothing(format string, args ...any) {
	*p.rest = append(*p.rest, Remainder{Line: p.Line, Text: fmt.Sprintf(format, args...), Nothing: true})
}

// subject is whom a binding has to name. A policy for a user in a group is for both at
// once, which only a group that the user is always in can be left out of.
func (p *abacPolicy) subject() (rbacv1.Subject, bool) {
	switch {
	case p.User == "" && p.Group == "":
		p.nothing("names neither user nor group, so it is for nobody")
		return rbacv1.Subject{}, false
	case p.User == "":
		return rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: p.Group}, true
	case p.Group == "" || p.always():
		return SubjectOf(p.User), true
	}
	p.leave("is for user %s only while in group %s: no binding asks for both", p.User, p.Group)
	return rbacv1.Subject{}, false
}

// always reports whether authentication puts the user into the group. An impersonator may
// ask for a service account without its groups, and then has less by ABAC.
func (p *abacPolicy) always() bool {
	if p.Group == "system:authenticated" {
		return p.User != "system:anonymous"
	}
	namespace, _, err := serviceaccount.SplitUsername(p.User)
	return err == nil && slices.Contains(serviceaccount.MakeGroupNames(namespace), p.Group)
}

func (p *abacPolicy) add(namespace string, verbs []string, group string, resources ...string) {
	set := p.in[namespace]
	if set == nil {
		set = Set{}
		p.in[namespace] = set
	}
	for _, verb := range verbs {
		for _, resource := range resources {
			set[Atom{Verb: verb, Group: group, Resource: resource}] = struct{}{}
		}
	}
}

func (p *abacPolicy) verbs() []string {
	if p.Readonly {
		return []string{"get", "list", "watch"}
	}
	return []string{"*"}
}

func (p *abacPolicy) resources() {
	switch {
	case p.Resource == "":
		if p.NonResourcePath == "" {
			p.nothing("names neither resource nor path, so it gives nothing")
		}
	case strings.Contains(p.Resource, "/"):
		p.nothing("gives nothing: ABAC compares a resource without its subresource, and none is called %s", p.Resource)
	case p.Namespace == "":
		p.outside()
	case p.Namespace != "*" && len(validation.IsDNS1123Label(p.Namespace)) > 0:
		p.nothing("gives nothing: no namespace can be called %q", p.Namespace)
	default:
		namespace := p.Namespace
		if namespace == "*" {
			namespace = ""
		}
		p.add(namespace, p.verbs(), p.APIGroup, p.whole(p.Resource)...)
	}
}

// whole is a resource with its subresources, which ABAC gives with it. RBAC has no star
// for them.
func (p *abacPolicy) whole(resource string) []string {
	out := []string{resource}
	if resource == "*" {
		return out
	}
	known := p.known(resource)
	for _, r := range known {
		for _, sub := range r.Subresources {
			out = append(out, resource+"/"+sub)
		}
	}
	if len(known) == 0 || p.APIGroup == "*" {
		// Those that a CustomResourceDefinition can have.
		out = append(out, resource+"/scale", resource+"/status")
		of := "of " + dotted(p.APIGroup, resource)
		if p.APIGroup == "*" {
			of = "that " + resource + " of other groups than Kubernetes' own may have"
		}
		slices.Sort(out)
		out = slices.Compact(out)
		p.leave("also gives subresources %s: %s are in the role", of, strings.Join(out[1:], ", "))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// known are Kubernetes' resources of the policy's group and this name; a star is any.
func (p *abacPolicy) known(resource string) []*apiresource.Resource {
	var out []*apiresource.Resource
	for _, r := range apiresource.All() {
		if (p.APIGroup == "*" || p.APIGroup == r.Group) && (resource == "*" || resource == r.Name) {
			out = append(out, r)
		}
	}
	return out
}

// outside is a policy for the empty namespace: for what is in none, and for lists over all
// of them, but for nothing in one. RBAC gives what it gives outside of namespaces in each
// of them as well, so only what is never in one can be had.
func (p *abacPolicy) outside() {
	of := dotted(p.APIGroup, p.Resource)
	known := p.known(p.Resource)
	lists := false
	for _, r := range known {
		switch {
		case r.Namespaced:
			lists = true
		case r.Group == "" && r.Name == "namespaces":
			// A request on a Namespace is one in it, but for those without a name.
			verbs := []string{"list", "watch"}
			if !p.Readonly {
				verbs = append(verbs, "create", "deletecollection")
			}
			p.add("", verbs, "", r.Name)
		default:
			resources := []string{r.Name}
			for _, sub := range r.Subresources {
				resources = append(resources, r.Name+"/"+sub)
			}
			p.add("", p.verbs(), r.Group, resources...)
		}
	}
	if lists {
		p.leave("gives lists of %s over all namespaces at once, but in none of them: RBAC gives both or none", of)
	}
	if p.Resource == "*" || p.APIGroup == "*" || len(known) == 0 {
		p.leave("gives %s of whatever group, outside of namespaces: of what Kubernetes does not have itself, nothing is in a role", of)
	}
}

// paths are the policy's paths, which are in no namespace, whatever it says. RBAC's
// patterns are the same.
func (p *abacPolicy) paths() {
	if p.NonResourcePath == "" {
		return
	}
	if p.in[""] == nil {
		p.in[""] = Set{}
	}
	verb := "*"
	if p.Readonly {
		verb = "get"
	}
	// Taking it as a rule's, so that it is written as a rule's.
	_ = p.in[""].Add(&rbacv1.PolicyRule{Verbs: []string{verb}, NonResourceURLs: []string{p.NonResourcePath}})
}
