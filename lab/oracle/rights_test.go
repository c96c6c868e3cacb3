package oracle

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"
	componentvalidation "k8s.io/component-helpers/auth/rbac/validation"
	"k8s.io/kubernetes/pkg/auth/authorizer/abac"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy"

	"github.com/bulwark-k8s/bulwark/internal/apiconfig"
	"github.com/bulwark-k8s/bulwark/internal/apiresource"
	"github.com/bulwark-k8s/bulwark/internal/auditlog"
	"github.com/bulwark-k8s/bulwark/internal/authz"
	"github.com/bulwark-k8s/bulwark/internal/rights"
)

// TestABACAsRBAC: for random policy files, the API server's RBAC with the generated roles
// allows nothing that its ABAC does not, and all that it does but for what is listed.
func TestABACAsRBAC(t *testing.T) {
	rng := mathrand.New(mathrand.NewPCG(1, 2))
	pick := func(from ...string) string { return from[rng.IntN(len(from))] }
	questions := everyRequest()
	users := []authz.User{
		authz.NewUser("ann"), authz.NewUser("ann", "devs"), authz.NewUser("joe", "devs"), authz.Anonymous(),
		authz.ServiceAccount("shop", "cart"), authz.ServiceAccount("bank", "cart"),
	}
	same, left := 0, 0
	for range 60 * *rounds {
		var file strings.Builder
		for range 1 + rng.IntN(4) {
			spec := map[string]any{
				"user": pick("", "ann", "joe", "system:serviceaccount:shop:cart", "*", "system:anonymous"), "group": pick("", "", "devs", "system:serviceaccounts:shop", "system:authenticated", "*"),
				"readonly": rng.IntN(2) == 0, "apiGroup": pick("", "apps", "*", "example.com", "authentication.k8s.io"),
				"resource":  pick("", "pods", "*", "nodes", "namespaces", "deployments", "widgets", "pods/log", "users"),
				"namespace": pick("", "*", "shop", "A B"), "nonResourcePath": pick("", "", "*", "/logs/*", "/metrics", "/m**"),
			}
			doc := map[string]any{"apiVersion": "abac.authorization.kubernetes.io/v1beta1", "kind": "Policy", "spec": spec}
			if rng.IntN(6) == 0 {
				delete(spec, "apiGroup")
				delete(spec, "nonResourcePath")
				doc = spec
			}
			line, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			file.Write(append(line, '\n'))
		}
		path := filepath.Join(t.TempDir(), "abac.jsonl")
		if err := os.WriteFile(path, []byte(file.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		theirABAC, err := abac.NewFromFile(path)
		if err != nil {
			t.Fatal(err)
		}
		config, err := apiconfig.ParseABAC([]byte(file.String()))
		if err != nil {
			t.Fatal(err)
		}
		objects, rest := rights.FromABAC(config.ABAC.Policies, "abac:")
		var w world
		for _, o := range objects {
			w.take(t, o)
		}
		_, roles := w.resolver()
		theirRBAC := rbac.New(roles, roles, roles, roles)
		lists := func(line int) bool {
			return slices.ContainsFunc(rest, func(r rights.Remainder) bool { return r.Line == line+1 && !r.Nothing })
		}
		for _, u := range users {
			for i := range questions {
				r := theirs(new(questions[i].By(u)))
				before, _, _ := theirABAC.Authorize(context.Background(), &r)
				after, _, _ := theirRBAC.Authorize(context.Background(), &r)
				switch {
				case before == after:
					same++
				case before != authorizer.DecisionAllow:
					t.Fatalf("%s by %s: RBAC allows what ABAC does not\n%s\n%s", &questions[i], u.Name, &file, &w)
				default:
					left++
					// Every policy that allows it has to be listed.
					for line := range theirABAC {
						if d, _, _ := theirABAC[line:line+1].Authorize(context.Background(), &r); d == authorizer.DecisionAllow && !lists(line) {
							t.Fatalf("%s by %s: line %d allows it, RBAC does not, and it is not listed\n%s\n%v\n%s", &questions[i], u.Name, line+1, &file, rest, &w)
						}
					}
				}
			}
		}
	}
	t.Logf("%d decisions are the same, %d are listed as different", same, left)
	if same < 100000 || left == 0 {
		t.Error("the policies do not try enough")
	}
}

func (w *world) take(t *testing.T, object any) {
	t.Helper()
	switch o := object.(type) {
	case *rbacv1.Role:
		w.roles = append(w.roles, o)
	case *rbacv1.RoleBinding:
		w.bindings = append(w.bindings, o)
	case *rbacv1.ClusterRole:
		w.clusterRoles = append(w.clusterRoles, o)
	case *rbacv1.ClusterRoleBinding:
		w.clusterRoleBindings = append(w.clusterRoleBindings, o)
	default:
		t.Fatalf("a %T is none of RBAC's", object)
	}
}

// everyRequest is one of each kind that the API has: what is in namespaces in one and over
// all of them, what is not outside of them, a Namespace in itself.
func everyRequest() []authz.Attributes {
	var out []authz.Attributes
	for _, path := range []string{"/metrics", "/m", "/logs/a", "/"} {
		for _, verb := range []string{"get", "post"} {
			out = append(out, authz.URL(verb, path))
		}
	}
	all := slices.Clone(apiresource.All())
	all = append(all, &apiresource.Resource{Group: "example.com", Name: "widgets", Namespaced: true, Subresources: []string{"scale", "status", "odd"}},
		&apiresource.Resource{Group: "example.com", Name: "gadgets", Subresources: []string{"status"}})
	for _, r := range all {
		for _, verb := range []string{"get", "list", "watch", "create", "patch", "deletecollection", "impersonate"} {
			for _, sub := range append([]string{""}, r.Subresources...) {
				resource, name := r.Name, ""
				if sub != "" {
					resource += "/" + sub
				}
				if sub != "" || verb == "get" || verb == "patch" || verb == "impersonate" {
					name = "a"
				}
				switch {
				case r.Namespaced:
					out = append(out, authz.Request(verb, r.Group, resource, "shop", name), authz.Request(verb, r.Group, resource, "bank", name))
					if name == "" && (verb == "list" || verb == "watch") {
						out = append(out, authz.Request(verb, r.Group, resource, "", ""))
					}
				case r.Group == "" && r.Name == "namespaces" && name != "":
					out = append(out, authz.Request(verb, r.Group, resource, "shop", "shop"))
				default:
					out = append(out, authz.Request(verb, r.Group, resource, "", name))
				}
			}
		}
	}
	return out
}

// TestResources: the table of resources is the API's, as Kubernetes keeps it for discovery.
func TestResources(t *testing.T) {
	served := map[string]string{}
	files, err := filepath.Glob(filepath.Join(kubernetes(t), "api", "discovery", "api*__v*.json"))
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files of discovery (%v)", len(files), err)
	}
	type resource struct {
		Name, Kind string
		Namespaced bool
		ShortNames []string
	}
	subresources := map[string][]string{}
	for _, file := range files {
		var list struct {
			GroupVersion string
			Resources    []resource
		}
		data, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(data, &list)
		}
		if err != nil {
			t.Fatal(err)
		}
		group, _, found := strings.Cut(list.GroupVersion, "/")
		if !found {
			group = ""
		}
		for _, r := range list.Resources {
			name, sub, isSub := strings.Cut(r.Name, "/")
			id := name + "." + group
			if isSub {
				if !slices.Contains(subresources[id], sub) {
					subresources[id] = append(subresources[id], sub)
				}
				continue
			}
			served[id] = fmt.Sprint(r.Kind, r.Namespaced, r.ShortNames)
		}
	}
	for _, r := range apiresource.All() {
		id := r.Name + "." + r.Group
		if r.Virtual {
			if served[id] != "" {
				t.Errorf("%s is served, and the table takes it as virtual", id)
			}
			continue
		}
		if got := fmt.Sprint(r.Kind, r.Namespaced, r.Short); got != served[id] {
			t.Errorf("%s is %s, and served as %q", id, got, served[id])
		}
		for _, sub := range subresources[id] {
			if !slices.Contains(r.Subresources, sub) {
				t.Errorf("%s has the subresource %s, which the table does not", id, sub)
			}
		}
		delete(served, id)
	}
	for id := range served {
		t.Errorf("%s is served, and not in the table", id)
	}
}

// kubernetes is the folder of Kubernetes' source.
func kubernetes(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// TestControllers: the controllers whose rights are left alone are those of Kubernetes.
func TestControllers(t *testing.T) {
	roles := bootstrappolicy.ControllerRoles()
	for _, r := range roles {
		name := strings.TrimPrefix(r.Name, "system:controller:")
		if who := authz.ServiceAccount("kube-system", name); rights.BuiltIn(&who) == "" {
			t.Errorf("%s is a controller, and taken for anybody", name)
		}
	}
	if who := authz.ServiceAccount("kube-system", "mine"); rights.BuiltIn(&who) != "" || len(roles) < 30 {
		t.Errorf("an account of one's own is taken for a controller, or %d roles are not all", len(roles))
	}
}

// TestEverybodysRoles: what is left out of generated roles is what Kubernetes gives to
// everybody who is authenticated.
func TestEverybodysRoles(t *testing.T) {
	var given []rbacv1.PolicyRule
	for _, r := range bootstrappolicy.ClusterRoles() {
		if slices.Contains([]string{"system:basic-user", "system:discovery", "system:public-info-viewer"}, r.Name) {
			given = append(given, r.Rules...)
		}
	}
	ours := rights.Authenticated()
	if ok, missing := componentvalidation.Covers(given, ours); !ok {
		t.Errorf("not everybody has %v", missing)
	}
	if ok, missing := componentvalidation.Covers(ours, given); !ok {
		t.Errorf("everybody has %v as well", missing)
	}
}

// TestAuditedRequests: of requests as the API server takes them apart and logs them, an
// audit log gives back what it authorized.
func TestAuditedRequests(t *testing.T) {
	rng := mathrand.New(mathrand.NewPCG(1, 2))
	pick := func(from ...string) string { return from[rng.IntN(len(from))] }
	var log bytes.Buffer
	var wants []authz.Attributes
	factory := request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}
	for range 20000 {
		path := pick("/api/v1", "/apis/apps/v1", "/apis/example.com/v1beta1", "", "/api", "/metrics")
		for range rng.IntN(6) {
			path += "/" + pick("namespaces", "shop", "pods", "a%2Fb", "web", "exec", "status", "finalize", "watch", "")
		}
		if path == "" || strings.HasPrefix(path, "//") {
			path = "/"
		}
		path += pick("", "?fieldSelector=metadata.name%3Da", "?watch=true", "?limit=5&watch=1&fieldSelector=metadata.name%3Da", "?fieldSelector=x%3Dy")
		r, err := http.NewRequestWithContext(t.Context(), pick("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"), path, nil)
		if err != nil {
			t.Fatal(err)
		}
		info, err := factory.NewRequestInfo(r)
		if err != nil || info.Verb == "" {
			continue
		}
		ref := map[string]string{
			"apiGroup": info.APIGroup, "apiVersion": info.APIVersion, "resource": info.Resource, "subresource": info.Subresource, "namespace": info.Namespace, "name": info.Name,
		}
		event := map[string]any{
			"kind": "Event", "apiVersion": "audit.k8s.io/v1", "stage": "ResponseComplete", "verb": info.Verb, "requestURI": r.URL.RequestURI(),
			"user": map[string]string{"username": "ann"}, "annotations": map[string]string{"authorization.k8s.io/decision": "allow"},
		}
		if info.IsResourceRequest {
			event["objectRef"] = ref
			if info.Resource == "" {
				continue // the API server would serve nothing there
			}
		}
		if info.Verb == "create" { // and the object's own name and namespace where the path has none
			for key, value := range map[string]string{"name": "made", "namespace": "elsewhere"} {
				if ref[key] == "" {
					ref[key] = value
				}
			}
		}
		line, err := json.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		want := authz.Attributes{
			User: authz.User{Name: "ann"}, Verb: info.Verb, Group: info.APIGroup, Version: info.APIVersion, Resource: info.Resource, Subresource: info.Subresource,
			Namespace: info.Namespace, Name: info.Name, ResourceRequest: info.IsResourceRequest,
		}
		if !info.IsResourceRequest {
			want = authz.Attributes{User: want.User, Verb: info.Verb, Path: info.Path}
		}
		wants = append(wants, want)
		log.Write(append(line, '\n'))
	}
	unread, err := auditlog.Read(bytes.NewReader(log.Bytes()), func(e *auditlog.Event) error {
		want := wants[0]
		if wants = wants[1:]; !cmp.Equal(want, e.Request) {
			return fmt.Errorf("%s", cmp.Diff(want, e.Request))
		}
		return nil
	})
	if err != nil || unread.Lines > 0 || len(wants) > 0 {
		t.Fatalf("%v; %d lines were not read (%v), %d requests not found", err, unread.Lines, unread.First, len(wants))
	}
}
