package authz

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// A policy is the roles and bindings that hold: those of the Snapshot and, where it is no
// running cluster, what such a cluster makes of them.
type policy struct {
	roles    []*roleSource
	bindings []*bindingSource
	byRef    map[cluster.Ref]*roleSource
}

// A roleSource is a Role or ClusterRole with the rules that hold.
type roleSource struct {
	object      *cluster.Object
	rules       []rbacv1.PolicyRule
	labels      map[string]string
	aggregation *rbacv1.AggregationRule
}

// A bindingSource is a RoleBinding or ClusterRoleBinding with the subjects that hold.
type bindingSource struct {
	object    *cluster.Object
	namespace string
	role      rbacv1.RoleRef
	subjects  []rbacv1.Subject
}

// policyOf reads what holds. In files the controller of aggregated roles has not been at
// work. ClusterRoles of Kubernetes' own that are bound there and not there are taken as
// known; its bindings, and what it would add to roles that are there, only on request: a
// folder may as well be the whole of what a cluster has.
func (e *Engine) policyOf(s *cluster.Snapshot, defaults bool) *policy {
	p := newPolicy(s.Objects())
	if s.Live {
		return p
	}
	if defaults {
		e.note(fmt.Sprintf("the roles and bindings that Kubernetes v1.%d makes for itself are added", latest))
		p.reconcile(bootstrap())
	} else if names := p.complete(bootstrap()); len(names) > 0 {
		e.note(fmt.Sprintf("taken as Kubernetes v1.%d makes them: clusterroles %s", latest, strings.Join(names, ", ")))
	}
	p.aggregate(e.problem)
	return p
}

// complete adds the ClusterRoles of Kubernetes' own that bindings lead to and that are not
// here, with those that they gather. It returns the names of the former.
func (p *policy) complete(own *policy) []string {
	var names []string
	var add func(*roleSource)
	add = func(r *roleSource) {
		if p.byRef[r.object.Ref] != nil {
			return
		}
		p.add(r)
		if r.aggregation == nil {
			return
		}
		if gathered, err := r.selects(own.roles); err == nil {
			for _, one := range gathered {
				add(one)
			}
		}
	}
	for _, b := range p.bindings {
		ref := cluster.Ref{Kind: "ClusterRole", Name: b.role.Name}
		if r := own.byRef[ref]; r != nil && b.role.Kind == ref.Kind && p.byRef[ref] == nil {
			names = append(names, ref.Name)
			add(r)
		}
	}
	slices.Sort(names)
	return names
}

// newPolicy keeps the order of the objects within each kind, cluster-wide ones first.
func newPolicy(objects []*cluster.Object) *policy {
	p := &policy{byRef: map[cluster.Ref]*roleSource{}}
	var local []*bindingSource
	for _, o := range objects {
		switch v := o.Value.(type) {
		case *rbacv1.ClusterRole:
			p.add(&roleSource{o, v.Rules, v.Labels, v.AggregationRule})
		case *rbacv1.Role:
			p.add(&roleSource{o, v.Rules, v.Labels, nil})
		case *rbacv1.ClusterRoleBinding:
			p.bindings = append(p.bindings, &bindingSource{o, "", v.RoleRef, v.Subjects})
		case *rbacv1.RoleBinding:
			local = append(local, &bindingSource{o, o.Namespace, v.RoleRef, v.Subjects})
		}
	}
	p.bindings = append(p.bindings, local...)
	return p
}

func (p *policy) add(r *roleSource) {
	p.roles = append(p.roles, r)
	p.byRef[r.object.Ref] = r
}

// bootstrapObjects are what the API server makes at its start
// (plugin/pkg/auth/authorizer/rbac/bootstrappolicy), written by lab/cmd/lab-bootstrap.
//
//go:embed bootstrap.json
var bootstrapObjects []byte

// bootstrapSource is how objects of the table say where they are from.
var bootstrapSource = cluster.Source{Origin: fmt.Sprintf("Kubernetes v1.%d", latest)}

// Builtin returns the rules of a ClusterRole that every cluster has, nil where it is none.
func Builtin(clusterRole string) []rbacv1.PolicyRule { return builtin()[clusterRole] }

// builtin are the rules once the roles for people are aggregated.
var builtin = sync.OnceValue(func() map[string][]rbacv1.PolicyRule {
	p := bootstrap()
	p.aggregate(func(cluster.Ref, string, ...any) {})
	out := map[string][]rbacv1.PolicyRule{}
	for _, r := range p.roles {
		if r.object.Kind == "ClusterRole" {
			out[r.object.Name] = r.rules
		}
	}
	return out
})

// bootstrap decodes the table.
func bootstrap() *policy {
	var objects []*cluster.Object
	for text := range bytes.Lines(bootstrapObjects) {
		var line struct {
			Kind   string          `json:"kind"`
			Object json.RawMessage `json:"object"`
		}
		var into metav1.Object
		if err := json.Unmarshal(text, &line); err != nil {
			panic(err) // the table is part of the program
		}
		switch line.Kind {
		case "ClusterRole":
			into = new(rbacv1.ClusterRole)
		case "Role":
			into = new(rbacv1.Role)
		case "ClusterRoleBinding":
			into = new(rbacv1.ClusterRoleBinding)
		case "RoleBinding":
			into = new(rbacv1.RoleBinding)
		}
		if err := json.Unmarshal(line.Object, into); err != nil {
			panic(err)
		}
		objects = append(objects, &cluster.Object{
			Ref:        cluster.Ref{Kind: line.Kind, Namespace: into.GetNamespace(), Name: into.GetName()},
			APIVersion: rbacv1.SchemeGroupVersion.String(), Meta: into.(metav1.ObjectMetaAccessor).GetObjectMeta().(*metav1.ObjectMeta),
			Value: into, Source: bootstrapSource,
		})
	}
	return newPolicy(objects)
}

// reconcile adds what the API server makes at its start, as ensureRBACPolicy in
// pkg/registry/rbac/rest/storage_rbac.go: objects of the same name keep what they have and
// get what they lack, unless an annotation forbids it.
func (p *policy) reconcile(own *policy) {
	for _, r := range own.roles {
		have := p.byRef[r.object.Ref]
		switch {
		case have == nil:
			p.add(r)
		case !protected(have.object):
			have.reconcile(r)
		}
	}
	byRef := map[cluster.Ref]*bindingSource{}
	for _, b := range p.bindings {
		byRef[b.object.Ref] = b
	}
	for _, b := range own.bindings {
		have := byRef[b.object.Ref]
		switch {
		case have == nil:
			p.bindings = append(p.bindings, b)
		case protected(have.object):
		default:
			have.reconcile(b)
		}
	}
}

// reconcile is computeReconciledRoleBinding in
// k8s.io/component-helpers/auth/rbac/reconciliation/reconcile_rolebindings.go: one to another
// role is replaced.
func (b *bindingSource) reconcile(want *bindingSource) {
	if b.role.Kind != want.role.Kind || b.role.Name != want.role.Name {
		*b = *want
		return
	}
	for _, s := range want.subjects {
		same := func(have rbacv1.Subject) bool {
			return have.Kind == s.Kind && have.Namespace == s.Namespace && have.Name == s.Name
		}
		if !slices.ContainsFunc(b.subjects, same) {
			b.subjects = append(slices.Clip(b.subjects), s)
		}
	}
}

// protected reports whether the API server leaves an object as it is.
func protected(o *cluster.Object) bool {
	return o.Meta.Annotations[rbacv1.AutoUpdateAnnotationKey] == "false"
}

// reconcile is computeReconciledRole in
// k8s.io/component-helpers/auth/rbac/reconciliation/reconcile_role.go.
func (r *roleSource) reconcile(want *roleSource) {
	if _, missing := Covers(r.rules, want.rules); len(missing) > 0 {
		r.rules = append(slices.Clip(r.rules), missing...)
	}
	all := maps.Clone(want.labels)
	maps.Copy(all, r.labels)
	r.labels = all
	if want.aggregation == nil {
		r.aggregation = nil
		return
	}
	var selectors []metav1.LabelSelector
	if r.aggregation != nil {
		selectors = r.aggregation.ClusterRoleSelectors
	}
	for _, s := range want.aggregation.ClusterRoleSelectors {
		if !slices.ContainsFunc(selectors, func(have metav1.LabelSelector) bool { return equality.Semantic.DeepEqual(have, s) }) {
			selectors = append(slices.Clip(selectors), s)
		}
	}
	r.aggregation = &rbacv1.AggregationRule{ClusterRoleSelectors: selectors}
}

// aggregate gives aggregated roles the rules of those that they select, as the controller
// does (pkg/controller/clusterroleaggregation): in the order of selectors and names, each
// rule once. Their own rules are lost. It repeats itself until nothing changes, so what is
// selected by what is selected counts too; of roles that select each other, each has what
// the others select.
func (p *policy) aggregate(problem func(cluster.Ref, string, ...any)) {
	var sorted []*roleSource
	for _, r := range p.roles {
		if r.object.Kind == "ClusterRole" {
			sorted = append(sorted, r)
		}
	}
	slices.SortFunc(sorted, func(a, b *roleSource) int { return strings.Compare(a.object.Name, b.object.Name) })
	selected := map[*roleSource][]*roleSource{}
	for _, r := range sorted {
		// What has a UID was dumped from a running cluster, with the rules that the
		// controller gave it.
		if r.aggregation == nil || r.object.Meta != nil && r.object.Meta.UID != "" {
			continue
		}
		list, err := r.selects(sorted)
		if err != nil {
			problem(r.object.Ref, "aggregationRule: %v", err)
			continue
		}
		selected[r] = list
	}
	results := map[*roleSource][]rbacv1.PolicyRule{}
	for r := range selected {
		var out []rbacv1.PolicyRule
		seen, rules := map[*roleSource]bool{r: true}, map[string]bool{}
		var gather func(*roleSource)
		gather = func(of *roleSource) {
			for _, one := range selected[of] {
				if seen[one] {
					continue
				}
				seen[one] = true
				if _, aggregated := selected[one]; aggregated {
					gather(one)
					continue
				}
				for _, rule := range one.rules {
					if key := ruleKey(&rule); !rules[key] {
						rules[key] = true
						out = append(out, rule)
					}
				}
			}
		}
		gather(r)
		results[r] = out
	}
	for _, r := range sorted {
		out, ok := results[r]
		if !ok {
			continue
		}
		if _, lost := Covers(out, r.rules); len(lost) > 0 {
			problem(r.object.Ref, "its own rules are replaced by those that its aggregationRule selects, which lack %d of them", len(lost))
		}
		r.rules = out
	}
}

func (r *roleSource) selects(sorted []*roleSource) ([]*roleSource, error) {
	var out []*roleSource
	for i := range r.aggregation.ClusterRoleSelectors {
		selector, err := metav1.LabelSelectorAsSelector(&r.aggregation.ClusterRoleSelectors[i])
		if err != nil {
			return nil, fmt.Errorf("clusterRoleSelectors[%d]: %w", i, err)
		}
		for _, one := range sorted {
			if one != r && selector.Matches(labels.Set(one.labels)) {
				out = append(out, one)
			}
		}
	}
	return out, nil
}

// ruleKey is the same for rules that are equal word for word.
func ruleKey(r *rbacv1.PolicyRule) string {
	var b strings.Builder
	for _, list := range [][]string{r.Verbs, r.APIGroups, r.Resources, r.ResourceNames, r.NonResourceURLs} {
		for _, x := range list {
			fmt.Fprintf(&b, "%q,", x)
		}
		b.WriteByte(';')
	}
	return b.String()
}
