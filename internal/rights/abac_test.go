package rights

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/bulwark-k8s/bulwark/internal/authz/grant"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

func TestFromABAC(t *testing.T) {
	for name, tt := range map[string]struct {
		policies []cluster.ABACPolicy
		roles    []string
		rest     []string
	}{
		"everything for one": {
			[]cluster.ABACPolicy{{User: "ann", APIGroup: "*", Resource: "*", Namespace: "*", NonResourcePath: "*"}},
			[]string{"ClusterRole abac:ann: * *; * *"},
			nil,
		},
		"a resource brings its subresources": {
			[]cluster.ABACPolicy{{Group: "devs", Readonly: true, Resource: "serviceaccounts", Namespace: "shop"}},
			[]string{"Role abac:devs: get, list, watch serviceaccounts, serviceaccounts/token"},
			nil,
		},
		"another's resource brings those that it can have": {
			[]cluster.ABACPolicy{{User: "ann", APIGroup: "example.com", Resource: "widgets", Namespace: "shop"}},
			[]string{"Role abac:ann: * widgets, widgets/scale, widgets/status"},
			[]string{"line 1 also gives subresources of widgets.example.com: widgets/scale, widgets/status are in the role"},
		},
		"a user in a group": {
			[]cluster.ABACPolicy{
				{User: "ann", Group: "devs", Resource: "pods", Namespace: "*"},
				{User: "ann", Group: "system:authenticated", Resource: "secrets", Namespace: "*"},
			},
			[]string{"ClusterRole abac:ann: * secrets"},
			[]string{"line 1 is for user ann only while in group devs: no binding asks for both"},
		},
		"what gives nothing": {
			[]cluster.ABACPolicy{
				{Resource: "pods", Namespace: "*"}, {User: "ann"}, {User: "ann", Resource: "pods/log", Namespace: "*"}, {User: "ann", Resource: "pods", Namespace: "A B"},
			},
			nil,
			[]string{
				"line 1 names neither user nor group, so it is for nobody", "line 2 names neither resource nor path, so it gives nothing",
				"line 3 gives nothing: ABAC compares a resource without its subresource, and none is called pods/log",
				`line 4 gives nothing: no namespace can be called "A B"`,
			},
		},
		"outside of namespaces": {
			[]cluster.ABACPolicy{{User: "ann", Readonly: true, Resource: "persistentvolumes"}, {User: "ann", Resource: "namespaces"}, {User: "ann", Resource: "pods"}},
			[]string{"ClusterRole abac:ann: list, watch, create, deletecollection namespaces; get, list, watch persistentvolumes, persistentvolumes/status"},
			[]string{"line 3 gives lists of pods over all namespaces at once, but in none of them: RBAC gives both or none"},
		},
		"paths are nowhere": {
			[]cluster.ABACPolicy{{User: "system:serviceaccount:shop:cart", Readonly: true, Namespace: "shop", NonResourcePath: "/logs/**"}},
			[]string{"ClusterRole abac:shop:cart: get /logs/*"},
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			for i := range tt.policies {
				tt.policies[i].Line = i + 1
			}
			objects, rest := FromABAC(tt.policies, "abac:")
			var roles, left []string
			for _, o := range objects {
				switch r := o.(type) {
				case *rbacv1.Role:
					roles = append(roles, fmt.Sprintf("Role %s: %s", r.Name, grant.Describe(r.Rules)))
				case *rbacv1.ClusterRole:
					roles = append(roles, fmt.Sprintf("ClusterRole %s: %s", r.Name, grant.Describe(r.Rules)))
				}
			}
			for _, r := range rest {
				left = append(left, r.String())
			}
			slices.Sort(roles)
			if diff := cmp.Diff(tt.roles, roles); diff != "" {
				t.Error("roles", diff)
			}
			if diff := cmp.Diff(tt.rest, left); diff != "" {
				t.Error("rest", diff)
			}
		})
	}
}
