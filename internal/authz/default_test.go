package authz

import (
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

func TestDefault(t *testing.T) {
	meta := func(namespace, name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"kubernetes.io/bootstrapping": "rbac-defaults"}}
	}
	binding := func(name, role string, subjects ...rbacv1.Subject) *rbacv1.ClusterRoleBinding {
		return &rbacv1.ClusterRoleBinding{ObjectMeta: meta("", name), RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: role}, Subjects: subjects}
	}
	expander := rbacv1.Subject{Kind: "ServiceAccount", Namespace: "kube-system", Name: "expand-controller"}
	stranger := rbacv1.Subject{Kind: "ServiceAccount", Namespace: "shop", Name: "cart"}
	const expand = "system:controller:expand-controller"
	for name, tt := range map[string]struct {
		object metav1.Object
		want   bool
	}{
		"a controller's binding":            {binding(expand, expand, expander), true},
		"with somebody added":               {binding(expand, expand, expander, stranger), false},
		"with a namesake from elsewhere":    {binding(expand, expand, rbacv1.Subject{Kind: "ServiceAccount", Namespace: "shop", Name: "expand-controller"}), false},
		"to another role":                   {binding(expand, "cluster-admin", expander), false},
		"a name that is only alike":         {binding("system:evil", "system:evil", stranger), false},
		"a controller that does not exist":  {binding("system:controller:evil", "system:controller:evil"), false},
		"a group's binding":                 {binding("system:discovery", "system:discovery", rbacv1.Subject{Kind: "Group", Name: "system:authenticated"}), true},
		"a group's binding, for strangers":  {binding("system:discovery", "system:discovery", rbacv1.Subject{Kind: "Group", Name: "system:unauthenticated"}), false},
		"a role":                            {&rbacv1.ClusterRole{ObjectMeta: meta("", expand)}, true},
		"a role for people":                 {&rbacv1.ClusterRole{ObjectMeta: meta("", "edit")}, true},
		"a role with a name that is alike":  {&rbacv1.ClusterRole{ObjectMeta: meta("", "system:evil")}, false},
		"a role without the label":          {&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: expand}}, false},
		"a namespaced role":                 {&rbacv1.Role{ObjectMeta: meta("kube-system", "extension-apiserver-authentication-reader")}, true},
		"a namespaced role, somewhere else": {&rbacv1.Role{ObjectMeta: meta("shop", "extension-apiserver-authentication-reader")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := cluster.NewBuilder("test", true)
			b.Add("rbac.authorization.k8s.io/v1", kindOf(tt.object), tt.object, cluster.Source{})
			if got := Default(b.Snapshot().Objects()[0]); got != tt.want {
				t.Errorf("Default is %v, want %v", got, tt.want)
			}
		})
	}
}

func kindOf(o metav1.Object) string {
	switch o.(type) {
	case *rbacv1.ClusterRole:
		return "ClusterRole"
	case *rbacv1.Role:
		return "Role"
	}
	return "ClusterRoleBinding"
}
