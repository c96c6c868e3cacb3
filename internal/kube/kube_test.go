package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// A server answers like an API server that has seen better days. It is for the
// faults that a healthy one in the lab does not show.
type server struct {
	mu       sync.Mutex
	answers  map[string]http.HandlerFunc
	requests []string
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r.URL.Path)
	h := s.answers[r.URL.Path]
	s.mu.Unlock()
	if h == nil {
		h = object(`{"kind":"List","apiVersion":"v1","items":[]}`)
		if strings.HasSuffix(r.URL.Path, "/secrets") || strings.HasSuffix(r.URL.Path, "/configmaps") {
			h = object(`{"kind":"Table","apiVersion":"meta.k8s.io/v1","rows":[]}`)
		}
		if r.URL.Path == "/apis" {
			h = object(`{"kind":"APIGroupList","apiVersion":"v1","groups":[]}`)
		}
		if r.URL.Path == "/flagz" {
			h = status(http.StatusNotFound, metav1.StatusReasonNotFound)
		}
	}
	h(w, r)
}

func object(json string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, json)
	}
}

func status(code int, reason metav1.StatusReason) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(metav1.Status{
			TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
			Status:   "Failure", Reason: reason, Code: int32(code), Message: "no",
		})
	}
}

func read(t *testing.T, answers map[string]http.HandlerFunc, opts Options, own ...cluster.CustomKind) (*cluster.Snapshot, *server, error) {
	t.Helper()
	all := map[string]http.HandlerFunc{"/version": object(`{"gitVersion":"v1.36.3"}`)}
	maps.Copy(all, answers)
	s := &server{answers: all}
	ts := httptest.NewServer(s)
	t.Cleanup(ts.Close)
	b := cluster.NewBuilder("test", true, own...)
	err := Read(t.Context(), &rest.Config{Host: ts.URL}, b, opts)
	return b.Snapshot(), s, err
}

func gaps(s *cluster.Snapshot, needs ...cluster.Need) []string {
	var out []string
	for _, g := range s.Gaps(needs...) {
		out = append(out, g.String())
	}
	return out
}

func TestWhatMayNotBeReadIsAGap(t *testing.T) {
	s, _, err := read(t, map[string]http.HandlerFunc{
		"/api/v1/secrets": status(http.StatusForbidden, metav1.StatusReasonForbidden),
		"/apis/rbac.authorization.k8s.io/v1/rolebindings": status(http.StatusForbidden, metav1.StatusReasonForbidden),
		"/apis/batch/v1/cronjobs":                         status(http.StatusNotFound, metav1.StatusReasonNotFound),
		"/apis/apps/v1/daemonsets":                        status(http.StatusInternalServerError, metav1.StatusReasonInternalError),
	}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"cronjobs.batch looked: true",
		"daemonsets.apps: no",
		"rolebindings.rbac.authorization.k8s.io: the credential may not list it (403)",
		"secrets: the credential may not list secrets (403); values are never requested",
	}
	got := append([]string{fmt.Sprintf("cronjobs.batch looked: %t", s.Looked(cluster.CronJobs))},
		gaps(s, cluster.DaemonSets, cluster.RoleBindings, cluster.Secrets)...)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("gaps (-want +got):\n%s", diff)
	}
	if s.Version != "v1.36.3" {
		t.Errorf("version is %q", s.Version)
	}
}

// TestOwnKinds: a kind that the user named is listed in the version that the server
// prefers; what is not as the user said is a gap, and what is not there is none.
func TestOwnKinds(t *testing.T) {
	const (
		groups = `{"kind":"APIGroupList","groups":[{"name":"batch.volcano.sh","versions":[{"groupVersion":"batch.volcano.sh/v1"},{"groupVersion":"batch.volcano.sh/v2"}],"preferredVersion":{"groupVersion":"batch.volcano.sh/v2"}}]}`
		served = `{"kind":"APIResourceList","resources":[{"name":"jobs/status","kind":"Job"},{"name":"jobs","kind":"Job","namespaced":true}]}`
		none   = `{"kind":"APIResourceList","resources":[]}`
		list   = `{"items":[{"metadata":{"name":"a","namespace":"ml"},"spec":{"template":{"spec":{"containers":[{"name":"c"}]}}}}]}`
	)
	for _, tt := range []struct {
		name, group, resource, version string
		v1, v2                         string
		items                          http.HandlerFunc
		pods                           int
		gap                            string
	}{
		{"it is listed", "batch.volcano.sh", "jobs", "", served, served, object(list), 1, ""},
		{"the version is the user's", "batch.volcano.sh", "jobs", "v1", served, none, object(list), 1, ""},
		{"the server has another version", "batch.volcano.sh", "jobs", "v1", none, served, object(list), 0, "jobs.batch.volcano.sh: the server has it in v2 and not in v1"},
		{"the plural is wrong", "batch.volcano.sh", "job", "", served, served, object(list), 0, "job.batch.volcano.sh: the server calls the resource of Job.batch.volcano.sh jobs"},
		{"the group is not served", "other.example", "jobs", "", served, served, object(list), 0, ""},
		{"the kind is not served", "batch.volcano.sh", "jobs", "", none, none, object(list), 0, ""},
		{"it may not be listed", "batch.volcano.sh", "jobs", "", served, served, status(http.StatusForbidden, metav1.StatusReasonForbidden), 0, "jobs.batch.volcano.sh: the credential may not list it (403)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			kind, err := cluster.OwnWorkload(tt.group, "Job", tt.resource, tt.version, []string{"spec.template"})
			if err != nil {
				t.Fatal(err)
			}
			s, _, err := read(t, map[string]http.HandlerFunc{
				"/apis": object(groups), "/apis/batch.volcano.sh/v1": object(tt.v1), "/apis/batch.volcano.sh/v2": object(tt.v2),
				"/apis/batch.volcano.sh/v1/jobs": tt.items, "/apis/batch.volcano.sh/v2/jobs": tt.items,
			}, Options{Needs: []cluster.Need{cluster.OwnWorkloads}}, kind)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			if tt.gap != "" {
				want = []string{"workloads:own: " + tt.gap}
			}
			if diff := cmp.Diff(want, gaps(s, cluster.OwnWorkloads)); diff != "" {
				t.Errorf("gaps (-want +got):\n%s", diff)
			}
			if len(s.Pods()) != tt.pods || !s.Looked(cluster.OwnWorkloads) {
				t.Errorf("%d pods, want %d; looked: %t", len(s.Pods()), tt.pods, s.Looked(cluster.OwnWorkloads))
			}
		})
	}
}

func TestPagesAndAnExpiredContinue(t *testing.T) {
	page := func(name, next string) string {
		return fmt.Sprintf(`{"kind":"PodList","apiVersion":"v1","metadata":{"continue":%q},"items":[{"metadata":{"name":%q,"namespace":"shop"}}]}`, next, name)
	}
	expired := false
	s, srv, err := read(t, map[string]http.HandlerFunc{
		"/api/v1/pods": func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Query().Get("continue") {
			case "":
				object(page("a", "2"))(w, r)
			case "2":
				if !expired {
					expired = true
					status(http.StatusGone, metav1.StatusReasonExpired)(w, r)
					return
				}
				object(page("b", ""))(w, r)
			}
		},
	}, Options{PageSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range s.Kind("Pod") {
		names = append(names, o.Name)
	}
	if diff := cmp.Diff([]string{"a", "b"}, names); diff != "" {
		t.Errorf("pods (-want +got):\n%s", diff)
	}
	if n := len(slices.DeleteFunc(srv.requests, func(p string) bool { return p != "/api/v1/pods" })); n != 4 {
		t.Errorf("requests: %d, want 4: two pages, an expired one, and both again", n)
	}
}

func TestSecretsAreReadAsATable(t *testing.T) {
	row := func(name, typ, count, fields string) string {
		return fmt.Sprintf(`{"cells":[%q,%q,%q,"1d"],"object":{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":%q,"namespace":"shop","resourceVersion":"7","managedFields":[{"fieldsV1":%s}]}}}`, name, typ, count, name, fields)
	}
	var accept string
	s, _, err := read(t, map[string]http.HandlerFunc{"/api/v1/secrets": func(w http.ResponseWriter, r *http.Request) {
		accept = r.Header.Get("Accept") + " " + r.URL.Query().Get("includeObject")
		object(`{"kind":"Table","apiVersion":"meta.k8s.io/v1","columnDefinitions":[{"name":"Name"},{"name":"Type"},{"name":"Data"},{"name":"Age"}],"rows":[`+
			row("db", "Opaque", "2", `{"f:data":{".":{},"f:password":{},"f:user":{}}}`)+","+
			row("cleared", "kubernetes.io/tls", "2", `{"f:type":{}}`)+`]}`)(w, r)
	}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if want := "application/json;as=Table;v=v1;g=meta.k8s.io Metadata"; accept != want {
		t.Errorf("asked for %q, want %q: values must not travel", accept, want)
	}
	got := map[string]any{}
	for _, o := range s.Kind("Secret") {
		got[o.Name] = o.Value
	}
	want := map[string]any{
		"db":      &cluster.SecretFacts{Type: "Opaque", Keys: []string{"password", "user"}, KeysKnown: true},
		"cleared": &cluster.SecretFacts{Type: "kubernetes.io/tls", Keys: []string{}, KeysKnown: false},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("secrets (-want +got):\n%s", diff)
	}
}

func TestKubelets(t *testing.T) {
	nodes := object(`{"kind":"NodeList","apiVersion":"v1","items":[{"metadata":{"name":"a"}},{"metadata":{"name":"b"}},{"metadata":{"name":"c"}}]}`)
	hang := func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	s, _, err := read(t, map[string]http.HandlerFunc{
		"/api/v1/nodes":                 nodes,
		"/api/v1/nodes/a/proxy/configz": object(`{"kubeletconfig":{"authentication":{"anonymous":{"enabled":true}},"readOnlyPort":10255}}`),
		"/api/v1/nodes/b/proxy/configz": hang,
		"/api/v1/nodes/c/proxy/configz": object(`{"other":{}}`),
	}, Options{NodeTimeout: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Kubelets()) != 1 || s.Kubelets()[0].Node != "a" || s.Kubelets()[0].Config.ReadOnlyPort != 10255 {
		t.Errorf("kubelets: %v", s.Kubelets())
	}
	want := []string{
		"kubelet-config of b: the server did not answer in time",
		"kubelet-config of c: /configz does not hold a kubelet configuration",
	}
	if diff := cmp.Diff(want, gaps(s, cluster.KubeletConfig)); diff != "" {
		t.Errorf("gaps (-want +got):\n%s", diff)
	}

	forbidden := status(http.StatusForbidden, metav1.StatusReasonForbidden)
	s, _, err = read(t, map[string]http.HandlerFunc{
		"/api/v1/nodes":                 nodes,
		"/api/v1/nodes/a/proxy/configz": forbidden, "/api/v1/nodes/b/proxy/configz": forbidden, "/api/v1/nodes/c/proxy/configz": forbidden,
	}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"kubelet-config: the credential may not read it (403)"}, gaps(s, cluster.KubeletConfig)); diff != "" {
		t.Errorf("one refusal speaks for all nodes (-want +got):\n%s", diff)
	}

	s, _, err = read(t, map[string]http.HandlerFunc{"/api/v1/nodes": forbidden}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"kubelet-config: the nodes could not be listed"}, gaps(s, cluster.KubeletConfig)); diff != "" {
		t.Errorf("nodes that may not be listed (-want +got):\n%s", diff)
	}
}

func TestFlagz(t *testing.T) {
	s, _, err := read(t, map[string]http.HandlerFunc{
		"/flagz": object(`{"kind":"Flagz","apiVersion":"config.k8s.io/v1beta1","flags":{"anonymous-auth":"true","enable-admission-plugins":"[NodeRestriction,EventRateLimit]"}}`),
	}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	servers := s.Components("kube-apiserver")
	if len(servers) != 1 {
		t.Fatalf("components: %v", servers)
	}
	if diff := cmp.Diff([]string{"NodeRestriction", "EventRateLimit"}, servers[0].Flags.List("enable-admission-plugins")); diff != "" {
		t.Errorf("plugins (-want +got):\n%s", diff)
	}
	s, _, err = read(t, nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := gaps(s, cluster.APIServerFlags); len(got) != 1 || !strings.Contains(got[0], "serves no /flagz") {
		t.Errorf("an older server's gap: %v", got)
	}
	// The others are not asked for anything they do not serve.
	if got := gaps(s, cluster.EtcdFlags); len(got) != 1 || !strings.Contains(got[0], "no static pod of etcd") {
		t.Errorf("etcd's gap: %v", got)
	}
}

// TestOneClearLine: whatever keeps everything from being read is told in one line
// with the next step.
func TestOneClearLine(t *testing.T) {
	unauthorized := map[string]http.HandlerFunc{"/version": status(http.StatusUnauthorized, metav1.StatusReasonUnauthorized)}
	_, _, err := read(t, unauthorized, Options{})
	check(t, err, "it does not accept the credential (401)")

	later := map[string]http.HandlerFunc{"/api/v1/pods": status(http.StatusUnauthorized, metav1.StatusReasonUnauthorized)}
	_, _, err = read(t, later, Options{})
	check(t, err, "it does not accept the credential (401)")

	closed := httptest.NewServer(nil)
	closed.Close()
	err = Read(t.Context(), &rest.Config{Host: closed.URL}, cluster.NewBuilder("x", true), Options{})
	check(t, err, "connection refused")

	plain := httptest.NewServer(&server{})
	defer plain.Close()
	err = Read(t.Context(), &rest.Config{Host: strings.Replace(plain.URL, "http:", "https:", 1)}, cluster.NewBuilder("x", true), Options{})
	check(t, err, "it does not speak TLS")

	secure := httptest.NewTLSServer(&server{})
	defer secure.Close()
	err = Read(t.Context(), &rest.Config{Host: secure.URL}, cluster.NewBuilder("x", true), Options{})
	check(t, err, "signed by an authority that the kubeconfig does not trust")

	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer silent.Close()
	err = Read(t.Context(), &rest.Config{Host: silent.URL, Timeout: 200 * time.Millisecond}, cluster.NewBuilder("x", true), Options{})
	check(t, err, "it did not answer in time")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Read(ctx, &rest.Config{Host: silent.URL}, cluster.NewBuilder("x", true), Options{}); err == nil {
		t.Error("an interrupted read is no error")
	}
}

func check(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("error is %v, want one line with %q", err, want)
		return
	}
	if h, ok := err.(interface{ Hint() string }); !ok || h.Hint() == "" {
		t.Errorf("%v: no hint", err)
	}
}

// TestOneNamespaceIsAPart: a scan of one namespace says that it knows nothing of the others.
func TestOneNamespaceIsAPart(t *testing.T) {
	needs := []cluster.Need{cluster.Services, cluster.Secrets, cluster.Nodes}
	s, srv, err := read(t, map[string]http.HandlerFunc{
		"/api/v1/namespaces/shop/services": object(`{"kind":"ServiceList","apiVersion":"v1","items":[{"metadata":{"name":"web","namespace":"shop"}}]}`),
	}, Options{Namespace: "shop", Needs: needs})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(srv.requests, "/api/v1/namespaces/shop/secrets") || len(s.Kind("Service")) != 1 {
		t.Errorf("asked for %v, and have services %v", srv.requests, s.Kind("Service"))
	}
	want := []string{"secrets: only namespace shop was asked for", "services: only namespace shop was asked for"}
	if diff := cmp.Diff(want, gaps(s, needs...)); diff != "" {
		t.Errorf("gaps (-want +got):\n%s", diff)
	}
}

func TestAnExpiredPageOfSecrets(t *testing.T) {
	expired := false
	page := func(name, next string) string {
		return fmt.Sprintf(`{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{"continue":%q},"columnDefinitions":[{"name":"Type"},{"name":"Data"}],"rows":[{"cells":["Opaque","0"],"object":{"metadata":{"name":%q,"namespace":"shop"}}}]}`, next, name)
	}
	s, _, err := read(t, map[string]http.HandlerFunc{"/api/v1/secrets": func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Query().Get("continue") == "":
			object(page("a", "2"))(w, r)
		case !expired:
			expired = true
			status(http.StatusGone, metav1.StatusReasonExpired)(w, r)
		default:
			object(page("b", ""))(w, r)
		}
	}}, Options{PageSize: 1, Needs: []cluster.Need{cluster.Secrets}})
	if err != nil {
		t.Fatal(err)
	}
	if got := gaps(s, cluster.Secrets); len(got) > 0 || len(s.Kind("Secret")) != 2 {
		t.Errorf("gaps %v and %d secrets, want none and 2", got, len(s.Kind("Secret")))
	}
}
