package oracle

import (
	"bytes"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy"
	"sigs.k8s.io/yaml"

	"github.com/bulwark-k8s/bulwark/internal/authz"
)

// add decodes one document into the world; what is no role or binding, or is there
// already, is left out.
func (w *world) add(document []byte) {
	var kind struct {
		Kind string `json:"kind"`
	}
	if yaml.Unmarshal(document, &kind) != nil {
		return
	}
	switch kind.Kind {
	case "Role":
		addTo(&w.roles, document, func(a, b *rbacv1.Role) bool { return a.Namespace == b.Namespace && a.Name == b.Name })
	case "ClusterRole":
		addTo(&w.clusterRoles, document, func(a, b *rbacv1.ClusterRole) bool { return a.Name == b.Name })
	case "RoleBinding":
		addTo(&w.bindings, document, func(a, b *rbacv1.RoleBinding) bool { return a.Namespace == b.Namespace && a.Name == b.Name })
	case "ClusterRoleBinding":
		addTo(&w.clusterRoleBindings, document, func(a, b *rbacv1.ClusterRoleBinding) bool { return a.Name == b.Name })
	}
}

func addTo[T any](list *[]*T, document []byte, same func(a, b *T) bool) {
	o := new(T)
	if yaml.Unmarshal(document, o) != nil || slices.ContainsFunc(*list, func(have *T) bool { return same(have, o) }) {
		return
	}
	*list = append(*list, o)
}

// clusterScoped drops a namespace from what is in none, as the API server does.
func (w *world) clusterScoped() {
	for _, o := range w.clusterRoles {
		o.Namespace = ""
	}
	for _, o := range w.clusterRoleBindings {
		o.Namespace = ""
	}
}

const manifests = `kind: ClusterRole
metadata: {name: view}
rules:
- {verbs: [get, "*"], apiGroups: ["", apps], resources: [pods, "*/exec"], resourceNames: [p]}
- {verbs: [get], nonResourceURLs: [/m, "/h*"]}
---
kind: Role
metadata: {name: view, namespace: a}
rules: [{verbs: ["*"], apiGroups: ["*"], resources: ["*"]}]
---
kind: ClusterRoleBinding
metadata: {name: one}
roleRef: {kind: ClusterRole, name: view}
subjects: [{kind: Group, name: "system:authenticated"}, {kind: ServiceAccount, name: x}]
---
kind: RoleBinding
metadata: {name: two, namespace: a}
roleRef: {kind: Role, name: view}
subjects: [{kind: ServiceAccount, name: x}, {kind: User, name: ann}]
`

// FuzzAuthorize states that whatever manifests say, everybody may do what the API server
// would let them do, and WhoCan names them.
func FuzzAuthorize(f *testing.F) {
	f.Add([]byte(manifests), "get", "", "pods", "exec", "a", "p")
	f.Add([]byte(manifests), "delete", "apps", "deployments", "", "a", "")
	f.Add([]byte(manifests), "get", "", "", "", "", "/healthz")
	everybody := users()
	f.Fuzz(func(t *testing.T, documents []byte, verb, group, resource, sub, namespace, name string) {
		w := new(world)
		for document := range bytes.SplitSeq(documents, []byte("\n---\n")) {
			w.add(document)
		}
		w.clusterScoped()
		e, server := authz.New(w.snapshot(), authz.Options{}), w.server()
		a := authz.Attributes{Verb: verb, Group: group, Resource: resource, Subresource: sub, Namespace: namespace, Name: name, ResourceRequest: true}
		if strings.HasPrefix(name, "/") {
			a = authz.URL(verb, name)
		}
		var n tally
		for _, u := range everybody {
			b := a.By(u)
			n.compare(t, e, server, &b, w)
		}
	})
}

// TestAuthorizeBootstrap asks everything that the roles of every cluster speak of, with
// rules taken away and changed at random.
func TestAuthorizeBootstrap(t *testing.T) {
	m := newMaker(51)
	var n tally
	for range scaled(30) {
		w := new(world)
		for _, r := range slices.Concat(bootstrappolicy.ClusterRoles(), bootstrappolicy.ControllerRoles()) {
			r := r.DeepCopy()
			for i := range r.Rules {
				rule := &r.Rules[i]
				switch m.IntN(12) {
				case 0:
					rule.Verbs = rule.Verbs[1:]
				case 1:
					rule.Resources = append(rule.Resources, pick(m.generator, someResources...))
				case 2:
					rule.APIGroups = m.some(someGroups, 2)
				case 3:
					rule.ResourceNames = m.some(someNames, 2)
				}
			}
			w.clusterRoles = append(w.clusterRoles, r)
		}
		var people []authz.User
		for _, b := range slices.Concat(bootstrappolicy.ClusterRoleBindings(), bootstrappolicy.ControllerRoleBindings()) {
			w.clusterRoleBindings = append(w.clusterRoleBindings, b.DeepCopy())
			for _, s := range b.Subjects {
				switch s.Kind {
				case "User":
					people = append(people, authz.NewUser(s.Name))
				case "ServiceAccount":
					people = append(people, authz.ServiceAccount(s.Namespace, s.Name))
				}
			}
		}
		e, server := authz.New(w.snapshot(), authz.Options{}), w.server()
		for range 4000 {
			a := m.likely(w)
			if m.maybe(0.3) {
				a = a.By(pick(m.generator, people...))
			}
			n.compare(t, e, server, &a, w)
		}
	}
	n.report(t, 100_000, 20, 90)
}

// TestBootstrapTable: the table that the engine carries is what this Kubernetes makes.
func TestBootstrapTable(t *testing.T) {
	want, err := exec.CommandContext(t.Context(), "go", "run", "../cmd/lab-bootstrap").Output()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../internal/authz/bootstrap.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("internal/authz/bootstrap.json is not what lab/cmd/lab-bootstrap writes: cd lab && go run ./cmd/lab-bootstrap > ../internal/authz/bootstrap.json")
	}
}
