package grant

import (
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

func TestAllows(t *testing.T) {
	for name, tt := range map[string]struct {
		verbs, groups, resources, names []string
		act                             Act
		want                            bool
	}{
		"word for word":                       {[]string{"get"}, []string{""}, []string{"pods"}, nil, Act{"get", "", "pods"}, true},
		"another verb":                        {[]string{"get"}, []string{""}, []string{"pods"}, nil, Act{"list", "", "pods"}, false},
		"another group":                       {[]string{"get"}, []string{""}, []string{"deployments"}, nil, Act{"get", "apps", "deployments"}, false},
		"stars":                               {[]string{"*"}, []string{"*"}, []string{"*"}, nil, Act{"get", "apps", "deployments"}, true},
		"a resource is not its subresource":   {[]string{"create"}, []string{""}, []string{"pods"}, nil, Act{"create", "", "pods/exec"}, false},
		"a subresource is not its resource":   {[]string{"create"}, []string{""}, []string{"pods/exec"}, nil, Act{"create", "", "pods"}, false},
		"a subresource of everything":         {[]string{"create"}, []string{""}, []string{"*/exec"}, nil, Act{"create", "", "pods/exec"}, true},
		"everything holds subresources":       {[]string{"create"}, []string{""}, []string{"*"}, nil, Act{"create", "", "pods/exec"}, true},
		"there is no resource/star":           {[]string{"create"}, []string{""}, []string{"pods/*"}, nil, Act{"create", "", "pods/exec"}, false},
		"some names are not all":              {[]string{"get"}, []string{""}, []string{"secrets"}, []string{"db"}, Act{"get", "", "secrets"}, false},
		"an empty rule":                       {nil, nil, nil, nil, Act{"get", "", "pods"}, false},
		"no star asks for everything by name": {[]string{"get", "create"}, []string{"*"}, []string{"*"}, nil, Act{"*", "*", "*"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			rule := &rbacv1.PolicyRule{Verbs: tt.verbs, APIGroups: tt.groups, Resources: tt.resources, ResourceNames: tt.names}
			if got := Allows(rule, tt.act); got != tt.want {
				t.Errorf("Allows is %v, want %v", got, tt.want)
			}
		})
	}
}

func TestDescribe(t *testing.T) {
	got := Describe([]rbacv1.PolicyRule{
		{Verbs: []string{"get", "list"}, Resources: []string{"pods", "secrets"}},
		{Verbs: []string{"get"}, NonResourceURLs: []string{"/metrics"}},
		{Verbs: []string{"get"}, Resources: []string{"configmaps"}, ResourceNames: []string{"a", "b"}},
	})
	if want := "get, list pods, secrets; get /metrics; get configmaps named a, b"; got != want {
		t.Errorf("Describe is %q, want %q", got, want)
	}
}

func TestBindings(t *testing.T) {
	b := cluster.NewBuilder("test", true)
	bind := func(name string, subjects ...rbacv1.Subject) {
		b.Add("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Subjects: subjects, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "view"},
		}, cluster.Source{})
	}
	account := rbacv1.Subject{Kind: "ServiceAccount", Namespace: "shop", Name: "cart"}
	group := rbacv1.Subject{Kind: "Group", Name: "system:serviceaccounts:shop"}
	bind("account", account)
	bind("twice", account, group)
	bind("user", rbacv1.Subject{Kind: "User", Name: "system:serviceaccount:shop:cart"})
	bind("namespace", group)
	bind("accounts", rbacv1.Subject{Kind: "Group", Name: "system:serviceaccounts"})
	bind("everybody", rbacv1.Subject{Kind: "Group", Name: "system:authenticated"})
	bind("elsewhere", rbacv1.Subject{Kind: "ServiceAccount", Namespace: "other", Name: "cart"})
	bind("strangers", rbacv1.Subject{Kind: "Group", Name: "system:unauthenticated"})
	got := map[string]int{}
	for binding := range Bindings(b.Snapshot(), "shop", "cart") {
		got[binding.Object.Name]++
	}
	for _, name := range []string{"account", "twice", "user", "namespace", "accounts", "everybody"} {
		if got[name] != 1 {
			t.Errorf("binding %s came %d times, want once", name, got[name])
		}
		delete(got, name)
	}
	if len(got) > 0 {
		t.Errorf("bindings %v reach the account, want none of them", got)
	}
}
