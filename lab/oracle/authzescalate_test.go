package oracle

import (
	"context"
	"reflect"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/component-helpers/auth/rbac/validation"
	"k8s.io/kubernetes/pkg/apis/rbac"
	rbacv1conversion "k8s.io/kubernetes/pkg/apis/rbac/v1"
	clusterrole "k8s.io/kubernetes/pkg/registry/rbac/clusterrole/policybased"
	clusterrolebinding "k8s.io/kubernetes/pkg/registry/rbac/clusterrolebinding/policybased"
	role "k8s.io/kubernetes/pkg/registry/rbac/role/policybased"
	rolebinding "k8s.io/kubernetes/pkg/registry/rbac/rolebinding/policybased"

	"github.com/bulwark-k8s/bulwark/internal/authz"
)

// TestCovers: the same rules are covered, and the same acts are missing.
func TestCovers(t *testing.T) {
	m := newMaker(21)
	covered, n := 0, scaled(30_000)
	for range n {
		owner, servant := m.rules(4), m.rules(2)
		if m.maybe(0.5) {
			servant = append(servant, owner...)
		}
		ok, missing := authz.Covers(owner, servant)
		wantOK, wantMissing := validation.Covers(owner, servant)
		if ok != wantOK || len(missing)+len(wantMissing) > 0 && !reflect.DeepEqual(missing, wantMissing) {
			t.Fatalf("owner %v\nservant %v\nours %v %v\nwant %v %v", owner, servant, ok, missing, wantOK, wantMissing)
		}
		if ok {
			covered++
		}
	}
	t.Logf("%d pairs, %d covered", n, covered)
	if covered < n/10 || covered > n*9/10 {
		t.Error("the pairs do not cover both outcomes")
	}
}

// A shelf stores whatever passes the storage before it.
type shelf struct {
	rest.StandardStorage
	old runtime.Object
}

func (s shelf) Create(_ context.Context, o runtime.Object, _ rest.ValidateObjectFunc, _ *metav1.CreateOptions) (runtime.Object, error) {
	return o, nil
}

func (s shelf) Update(ctx context.Context, _ string, o rest.UpdatedObjectInfo, _ rest.ValidateObjectFunc, _ rest.ValidateObjectUpdateFunc, _ bool, _ *metav1.UpdateOptions) (runtime.Object, bool, error) {
	updated, err := o.UpdatedObject(ctx, s.old)
	return updated, false, err
}

// write has the storage do what a request asks; an error is the refusal.
func write(s rest.StandardStorage, a *authz.Attributes, o runtime.Object) error {
	r := theirs(a)
	ctx := request.WithUser(context.Background(), r.User)
	ctx = request.WithNamespace(ctx, a.Namespace)
	ctx = request.WithRequestInfo(ctx, &request.RequestInfo{
		IsResourceRequest: true, Verb: a.Verb, APIGroup: a.Group, Resource: a.Resource, Name: a.Name, Namespace: a.Namespace,
	})
	if a.Verb == "create" {
		_, err := s.Create(ctx, o, nil, nil)
		return err
	}
	_, _, err := s.Update(ctx, a.Name, rest.DefaultUpdatedObjectInfo(o), nil, nil, false, nil)
	return err
}

func internalRules(t *testing.T, rules []rbacv1.PolicyRule) []rbac.PolicyRule {
	t.Helper()
	out := make([]rbac.PolicyRule, len(rules))
	for i := range rules {
		if err := rbacv1conversion.Convert_v1_PolicyRule_To_rbac_PolicyRule(&rules[i], &out[i], nil); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// TestEscalation holds random writes of roles and bindings against the storages that
// refuse to give away more than one has.
func TestEscalation(t *testing.T) {
	m := newMaker(31)
	allowed, refused := 0, 0
	for range scaled(1200) {
		w := m.world()
		e, server := authz.New(w.snapshot(), authz.Options{}), w.server()
		resolver, _ := w.resolver()
		for range 12 {
			u := m.likely(w).User
			namespace := pick(m.generator, "", "a", "b")
			verb, name := "create", ""
			if m.maybe(0.5) {
				verb, name = "update", pick(m.generator, "r0", "r1")
			}
			rules := m.rules(1)
			if m.maybe(0.5) { // something that they may well have
				if owned := e.RulesFor(u, namespace); len(owned) > 0 {
					rules = append(rules[:0], pick(m.generator, owned...).PolicyRule)
				}
			}
			a := authz.Request(verb, rbacv1.GroupName, "clusterroles", namespace, name).By(u)
			if namespace != "" {
				a.Resource = "roles"
			}
			change := authz.RoleChange{Rules: rules}
			var err error
			if namespace == "" {
				o, old := &rbac.ClusterRole{Rules: internalRules(t, rules)}, new(rbac.ClusterRole)
				o.Labels = map[string]string{"changed": "true"} // so that more than the garbage collector's fields are
				selects := &rbac.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{{}}}
				switch m.IntN(4) {
				case 0:
					o.AggregationRule, change.Aggregates = selects, true
				case 1:
					old.AggregationRule, change.Aggregates = selects, verb == "update"
				}
				err = write(clusterrole.NewStorage(shelf{old: old}, server, resolver), &a, o)
			} else {
				o := &rbac.Role{Rules: internalRules(t, rules)}
				o.Labels = map[string]string{"changed": "true"}
				err = write(role.NewStorage(shelf{old: new(rbac.Role)}, server, resolver), &a, o)
			}
			r := theirs(&a)
			if decision, _, _ := server.Authorize(context.Background(), &r); decision != authorizer.DecisionAllow {
				err = context.Canceled // refused before it came to the storage
			}
			got := e.MayWriteRole(a, change)
			if (got.Decision == authz.Allow) != (err == nil) {
				t.Fatalf("%s by %v of %v: ours is %s (%v), the storage says %v\n%s", a, u, change, got.Decision, got.Missing, err, w)
			}

			ref := rbac.RoleRef{APIGroup: rbac.GroupName, Kind: pick(m.generator, "ClusterRole", "Role"), Name: pick(m.generator, "r0", "r1", "r2")}
			if namespace == "" {
				err = write(clusterrolebinding.NewStorage(shelf{old: new(rbac.ClusterRoleBinding)}, server, resolver), &a, &rbac.ClusterRoleBinding{RoleRef: ref})
			} else {
				err = write(rolebinding.NewStorage(shelf{old: new(rbac.RoleBinding)}, server, resolver), &a, &rbac.RoleBinding{RoleRef: ref})
			}
			bind := e.MayBind(u, rbacv1.RoleRef{APIGroup: ref.APIGroup, Kind: ref.Kind, Name: ref.Name}, namespace)
			if (bind.Decision == authz.Allow) != (err == nil) {
				t.Fatalf("binding %v in %q by %v: ours is %s (%v), the storage says %v\n%s", ref, namespace, u, bind.Decision, bind.Missing, err, w)
			}
			for _, g := range []authz.Gift{got, bind} {
				if g.Decision == authz.Allow {
					allowed++
				} else {
					refused++
				}
			}
		}
	}
	t.Logf("%d writes allowed, %d refused, no difference", allowed, refused)
	if allowed < refused/20 || refused < allowed/20 {
		t.Error("the writes do not cover both outcomes")
	}
}
