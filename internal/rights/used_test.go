package rights

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulwark-k8s/bulwark/internal/auditlog"
	"github.com/bulwark-k8s/bulwark/internal/authz"
	"github.com/bulwark-k8s/bulwark/internal/authz/grant"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// snapshotOf is a cluster with the objects and nothing else.
func snapshotOf(objects []any) *cluster.Snapshot {
	b := cluster.NewBuilder("test", true)
	for _, o := range objects {
		b.Add("rbac.authorization.k8s.io/v1", fmt.Sprintf("%T", o)[len("*v1."):], o.(metav1.Object), cluster.Source{})
	}
	return b.Snapshot()
}

// A log makes the lines of an audit log.
type log struct {
	strings.Builder
	n int
}

func (l *log) request(user, verb, uri string, more map[string]any) {
	l.n++
	e := map[string]any{
		"kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": fmt.Sprint("id-", l.n),
		"stage": "ResponseComplete", "requestURI": uri, "verb": verb,
		"user":        map[string]any{"username": user, "groups": []string{"system:authenticated"}},
		"annotations": map[string]string{"authorization.k8s.io/decision": "allow"}, "responseStatus": map[string]any{"code": 200},
	}
	maps.Copy(e, more)
	line, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	l.Write(append(line, '\n'))
}

type object map[string]string

func use(t *testing.T, text string, o UsedOptions) (*Used, []*auditlog.Event) {
	t.Helper()
	u, err := NewUsed(o)
	if err != nil {
		t.Fatal(err)
	}
	var events []*auditlog.Event
	unread, err := auditlog.Read(strings.NewReader(text), func(e *auditlog.Event) error {
		events = append(events, e)
		return u.Take(e)
	})
	if err != nil || unread.Lines > 0 {
		t.Fatalf("%d lines could not be read (%v): %v", unread.Lines, unread.First, err)
	}
	return u, events
}

// lines are the rights of a subject, one rule a line.
func lines(s *Subject) []string {
	var out []string
	for namespace, set := range s.Rights() {
		for _, rule := range set.Rules() {
			out = append(out, fmt.Sprintf("[%s] %s", namespace, grant.Describe([]rbacv1.PolicyRule{rule})))
		}
	}
	slices.Sort(out)
	return out
}

func TestUsed(t *testing.T) {
	const core, apps = "/api/v1", "/apis/apps/v1"
	pods := object{"resource": "pods", "namespace": "shop"}
	for name, tt := range map[string]struct {
		log  func(*log)
		want []string
	}{
		"a name counts where the path has it": {
			func(l *log) {
				l.request("ann", "get", core+"/namespaces/shop/configmaps/a", map[string]any{"objectRef": object{"resource": "configmaps", "namespace": "shop", "name": "a"}})
			},
			[]string{"[shop] get configmaps named a"},
		},
		"what is made has no name, though the log tells one": {
			func(l *log) {
				l.request("ann", "create", core+"/namespaces/shop/configmaps?x=y", map[string]any{"objectRef": object{"resource": "configmaps", "namespace": "shop", "name": "a"}})
			},
			[]string{"[shop] create configmaps"},
		},
		"nor a namespace that only its content has": {
			func(l *log) {
				l.request("ann", "create", core+"/nodes", map[string]any{"objectRef": object{"resource": "nodes", "namespace": "shop", "name": "a"}})
			},
			[]string{"[] create nodes"},
		},
		"a subresource that is made has its object's name": {
			func(l *log) {
				l.request("ann", "create", core+"/namespaces/shop/pods/db-0/exec?command=ls", map[string]any{"objectRef": object{"resource": "pods", "subresource": "exec", "namespace": "shop", "name": "db-0"}})
			},
			[]string{"[shop] create pods/exec named db-0"},
		},
		"a patch that makes needs create by name": {
			func(l *log) {
				l.request("ann", "patch", core+"/namespaces/shop/configmaps/a", map[string]any{"objectRef": object{"resource": "configmaps", "namespace": "shop", "name": "a"}, "responseStatus": map[string]any{"code": 201}})
			},
			[]string{"[shop] create, patch configmaps named a"},
		},
		"a list of one by field selector has a name, others do not": {
			func(l *log) {
				l.request("ann", "list", core+"/namespaces/shop/secrets?fieldSelector=metadata.name%3Da", map[string]any{"objectRef": object{"resource": "secrets", "namespace": "shop", "name": "a"}})
				l.request("ann", "watch", core+"/namespaces/shop/secrets?watch=true", map[string]any{"objectRef": object{"resource": "secrets", "namespace": "shop"}})
			},
			[]string{"[shop] list secrets named a", "[shop] watch secrets"},
		},
		"what is given everywhere is not repeated": {
			func(l *log) {
				l.request("ann", "list", core+"/pods", map[string]any{"objectRef": object{"resource": "pods"}})
				l.request("ann", "list", core+"/namespaces/shop/pods", map[string]any{"objectRef": pods})
				l.request("ann", "deletecollection", core+"/namespaces/shop/pods", map[string]any{"objectRef": pods})
			},
			[]string{"[] list pods", "[shop] deletecollection pods"},
		},
		"a Namespace is in itself": {
			func(l *log) {
				l.request("ann", "get", core+"/namespaces/shop", map[string]any{"objectRef": object{"resource": "namespaces", "namespace": "shop", "name": "shop"}})
				l.request("ann", "list", core+"/namespaces", map[string]any{"objectRef": object{"resource": "namespaces"}})
			},
			[]string{"[] list namespaces", "[shop] get namespaces named shop"},
		},
		"a path": {
			func(l *log) { l.request("ann", "get", "/metrics?x=1", nil) },
			[]string{"[] get /metrics"},
		},
		"what everybody has is left out": {
			func(l *log) {
				l.request("ann", "get", "/apis?timeout=32s", nil)
				l.request("ann", "create", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", map[string]any{"objectRef": object{"resource": "selfsubjectaccessreviews", "apiGroup": "authorization.k8s.io"}})
			},
			nil,
		},
		"what was denied is not used, what admission refused is": {
			func(l *log) {
				l.request("ann", "get", core+"/namespaces/shop/secrets/a", map[string]any{"objectRef": object{"resource": "secrets", "namespace": "shop", "name": "a"}, "responseStatus": map[string]any{"code": 403}, "annotations": map[string]string{"authorization.k8s.io/decision": "forbid"}})
				l.request("ann", "create", core+"/namespaces/shop/pods", map[string]any{"objectRef": pods, "responseStatus": map[string]any{"code": 403}})
			},
			[]string{"[shop] create pods"},
		},
		"names of one resource become any above the limit": {
			func(l *log) {
				for i := range 5 {
					l.request("ann", "get", fmt.Sprint(apps, "/namespaces/shop/deployments/", i), map[string]any{"objectRef": object{"apiGroup": "apps", "resource": "deployments", "namespace": "shop", "name": fmt.Sprint(i)}})
				}
			},
			[]string{"[shop] get deployments"},
		},
		"so do names that a machine made": {
			func(l *log) {
				l.request("ann", "get", core+"/namespaces/shop/pods/web-7f9c-x2x4z", map[string]any{"objectRef": object{"resource": "pods", "namespace": "shop", "name": "web-7f9c-x2x4z"}})
			},
			[]string{"[shop] get pods"},
		},
		"impersonation is the impersonated's act and the impersonator's right": {
			func(l *log) {
				l.request("boss", "list", core+"/namespaces/shop/pods", map[string]any{"objectRef": pods, "impersonatedUser": map[string]any{"username": "ann", "groups": []string{"devs", "system:authenticated"}, "extra": map[string][]string{"team": {"a"}}}})
			},
			[]string{"[shop] list pods", "boss: [] impersonate groups named devs", "boss: [] impersonate userextras/team named a", "boss: [] impersonate users named ann"},
		},
		"a service account that is impersonated brings its groups": {
			func(l *log) {
				l.request("boss", "list", core+"/namespaces/shop/pods", map[string]any{"objectRef": pods, "impersonatedUser": map[string]any{"username": "system:serviceaccount:shop:cart", "groups": []string{"system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"}}})
			},
			[]string{"boss: [shop] impersonate serviceaccounts named cart", "system:serviceaccount:shop:cart: [shop] list pods"},
		},
		"a constrained impersonation needs its own verbs": {
			func(l *log) {
				l.request("boss", "list", core+"/namespaces/shop/pods", map[string]any{"objectRef": pods, "impersonatedUser": map[string]any{"username": "ann", "groups": []string{"system:authenticated"}}, "authenticationMetadata": object{"impersonationConstraint": "impersonate:user-info"}})
			},
			[]string{"[shop] list pods", "boss: [] impersonate:user-info users named ann", "boss: [shop] impersonate-on:user-info:list pods"},
		},
		"who approves a certificate may do so for its signer": {
			func(l *log) {
				l.request("ann", "update", "/apis/certificates.k8s.io/v1/certificatesigningrequests/a/approval", map[string]any{"objectRef": object{"apiGroup": "certificates.k8s.io", "resource": "certificatesigningrequests", "subresource": "approval", "name": "a"}, "requestObject": map[string]any{"spec": object{"signerName": "example.com/x"}}})
			},
			[]string{"[] approve signers named example.com/x", "[] update certificatesigningrequests/approval named a"},
		},
		"who was refused for the signer did not use it": {
			func(l *log) {
				l.request("ann", "update", "/apis/certificates.k8s.io/v1/certificatesigningrequests/a/approval", map[string]any{"objectRef": object{"apiGroup": "certificates.k8s.io", "resource": "certificatesigningrequests", "subresource": "approval", "name": "a"}, "requestObject": map[string]any{"spec": object{"signerName": "example.com/x"}}, "responseStatus": map[string]any{"code": 403}})
			},
			[]string{"[] update certificatesigningrequests/approval named a"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var l log
			tt.log(&l)
			u, _ := use(t, l.String(), UsedOptions{MaxNames: 4, Given: Authenticated()})
			var got []string
			for _, s := range u.Subjects() {
				for _, line := range lines(s) {
					if s.User.Name != "ann" {
						line = s.User.Name + ": " + line
					}
					got = append(got, line)
				}
			}
			slices.Sort(got)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestUsedCounts: the stages of a request are one request, and what did not end is told.
func TestUsedCounts(t *testing.T) {
	var l log
	pods := object{"resource": "pods", "namespace": "shop"}
	for _, stage := range []string{"RequestReceived", "ResponseStarted", "ResponseComplete"} {
		l.n = 0
		more := map[string]any{"stage": stage, "objectRef": pods}
		if stage == "RequestReceived" {
			more["responseStatus"], more["annotations"] = nil, nil
		}
		l.request("ann", "watch", "/api/v1/namespaces/shop/pods?watch=true", more)
	}
	l.request("ann", "watch", "/api/v1/namespaces/shop/pods?watch=true", map[string]any{"stage": "ResponseStarted", "objectRef": pods})
	l.request("ann", "delete", "/api/v1/namespaces/shop/pods/a", map[string]any{"stage": "RequestReceived", "objectRef": pods, "responseStatus": nil, "annotations": nil})
	u, _ := use(t, l.String(), UsedOptions{})
	s := u.Subjects()
	if u.Requests != 2 || s[0].Requests != 2 || u.Unfinished != 1 {
		t.Errorf("%d requests, %d of ann, %d unfinished; want 2, 2, 1", u.Requests, s[0].Requests, u.Unfinished)
	}
	if got := lines(s[0]); !slices.Equal(got, []string{"[shop] watch pods"}) {
		t.Errorf("rights are %v, want to watch pods only", got)
	}
}

// TestUsedIsEnoughAndNoMore: for random logs the generated roles allow every request that
// was allowed, by the real engine; and every right of theirs is needed by one.
func TestUsedIsEnoughAndNoMore(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		text := randomLog(rng, 1+rng.IntN(60))
		u, events := use(t, text, UsedOptions{MaxNames: 1000})
		var objects []any
		names := Namer{Prefix: "used:"}
		subjects := u.Subjects()
		for _, s := range subjects {
			who := SubjectOf(s.User.Name)
			objects = append(objects, Manifests(names.Name(who), who, s.Rights())...)
		}
		needed := map[string]bool{}
		engine := authz.New(snapshotOf(objects), authz.Options{})
		for _, e := range events {
			asked := e.Impersonations()
			if e.Outcome == auditlog.Allowed {
				asked = append(asked, e.Request)
				if e.Created {
					made := e.Request
					made.Verb = "create"
					asked = append(asked, made)
				}
			}
			for _, a := range asked {
				a.User.Groups = nil // the roles alone have to allow it
				if got := engine.Authorize(&a); got.Decision != authz.Allow {
					t.Fatalf("%s by %s is %s with the generated roles:\n%s", a, a.User.Name, got.Decision, text)
				}
				for atom := range atomOf(&a).wider() {
					needed[fmt.Sprint(a.User.Name, a.Namespace, atom)] = true
				}
			}
		}
		for _, s := range subjects {
			for namespace, set := range s.Rights() {
				for atom := range set {
					if !needed[fmt.Sprint(s.User.Name, namespace, atom)] {
						t.Fatalf("%s has %+v in %q, which no request needs:\n%s", s.User.Name, atom, namespace, text)
					}
				}
			}
		}
	}
}

// randomLog makes requests with paths and references as the API server writes them.
func randomLog(rng *rand.Rand, n int) string {
	pick := func(from ...string) string { return from[rng.IntN(len(from))] }
	var l log
	for range n {
		who := pick("ann", "system:serviceaccount:shop:cart", "a b/c")
		more := map[string]any{"responseStatus": map[string]any{"code": 200 + rng.IntN(2)}}
		if rng.IntN(8) == 0 {
			more["impersonatedUser"] = map[string]any{"username": pick("bob", "system:serviceaccount:shop:web"), "groups": []string{pick("devs", "ops"), "system:authenticated"}}
			more["authenticationMetadata"] = object{"impersonationConstraint": pick("", "impersonate:user-info")}
		}
		if rng.IntN(6) == 0 {
			l.request(who, "get", pick("/metrics", "/logs/a", "/version"), more)
			continue
		}
		verb := pick("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
		ref := object{"apiVersion": "v1", "resource": pick("pods", "configmaps", "namespaces"), "apiGroup": pick("", "apps")}
		uri := "/api/v1"
		if ref["apiGroup"] != "" {
			uri = "/apis/" + ref["apiGroup"] + "/v1"
		}
		name := ""
		switch verb {
		case "get", "update", "patch", "delete":
			name = pick("a", "b", "c d")
			ref["subresource"] = pick("", "", "status")
		case "create":
			if ref["subresource"] = pick("", "exec"); ref["subresource"] != "" {
				name = pick("a", "b")
			}
		}
		switch {
		case ref["resource"] == "namespaces" && name != "":
			ref["namespace"] = name
		case ref["resource"] != "namespaces":
			if ns := pick("", "shop", "bank"); ns != "" && name == "" || name != "" {
				ref["namespace"] = pick("shop", "bank")
				uri += "/namespaces/" + ref["namespace"]
			}
		}
		uri += "/" + ref["resource"]
		if ref["name"] = name; name != "" {
			uri += "/" + url.PathEscape(name)
		} else if verb == "create" {
			ref["name"] = "made" // from the object
		}
		if (verb == "list" || verb == "watch") && rng.IntN(3) == 0 {
			ref["name"] = "a"
			uri += "?fieldSelector=metadata.name%3Da"
		}
		if ref["subresource"] != "" {
			uri += "/" + ref["subresource"]
		}
		more["objectRef"] = ref
		l.request(who, verb, uri, more)
	}
	return l.String()
}
