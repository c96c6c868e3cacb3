package authz

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// files is a store of manifests rather than of a running cluster.
func files() store { return store{cluster.NewBuilder("files", false)} }

func (s store) aggregated(name string, labels map[string]string, selectors ...metav1.LabelSelector) store {
	s.b.Add("rbac.authorization.k8s.io/v1", "ClusterRole", &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, AggregationRule: &rbacv1.AggregationRule{ClusterRoleSelectors: selectors},
		Rules: rules("own core " + name),
	}, cluster.Source{})
	return s
}

func (s store) labelled(name, text string, labels map[string]string) store {
	s.b.Add("rbac.authorization.k8s.io/v1", "ClusterRole", &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Rules: rules(text)}, cluster.Source{})
	return s
}

func label(key string) map[string]string { return map[string]string{key: "true"} }

func labelled(key string) metav1.LabelSelector { return metav1.LabelSelector{MatchLabels: label(key)} }

func may(e *Engine, user, verb, resource, namespace string) bool {
	a := Request(verb, "", resource, namespace, "").By(NewUser(user))
	return e.Authorize(&a).Decision == Allow
}

func TestAggregation(t *testing.T) {
	s := files().
		aggregated("top", nil, labelled("to-top")).
		aggregated("middle", label("to-top"), labelled("to-middle")).
		aggregated("ring-a", label("ring-b"), labelled("ring-a")).
		aggregated("ring-b", label("ring-a"), labelled("ring-b")).
		aggregated("bad", nil, metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "x", Operator: "Nonsense"}}}).
		labelled("leaf", "get core leaves", label("to-middle")).
		labelled("round", "get core rings", label("ring-a"))
	for _, role := range []string{"top", "middle", "ring-a", "ring-b", "bad"} {
		s.bind("", role, "ClusterRole", role, "User "+role)
	}
	e := s.engine()
	for user, want := range map[string]string{"top": "leaves", "middle": "leaves", "ring-a": "rings", "ring-b": "rings"} {
		if !may(e, user, "get", want, "") {
			t.Errorf("%s may not get %s", user, want)
		}
		if may(e, user, "own", user, "") {
			t.Errorf("%s has kept its own rules", user)
		}
	}
	if !may(e, "bad", "own", "bad", "") {
		t.Error("a role whose selector is no selector has lost its rules")
	}
	if !slices.ContainsFunc(e.Problems(), func(p Problem) bool { return p.Object.Name == "bad" && strings.Contains(p.Text, "Nonsense") }) {
		t.Errorf("the bad selector is not reported: %v", e.Problems())
	}
}

// TestAggregationSettles: for random roles that select each other the rules are those that
// the controller's own rounds come to, begun with nothing, and nothing changes them again.
func TestAggregationSettles(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 300 {
		p := &policy{}
		for i := range 2 + rng.IntN(8) {
			name := fmt.Sprintf("r%d", i)
			r := &roleSource{object: &cluster.Object{Ref: cluster.Ref{Kind: "ClusterRole", Name: name}}, rules: rules("get core " + name), labels: map[string]string{}}
			for range rng.IntN(3) {
				r.labels[fmt.Sprintf("l%d", rng.IntN(3))] = "true"
			}
			if rng.IntN(2) == 0 {
				r.aggregation = &rbacv1.AggregationRule{}
				for range 1 + rng.IntN(2) {
					r.aggregation.ClusterRoleSelectors = append(r.aggregation.ClusterRoleSelectors, labelled(fmt.Sprintf("l%d", rng.IntN(3))))
				}
			}
			p.roles = append(p.roles, r)
		}
		want := map[string]map[string]bool{}
		for _, r := range p.roles {
			want[r.object.Name] = map[string]bool{}
			if r.aggregation == nil {
				want[r.object.Name][ruleKey(&r.rules[0])] = true
			}
		}
		for range p.roles { // as many rounds as the longest chain
			for _, r := range p.roles {
				if r.aggregation == nil {
					continue
				}
				selected, err := r.selects(p.roles)
				if err != nil {
					t.Fatal(err)
				}
				for _, one := range selected {
					for key := range want[one.object.Name] {
						want[r.object.Name][key] = true
					}
				}
			}
		}
		for range 2 {
			p.aggregate(func(cluster.Ref, string, ...any) {})
			for _, r := range p.roles {
				if len(r.rules) != len(want[r.object.Name]) {
					t.Fatalf("%s has %v, want %v", r.object.Name, r.rules, want[r.object.Name])
				}
				for i := range r.rules {
					if !want[r.object.Name][ruleKey(&r.rules[i])] {
						t.Fatalf("%s has %v, want %v", r.object.Name, r.rules, want[r.object.Name])
					}
				}
			}
		}
	}
}

// TestFilesAreWhatTheyAre: of what every cluster has, files get the ClusterRoles that they
// bind and lack, and nothing else.
func TestFilesAreWhatTheyAre(t *testing.T) {
	e := files().
		bind("", "root", "ClusterRole", "cluster-admin", "User ann").
		bind("shop", "edit", "ClusterRole", "edit", "User bob").
		bind("", "view", "ClusterRole", "view", "User eve").
		labelled("widgets", "get core widgets", label("rbac.authorization.k8s.io/aggregate-to-view")).
		labelled("view", "get core views", nil).
		bind("", "lost", "ClusterRole", "nobody-wrote-it", "User ann").
		engine()
	for _, tt := range []struct {
		user, verb, resource, namespace string
		want                            bool
	}{
		{"ann", "delete", "nodes", "", true},
		{"bob", "create", "pods", "shop", true},
		{"bob", "create", "pods", "bank", false},
		{"bob", "get", "views", "shop", false}, // theirs has no label
		{"eve", "get", "views", "shop", true},
		{"eve", "get", "pods", "shop", false}, // theirs is all that view is
		{"system:kube-scheduler", "create", "pods/binding", "shop", false},
	} {
		if got := may(e, tt.user, tt.verb, tt.resource, tt.namespace); got != tt.want {
			t.Errorf("%+v: got %v", tt, got)
		}
	}
	if a := URL("get", "/version").By(NewUser("joe")); e.Authorize(&a).Decision == Allow {
		t.Error("a binding that is not there counts")
	}
	if got := strings.Join(e.Notes(), "; "); !strings.Contains(got, "cluster-admin, edit") || strings.Contains(got, "view") {
		t.Errorf("it is not said what is assumed: %s", got)
	}
}

// TestDumpsAreWhatTheyAre: what was dumped from a cluster has the rules that hold there.
func TestDumpsAreWhatTheyAre(t *testing.T) {
	s := files()
	s.b.Add("rbac.authorization.k8s.io/v1", "ClusterRole", &rbacv1.ClusterRole{
		ObjectMeta:      metav1.ObjectMeta{Name: "sum", UID: "7c0e"},
		AggregationRule: &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{labelled("part")}},
		Rules:           rules("get core pods"),
	}, cluster.Source{})
	if e := s.bind("", "sum", "ClusterRole", "sum", "User ann").engine(); !may(e, "ann", "get", "pods", "") {
		t.Error("the rules of a dumped role are gone")
	}
}

// TestDefaultsAreAdded: on request what every cluster has counts for files, and theirs go
// before it.
func TestDefaultsAreAdded(t *testing.T) {
	e := New(files().
		bind("", "root", "ClusterRole", "cluster-admin", "User ann").
		bind("shop", "edit", "ClusterRole", "edit", "User bob").
		labelled("widgets", "get core widgets", label("rbac.authorization.k8s.io/aggregate-to-view")).
		labelled("system:discovery", "get /mine", nil).
		b.Snapshot(), Options{Version: "v1.36.3", Defaults: true})
	for _, tt := range []struct {
		user, verb, resource, namespace string
		want                            bool
	}{
		{"ann", "delete", "nodes", "", true},
		{"bob", "create", "pods", "shop", true},
		{"bob", "get", "widgets", "shop", true}, // view is part of edit
		{"bob", "create", "pods", "bank", false},
		{"bob", "create", "roles", "shop", false},
		{"system:kube-scheduler", "create", "pods/binding", "shop", true},
		{"system:serviceaccount:kube-system:node-controller", "delete", "nodes", "", true},
	} {
		if got := may(e, tt.user, tt.verb, tt.resource, tt.namespace); got != tt.want {
			t.Errorf("%+v: got %v", tt, got)
		}
	}
	for _, path := range []string{"/mine", "/version"} { // theirs, and what it lacked
		if a := URL("get", path).By(NewUser("joe")); e.Authorize(&a).Decision != Allow {
			t.Errorf("get %s is not allowed", path)
		}
	}
	if len(e.Notes()) == 0 {
		t.Error("nothing is said of what is assumed")
	}
	live := newStore().bind("", "root", "ClusterRole", "cluster-admin", "User ann").engine()
	if may(live, "ann", "delete", "nodes", "") {
		t.Error("a running cluster without cluster-admin was given one")
	}
}

// TestProtectedRolesStay: the annotation keeps the API server from adding to a role.
func TestProtectedRolesStay(t *testing.T) {
	s := files()
	s.b.Add("rbac.authorization.k8s.io/v1", "ClusterRole", &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{
		Name: "system:discovery", Annotations: map[string]string{rbacv1.AutoUpdateAnnotationKey: "false"},
	}}, cluster.Source{})
	s.b.Add("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "cluster-admin"}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "view"}, Subjects: []rbacv1.Subject{{Kind: "User", Name: "joe"}},
	}, cluster.Source{})
	e := New(s.b.Snapshot(), Options{Version: "v1.36.3", Defaults: true})
	if a := URL("get", "/openapi").By(NewUser("joe")); e.Authorize(&a).Decision == Allow {
		t.Error("a protected role was added to")
	}
	if may(e, "joe", "get", "pods", "") {
		t.Error("a binding of Kubernetes' own that leads to another role was kept")
	}
}

// TestLaws: what holds for every store. More roles and bindings never take a right away;
// names mean nothing; the order of objects decides nothing.
func TestLaws(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	pick := func(from ...string) string { return from[rng.IntN(len(from))] }
	type line struct{ kind, namespace, name, role, text string }
	build := func(lines []line, rename func(string) string) *Engine {
		s := newStore()
		for _, l := range lines {
			if l.kind == "role" {
				s.role(l.namespace, rename(l.name), l.text)
			} else {
				s.bind(l.namespace, l.name, l.kind, rename(l.role), strings.Split(l.text, ";")...)
			}
		}
		return s.engine()
	}
	same := func(s string) string { return s }
	for range 400 {
		var lines []line
		for i := range 12 {
			namespace, name := pick("", "a", "b"), fmt.Sprintf("r%d", i/2)
			if i%2 == 0 {
				lines = append(lines, line{"role", namespace, name, "", pick("get", "list,get", "*") + " " + pick("core", "apps", "*") + " " + pick("pods", "*/exec", "*") + pick("", "", " p")})
			} else {
				lines = append(lines, line{pick("ClusterRole", "Role"), namespace, fmt.Sprintf("b%d", i), name, pick("User ann", "Group devs", "ServiceAccount x", "ServiceAccount a/x;User ann")})
			}
		}
		all, renamed := build(lines, same), build(lines, func(s string) string { return "other-" + s })
		shuffled := slices.Clone(lines)
		rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		mixed, fewer := build(shuffled, same), build(lines[:6], same)
		for _, u := range []User{NewUser("ann"), NewUser("joe", "devs"), ServiceAccount("a", "x"), ServiceAccount("b", "x")} {
			for _, namespace := range []string{"", "a", "b"} {
				for _, resource := range []string{"pods", "pods/exec", "nodes"} {
					a := Request("get", "", resource, namespace, pick("", "p")).By(u)
					want := all.Authorize(&a).Decision
					if got := renamed.Authorize(&a).Decision; got != want {
						t.Fatalf("%s by %s: %s, and %s under other names", a, u.Name, want, got)
					}
					if got := mixed.Authorize(&a).Decision; got != want {
						t.Fatalf("%s by %s: %s, and %s in another order", a, u.Name, want, got)
					}
					if fewer.Authorize(&a).Decision == Allow && want != Allow {
						t.Fatalf("%s by %s is taken away by more roles", a, u.Name)
					}
				}
			}
		}
	}
}

// TestManyRules: a role of a million rules is indexed and asked in linear time.
func TestManyRules(t *testing.T) {
	many := make([]rbacv1.PolicyRule, 1_000_000)
	one := rules("get core pods")[0]
	for i := range many {
		many[i] = one
	}
	many = append(many, rules("delete core nodes")...)
	s := newStore()
	s.b.Add("rbac.authorization.k8s.io/v1", "ClusterRole", &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "many"}, Rules: many}, cluster.Source{})
	e := s.bind("", "many", "ClusterRole", "many", "User ann").engine()
	if !may(e, "ann", "delete", "nodes", "") || may(e, "ann", "delete", "pods", "") {
		t.Error("the last rule is not the one that decides")
	}
}
