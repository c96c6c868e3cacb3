package authz

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// A store makes Snapshots of roles and bindings that tests write down as a line.
type store struct{ b *cluster.Builder }

func newStore() store { return store{cluster.NewBuilder("test", true)} }

func rules(text string) []rbacv1.PolicyRule {
	var out []rbacv1.PolicyRule
	list := func(s string) []string {
		if s == "-" {
			return nil
		}
		return strings.Split(strings.ReplaceAll(s, "core", ""), ",")
	}
	for line := range strings.SplitSeq(text, ";") { // verbs groups resources [names], or verbs url,...
		f := strings.Fields(line)
		switch {
		case len(f) == 2:
			out = append(out, rbacv1.PolicyRule{Verbs: list(f[0]), NonResourceURLs: list(f[1])})
		case len(f) == 3:
			out = append(out, rbacv1.PolicyRule{Verbs: list(f[0]), APIGroups: list(f[1]), Resources: list(f[2])})
		case len(f) == 4:
			out = append(out, rbacv1.PolicyRule{Verbs: list(f[0]), APIGroups: list(f[1]), Resources: list(f[2]), ResourceNames: list(f[3])})
		}
	}
	return out
}

func (s store) role(namespace, name, text string) store {
	if namespace == "" {
		s.b.Add("rbac.authorization.k8s.io/v1", "ClusterRole", &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules(text)}, cluster.Source{})
	} else {
		s.b.Add("rbac.authorization.k8s.io/v1", "Role", &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Rules: rules(text)}, cluster.Source{})
	}
	return s
}

// bind gives a role to "User ann", "Group devs" or "ServiceAccount shop/cart".
func (s store) bind(namespace, name, kind, role string, subjects ...string) store {
	var subs []rbacv1.Subject
	for _, text := range subjects {
		kind, name, _ := strings.Cut(text, " ")
		sub := rbacv1.Subject{Kind: kind, Name: name}
		if ns, n, ok := strings.Cut(name, "/"); ok {
			sub.Namespace, sub.Name = ns, n
		}
		subs = append(subs, sub)
	}
	ref := rbacv1.RoleRef{Kind: kind, Name: role}
	if namespace == "" {
		s.b.Add("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: ref, Subjects: subs}, cluster.Source{})
	} else {
		s.b.Add("rbac.authorization.k8s.io/v1", "RoleBinding", &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, RoleRef: ref, Subjects: subs}, cluster.Source{})
	}
	return s
}

func (s store) engine() *Engine { return New(s.b.Snapshot(), Options{Version: "v1.36.3"}) }

func TestAuthorize(t *testing.T) {
	e := newStore().
		role("", "view", "get,list,watch core pods; get /metrics,/healthz/*").
		role("", "exec", "create core */exec").
		role("shop", "db", "get core secrets db").
		role("shop", "self", "get,delete core namespaces; get core nodes").
		bind("", "everybody", "ClusterRole", "view", "Group system:authenticated").
		bind("shop", "exec", "ClusterRole", "exec", "ServiceAccount cart", "User ann").
		bind("shop", "db", "Role", "db", "ServiceAccount other/cart", "User system:serviceaccount:shop:web").
		bind("shop", "self", "Role", "self", "User ann").
		bind("", "nobody", "ClusterRole", "exec", "ServiceAccount cart", "Robot x").
		bind("", "gone", "ClusterRole", "gone", "User ann").
		bind("", "wrong", "Role", "db", "User ann").
		engine()
	for name, tt := range map[string]struct {
		a    Attributes
		want string // a role, or what else allows; empty for no
	}{
		"a group that authentication adds":          {Request("get", "", "pods", "x", "p").By(NewUser("ann")), "clusterrole view"},
		"nobody who is anonymous":                   {Request("get", "", "pods", "x", "p").By(Anonymous()), ""},
		"a URL":                                     {URL("get", "/metrics").By(NewUser("ann")), "clusterrole view"},
		"a URL below":                               {URL("get", "/healthz/etcd").By(NewUser("ann")), "clusterrole view"},
		"a URL is not below itself":                 {URL("get", "/healthz").By(NewUser("ann")), ""},
		"an account without namespace is one's own": {Request("create", "", "pods/exec", "shop", "p").By(ServiceAccount("shop", "cart")), "clusterrole exec"},
		"a grant ends with its namespace":           {Request("create", "", "pods/exec", "bank", "p").By(ServiceAccount("shop", "cart")), ""},
		"an account of elsewhere":                   {Request("get", "", "secrets", "shop", "db").By(ServiceAccount("other", "cart")), "role shop/db"},
		"an account by its user name":               {Request("get", "", "secrets", "shop", "db").By(ServiceAccount("shop", "web")), "role shop/db"},
		"another name":                              {Request("get", "", "secrets", "shop", "mail").By(ServiceAccount("shop", "web")), ""},
		"a list has no name":                        {Request("list", "", "secrets", "shop", "").By(ServiceAccount("shop", "web")), ""},
		"a Namespace is in itself":                  {Request("delete", "", "namespaces", "", "shop").By(NewUser("ann")), "role shop/self"},
		"another Namespace is not":                  {Request("delete", "", "namespaces", "", "bank").By(NewUser("ann")), ""},
		"a node is in no namespace":                 {Request("get", "", "nodes", "", "n").By(NewUser("ann")), ""},
		"masters":                                   {URL("delete", "/x").By(NewUser("root", "system:masters")), "system:masters"},
		"an account without namespace cluster-wide": {Request("create", "", "pods/exec", "bank", "p").By(ServiceAccount("default", "cart")), ""},
	} {
		t.Run(name, func(t *testing.T) {
			answer := e.Authorize(&tt.a)
			got := ""
			switch {
			case answer.Decision == Allow && answer.By.Role != nil:
				got = answer.By.Role.String()
			case answer.Decision == Allow:
				got = answer.By.Authorizer
			}
			if got != tt.want {
				t.Errorf("%s by %s: allowed by %q, want %q", tt.a, tt.a.User.Name, got, tt.want)
			}
		})
	}
	var problems []string
	for _, p := range e.Problems() {
		problems = append(problems, p.String())
	}
	if diff := cmp.Diff([]string{
		"clusterrolebinding gone: roleRef names clusterrole gone, which is not there",
		"clusterrolebinding nobody: subjects[0] is a service account without a namespace, which is nobody",
		"clusterrolebinding nobody: subjects[1] is of kind Robot, which is nobody",
		"clusterrolebinding wrong: roleRef is a Role, which a ClusterRoleBinding cannot give",
	}, problems); diff != "" {
		t.Error(diff)
	}
}

func TestWhoCan(t *testing.T) {
	e := newStore().
		role("", "exec", "create core pods/exec").
		role("shop", "all", "get core pods; * * *").
		bind("", "a", "ClusterRole", "exec", "Group system:serviceaccounts:shop", "User ann").
		bind("shop", "b", "Role", "all", "ServiceAccount cart").
		bind("bank", "c", "ClusterRole", "exec", "User bob").
		engine()
	var got []string
	for _, h := range e.WhoCan(Request("create", "", "pods/exec", "shop", "")) {
		got = append(got, fmt.Sprintf("%s (%s): %s", h.Subject, h.Means, h.By))
	}
	if diff := cmp.Diff([]string{
		"group system:masters (whoever holds an administrator's certificate; no binding is asked): system:masters",
		"group system:serviceaccounts:shop (every service account of namespace shop): clusterrolebinding a gives clusterrole exec, rule 0",
		"user ann (): clusterrolebinding a gives clusterrole exec, rule 0",
		"serviceaccount shop/cart (): rolebinding shop/b gives role shop/all, rule 1",
	}, got); diff != "" {
		t.Error(diff)
	}
}

func TestRulesFor(t *testing.T) {
	e := newStore().
		role("", "view", "get core pods").
		role("shop", "db", "get core secrets db; get core configmaps").
		bind("", "a", "ClusterRole", "view", "User ann", "Group devs").
		bind("shop", "b", "Role", "db", "User ann", "User ann").
		engine()
	got := e.RulesFor(NewUser("ann", "devs"), "shop")
	if len(got) != 3 || got[0].Namespace != "" || got[2].Namespace != "shop" || !slices.Equal(got[2].Resources, []string{"configmaps"}) {
		t.Errorf("rules are %v", got)
	}
	if got := e.RulesFor(NewUser("ann"), ""); len(got) != 1 {
		t.Errorf("everywhere the rules are %v, want one", got)
	}
}

// TestWholeUsers: what authentication adds is added to the groups that are given, once.
func TestWholeUsers(t *testing.T) {
	for name, tt := range map[string]struct {
		user User
		want string
	}{
		"a user":                      {NewUser("ann", "devs"), "devs system:authenticated"},
		"one that is authenticated":   {NewUser("ann", "system:authenticated", "devs"), "system:authenticated devs"},
		"a service account":           {NewUser("system:serviceaccount:shop:cart"), "system:serviceaccounts system:serviceaccounts:shop system:authenticated"},
		"a service account in groups": {NewUser("system:serviceaccount:shop:cart", "devs"), "devs system:serviceaccounts system:serviceaccounts:shop system:authenticated"},
		"no service account":          {NewUser("system:serviceaccount:shop"), "system:authenticated"},
		"nobody":                      {Anonymous(), "system:unauthenticated"},
	} {
		if got := strings.Join(tt.user.Groups, " "); got != tt.want {
			t.Errorf("%s is in %s, want %s", name, got, tt.want)
		}
	}
}
