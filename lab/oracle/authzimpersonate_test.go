package oracle

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/filters/impersonation"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/bulwark-k8s/bulwark/internal/authz"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

const nodeNameKey = "authentication.kubernetes.io/node-name"

var (
	impersonationVerbs = []string{
		"impersonate", "impersonate:user-info", "impersonate:serviceaccount", "impersonate:arbitrary-node", "impersonate:associated-node",
		"impersonate-on:user-info:get", "impersonate-on:serviceaccount:get", "impersonate-on:arbitrary-node:get", "impersonate-on:associated-node:get", "*",
	}
	impersonationResources = []string{"users", "groups", "serviceaccounts", "nodes", "uids", "userextras/acme.com/team", "userextras/*", "pods", "*"}
	impersonationNames     = []string{"ann", "x", "devs", "n1", "*", "u-1", "red", "system:masters"}
)

func (m maker) impersonationRule() rbacv1.PolicyRule {
	r := rbacv1.PolicyRule{
		Verbs: m.some(impersonationVerbs, 4), APIGroups: m.some([]string{"", "authentication.k8s.io", "*"}, 2), Resources: m.some(impersonationResources, 4),
	}
	if m.maybe(0.3) {
		r.ResourceNames = m.some(impersonationNames, 4)
	}
	return r
}

func (m maker) wanted() authz.User {
	u := authz.User{Name: pick(m.generator, "ann", "bob", "system:serviceaccount:a:x", "system:serviceaccount:b:y", "system:node:n1", "system:node:n2", "system:node:Bad_", "system:anonymous", "system:serviceaccount:bad")}
	if m.maybe(0.5) {
		u.Groups = m.some([]string{"devs", "ops", "system:masters", "system:unauthenticated", "system:authenticated", "red"}, 5)
	}
	if m.maybe(0.15) {
		u.UID = pick(m.generator, "u-1", "u-2")
	}
	if m.maybe(0.2) {
		u.Extra = map[string][]string{}
		for range 1 + m.IntN(2) {
			u.Extra[pick(m.generator, "acme.com/team", "acme.com/x", "plain")] = m.some([]string{"red", "blue", "green"}, 5)
		}
	}
	return u
}

// TestImpersonation holds random requests against the filter: whether it lets them pass,
// and as whom, with the constrained modes and without.
func TestImpersonation(t *testing.T) {
	for _, version := range []string{"v1.35.0", "v1.36.0"} {
		m := newMaker(41)
		passed, refused := 0, 0
		for range scaled(1500) {
			w := new(world)
			for i := range 1 + m.IntN(3) {
				r := &rbacv1.ClusterRole{ObjectMeta: meta("", someNames[i])}
				for range 1 + m.IntN(3) {
					r.Rules = append(r.Rules, m.impersonationRule())
				}
				w.clusterRoles = append(w.clusterRoles, r)
				w.clusterRoleBindings = append(w.clusterRoleBindings, clusterBinding(someNames[i], someNames[i], rbacv1.Subject{Kind: "Group", Name: "system:authenticated"}))
			}
			e, server := authz.New(w.snapshot(func(b *cluster.Builder) { b.SetVersion(version) }), authz.Options{}), w.server()
			for range 8 {
				requestor := authz.ServiceAccount("a", "agent")
				if m.maybe(0.3) {
					requestor = authz.NewUser("joe")
				}
				if m.maybe(0.5) {
					requestor.Extra = map[string][]string{nodeNameKey: {pick(m.generator, "n1", "n3")}}
				}
				a := authz.Request(pick(m.generator, "get", "get", "list"), "", "pods", "a", "p").By(requestor)
				wanted := m.wanted()
				got, answer := e.Impersonate(a, wanted)
				want := impersonated(t, server, &a, wanted, version == "v1.36.0")
				if (answer.Decision == authz.Allow) != (want != nil) {
					t.Fatalf("%s: %+v as %+v: ours is %s (%s), the filter's user %+v\n%s", version, requestor, wanted, answer.Decision, answer.Reason(), want, w)
				}
				if want == nil {
					refused++
					continue
				}
				passed++
				if got.Name != want.GetName() || !slices.Equal(got.Groups, want.GetGroups()) || got.UID != want.GetUID() {
					t.Fatalf("%s: %+v as %+v: ours is %+v, the filter's %+v\n%s", version, requestor, wanted, got, want, w)
				}
			}
		}
		t.Logf("%s: %d passed, %d refused, no difference", version, passed, refused)
		if passed < refused/20 || refused < passed/20 {
			t.Error("the requests do not cover both outcomes")
		}
	}
}

// impersonated is who the filter lets a request pass as, or nil.
func impersonated(t *testing.T, server authorizer.Authorizer, a *authz.Attributes, wanted authz.User, constrained bool) user.Info {
	t.Helper()
	var is user.Info
	next := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { is, _ = request.UserFrom(r.Context()) })
	filter := impersonation.WithImpersonation(next, server, scheme.Codecs)
	if constrained {
		filter = impersonation.WithConstrainedImpersonation(next, server, scheme.Codecs)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/namespaces/a/pods/p", nil)
	ctx := request.WithUser(r.Context(), &user.DefaultInfo{Name: a.User.Name, Groups: a.User.Groups, Extra: a.User.Extra})
	ctx = request.WithRequestInfo(ctx, &request.RequestInfo{IsResourceRequest: true, Path: r.URL.Path, Verb: a.Verb, APIVersion: "v1", Resource: "pods", Namespace: "a", Name: "p"})
	r = r.WithContext(ctx)
	r.Header.Set("Impersonate-User", wanted.Name)
	for _, g := range wanted.Groups {
		r.Header.Add("Impersonate-Group", g)
	}
	if wanted.UID != "" {
		r.Header.Set("Impersonate-Uid", wanted.UID)
	}
	for key, values := range wanted.Extra {
		for _, v := range values {
			r.Header.Add("Impersonate-Extra-"+url.PathEscape(key), v)
		}
	}
	filter.ServeHTTP(httptest.NewRecorder(), r)
	return is
}
