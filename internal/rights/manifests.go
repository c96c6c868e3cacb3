package rights

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
)

// Manifests are the roles and bindings that give the rights, by namespace, to a subject:
// a ClusterRole for what is everywhere, a Role for a namespace, and one ClusterRole for
// namespaces that need the same. Every object is a pointer to a struct of rbac/v1.
func Manifests(name string, subject rbacv1.Subject, rights map[string]Set) []any {
	var out []any
	if set := rights[""]; len(set) > 0 {
		out = append(out, clusterRole(name, set.Rules()), &rbacv1.ClusterRoleBinding{
			TypeMeta: kind("ClusterRoleBinding"), ObjectMeta: metav1.ObjectMeta{Name: name},
			Subjects: []rbacv1.Subject{subject}, RoleRef: ref("ClusterRole", name),
		})
	}
	// Namespaces with the same rules, in the order of the first of each.
	same := map[string][]string{}
	rules := map[string][]rbacv1.PolicyRule{}
	var order []string
	for _, namespace := range slices.Sorted(maps.Keys(rights)) {
		if namespace == "" {
			continue
		}
		list := rights[namespace].Rules()
		key := keyOf(list)
		if same[key] == nil {
			order = append(order, key)
			rules[key] = list
		}
		same[key] = append(same[key], namespace)
	}
	shared := 0
	for _, key := range order {
		role := ref("Role", name)
		if len(same[key]) > 1 {
			if shared++; shared > 1 {
				role = ref("ClusterRole", fmt.Sprintf("%s:namespaced-%d", name, shared))
			} else {
				role = ref("ClusterRole", name+":namespaced")
			}
			out = append(out, clusterRole(role.Name, rules[key]))
		}
		for _, namespace := range same[key] {
			meta := metav1.ObjectMeta{Namespace: namespace, Name: name}
			if role.Kind == "Role" {
				out = append(out, &rbacv1.Role{TypeMeta: kind("Role"), ObjectMeta: meta, Rules: rules[key]})
			}
			out = append(out, &rbacv1.RoleBinding{
				TypeMeta: kind("RoleBinding"), ObjectMeta: meta, Subjects: []rbacv1.Subject{subject}, RoleRef: role,
			})
		}
	}
	return out
}

func clusterRole(name string, rules []rbacv1.PolicyRule) *rbacv1.ClusterRole {
	return &rbacv1.ClusterRole{TypeMeta: kind("ClusterRole"), ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules}
}

func kind(kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: kind}
}

func ref(kind, name string) rbacv1.RoleRef {
	return rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: name}
}

// SubjectOf is a user as a binding names it: a service account as one.
func SubjectOf(user string) rbacv1.Subject {
	if namespace, name, err := serviceaccount.SplitUsername(user); err == nil {
		return rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name}
	}
	return rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}
}

// A Namer gives objects names that their subjects can be told from, each once.
type Namer struct {
	Prefix string
	taken  map[string]bool
}

// Name is the prefix and the subject's name, with a number where another subject has come
// to the same. RBAC's names may hold whatever a path may (IsValidPathSegmentName in
// k8s.io/apimachinery/pkg/api/validation/path).
func (n *Namer) Name(s rbacv1.Subject) string {
	name := n.Prefix + s.Name
	if s.Kind == rbacv1.ServiceAccountKind {
		name = n.Prefix + s.Namespace + ":" + s.Name
	}
	name = strings.Map(func(r rune) rune {
		if r == '/' || r == '%' || r <= ' ' || r == 0x7f || r == '�' {
			return '-'
		}
		return r
	}, name)
	if n.taken == nil {
		n.taken = map[string]bool{}
	}
	base := name
	for i := 2; n.taken[name]; i++ {
		name = fmt.Sprintf("%s-%d", base, i)
	}
	n.taken[name] = true
	return name
}
