//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// A query is a line of `bulwark can --batch`.
type query struct {
	User        string   `json:"user"`
	Groups      []string `json:"groups,omitempty"`
	Verb        string   `json:"verb"`
	Group       string   `json:"group,omitempty"`
	Resource    string   `json:"resource,omitempty"`
	Subresource string   `json:"subresource,omitempty"`
	Name        string   `json:"name,omitempty"`
	Namespace   string   `json:"namespace,omitempty"`
	URL         string   `json:"url,omitempty"`
}

// review is the query as the API server is asked it. What authentication would add is
// added here by hand, as a review takes groups as they are.
func (q query) review() *authorizationv1.SubjectAccessReview {
	groups := slices.Clone(q.Groups)
	if rest, ok := strings.CutPrefix(q.User, "system:serviceaccount:"); ok {
		namespace, _, _ := strings.Cut(rest, ":")
		groups = append(groups, "system:serviceaccounts", "system:serviceaccounts:"+namespace)
	}
	if q.User == "system:anonymous" {
		groups = append(groups, "system:unauthenticated")
	} else {
		groups = append(groups, "system:authenticated")
	}
	spec := authorizationv1.SubjectAccessReviewSpec{User: q.User, Groups: groups}
	if q.URL != "" {
		spec.NonResourceAttributes = &authorizationv1.NonResourceAttributes{Verb: q.Verb, Path: q.URL}
	} else {
		spec.ResourceAttributes = &authorizationv1.ResourceAttributes{
			Verb: q.Verb, Group: q.Group, Version: "*", Resource: q.Resource, Subresource: q.Subresource, Name: q.Name, Namespace: q.Namespace,
		}
	}
	return &authorizationv1.SubjectAccessReview{Spec: spec}
}

// rightsObjects are grants of every form, besides those that a cluster has anyway.
const rightsObjects = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: robot, namespace: e2e-rights}
---
apiVersion: v1
kind: Secret
metadata: {name: mounted, namespace: e2e-rights}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: mounted, namespace: e2e-rights}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: names, namespace: e2e-rights}
rules:
- {apiGroups: [""], resources: [secrets, configmaps], resourceNames: [mounted, "*"], verbs: [get, list, create, deletecollection]}
- {apiGroups: [""], resources: ["pods/*", "*/scale", pods/log], verbs: ["*"]}
- {apiGroups: [apps], resources: ["*"], verbs: [get, patch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: names, namespace: e2e-rights}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: names}
subjects:
- {kind: ServiceAccount, name: robot}
- {kind: User, apiGroup: rbac.authorization.k8s.io, name: anna}
- {kind: Group, apiGroup: rbac.authorization.k8s.io, name: "system:serviceaccounts:e2e-rights"}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: own-namespace, namespace: e2e-rights}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: e2e-rights-wide}
subjects:
- {kind: User, apiGroup: rbac.authorization.k8s.io, name: anna}
- {kind: User, apiGroup: rbac.authorization.k8s.io, name: "system:serviceaccount:e2e-rights:robot"}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: e2e-rights-wide}
rules:
- {apiGroups: ["", rbac.authorization.k8s.io], resources: [namespaces, nodes, clusterroles, serviceaccounts/token], verbs: [get, bind, create, impersonate]}
- {nonResourceURLs: [/metrics, "/logs/*", /healthz*], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: e2e-rights-sum}
aggregationRule: {clusterRoleSelectors: [{matchLabels: {e2e-rights: "yes"}}]}
rules: []
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: e2e-rights-part, labels: {e2e-rights: "yes"}}
rules:
- {apiGroups: ["*"], resources: ["*/status"], verbs: [update]}
- {nonResourceURLs: [/metrics, "/logs/*", /healthz*], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: e2e-rights-sum}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: e2e-rights-sum}
subjects:
- {kind: Group, apiGroup: rbac.authorization.k8s.io, name: builders}
- {kind: ServiceAccount, name: robot, namespace: e2e-rights}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: e2e-rights-ghost}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: e2e-rights-gone}
subjects:
- {kind: User, apiGroup: rbac.authorization.k8s.io, name: anna}
---
`

// A sampler makes queries that are about what a cluster has, so that about a half of
// them is allowed: mostly a rule of some role, asked by a subject of one of its bindings,
// with one thing in it sometimes changed.
type sampler struct {
	*rand.Rand
	subjects   []rbacv1.Subject
	grants     []grant
	nodes      []string
	pods       []corev1.Pod
	namespaces []string
}

type grant struct {
	namespace string
	subjects  []rbacv1.Subject
	rules     []rbacv1.PolicyRule
}

func newSampler(ctx context.Context, t *testing.T, client kubernetes.Interface) *sampler {
	t.Helper()
	s := &sampler{Rand: rand.New(rand.NewPCG(1, 4))}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	all := metav1.ListOptions{}
	rules := map[string][]rbacv1.PolicyRule{}
	clusterRoles, err := client.RbacV1().ClusterRoles().List(ctx, all)
	check(err)
	for _, r := range clusterRoles.Items {
		rules["ClusterRole//"+r.Name] = r.Rules
	}
	roles, err := client.RbacV1().Roles("").List(ctx, all)
	check(err)
	for _, r := range roles.Items {
		rules["Role/"+r.Namespace+"/"+r.Name] = r.Rules
	}
	clusterBindings, err := client.RbacV1().ClusterRoleBindings().List(ctx, all)
	check(err)
	for _, b := range clusterBindings.Items {
		s.grants = append(s.grants, grant{"", b.Subjects, rules["ClusterRole//"+b.RoleRef.Name]})
	}
	bindings, err := client.RbacV1().RoleBindings("").List(ctx, all)
	check(err)
	for _, b := range bindings.Items {
		key := b.RoleRef.Kind + "//" + b.RoleRef.Name
		if b.RoleRef.Kind == "Role" {
			key = "Role/" + b.Namespace + "/" + b.RoleRef.Name
		}
		for i := range b.Subjects {
			if b.Subjects[i].Kind == "ServiceAccount" && b.Subjects[i].Namespace == "" {
				b.Subjects[i].Namespace = b.Namespace
			}
		}
		s.grants = append(s.grants, grant{b.Namespace, b.Subjects, rules[key]})
	}
	for _, g := range s.grants {
		s.subjects = append(s.subjects, g.subjects...)
	}
	s.grants = slices.DeleteFunc(s.grants, func(g grant) bool { return len(g.rules) == 0 || len(g.subjects) == 0 })
	nodes, err := client.CoreV1().Nodes().List(ctx, all)
	check(err)
	for _, n := range nodes.Items {
		s.nodes = append(s.nodes, n.Name)
	}
	pods, err := client.CoreV1().Pods("").List(ctx, all)
	check(err)
	s.pods = pods.Items
	namespaces, err := client.CoreV1().Namespaces().List(ctx, all)
	check(err)
	for _, n := range namespaces.Items {
		s.namespaces = append(s.namespaces, n.Name)
	}
	return s
}

func pick[T any](s *sampler, from ...T) T {
	if len(from) == 0 {
		var zero T
		return zero
	}
	return from[s.IntN(len(from))]
}

// by makes the query one of the subject's.
func (s *sampler) by(q *query, subject rbacv1.Subject) {
	switch subject.Kind {
	case "User":
		q.User = subject.Name
	case "Group":
		q.User = pick(s, "somebody", "system:serviceaccount:e2e-rights:other")
		if !strings.HasPrefix(subject.Name, "system:serviceaccounts") && subject.Name != "system:authenticated" && subject.Name != "system:unauthenticated" {
			q.Groups = []string{subject.Name}
		}
	default:
		q.User = "system:serviceaccount:" + subject.Namespace + ":" + subject.Name
	}
}

func (s *sampler) query() query {
	var q query
	if s.IntN(5) == 0 {
		return s.node()
	}
	g := pick(s, s.grants...)
	rule := pick(s, g.rules...)
	subject := pick(s, g.subjects...)
	if s.IntN(3) == 0 {
		subject = pick(s, s.subjects...)
	}
	s.by(&q, subject)
	q.Verb = pick(s, rule.Verbs...)
	if q.Verb == "*" || s.IntN(4) == 0 {
		q.Verb = pick(s, "get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "bind", "impersonate", "approve")
	}
	if len(rule.NonResourceURLs) > 0 {
		q.URL = "/" + strings.TrimPrefix(strings.ReplaceAll(pick(s, rule.NonResourceURLs...), "*", pick(s, "", "x", "x/y")), "/")
		return q
	}
	q.Namespace = g.namespace
	if s.IntN(3) == 0 {
		q.Namespace = pick(s, append(s.namespaces, "")...)
	}
	q.Group = strings.ReplaceAll(pick(s, rule.APIGroups...), "*", pick(s, "", "apps", "batch"))
	resource := pick(s, rule.Resources...)
	if resource == "*" || s.IntN(8) == 0 {
		resource = pick(s, "pods", "secrets", "deployments", "pods/exec", "pods/*", "deployments/scale", "namespaces", "widgets")
	}
	if sub, ok := strings.CutPrefix(resource, "*/"); ok && s.IntN(3) > 0 {
		resource = pick(s, "deployments", "nodes") + "/" + sub
	}
	q.Resource, q.Subresource, _ = strings.Cut(resource, "/")
	q.Name = pick(s, append(slices.Clone(rule.ResourceNames), "", "x", "mounted", "*")...)
	if q.Resource == "namespaces" { // a request for one is in it
		q.Namespace, q.Name = pick(s, "", "e2e-rights", q.Namespace), pick(s, "e2e-rights", q.Name)
	}
	return q
}

// node asks what a kubelet asks, about its own pods and others'.
func (s *sampler) node() query {
	q := query{User: "system:node:" + pick(s, append(s.nodes, "nobody")...), Groups: []string{"system:nodes"}}
	if s.IntN(8) == 0 {
		q.Groups = nil
	}
	pod := pick(s, s.pods...)
	if s.IntN(2) == 0 && pod.Spec.NodeName != "" {
		q.User = "system:node:" + pod.Spec.NodeName
	}
	q.Namespace = pod.Namespace
	q.Verb = pick(s, "get", "list", "watch", "create", "update", "delete")
	switch s.IntN(6) {
	case 0:
		q.Resource, q.Name = "pods", pod.Name
		q.Subresource = pick(s, "", "status", "eviction", "exec")
	case 1:
		q.Resource, q.Subresource, q.Name = "serviceaccounts", pick(s, "", "token"), pod.Spec.ServiceAccountName
	case 2:
		q.Namespace, q.Resource, q.Name, q.Subresource = "", "nodes", pick(s, append(s.nodes, "")...), pick(s, "", "status", "proxy")
	case 3:
		q.Group, q.Resource, q.Namespace, q.Name = "coordination.k8s.io", "leases", "kube-node-lease", pick(s, append(s.nodes, "")...)
	default:
		q.Resource, q.Name = pick(s, "secrets", "configmaps"), pick(s, names(pod)...)
	}
	return q
}

// names are what a pod refers to, and some that it does not.
func names(pod corev1.Pod) []string {
	out := []string{"", "mounted", "kube-root-ca.crt"}
	for _, v := range pod.Spec.Volumes {
		if v.Secret != nil {
			out = append(out, v.Secret.SecretName)
		}
		if v.ConfigMap != nil {
			out = append(out, v.ConfigMap.Name)
		}
	}
	return out
}

// TestRightsAgreeWithTheAPIServer: what `bulwark can` answers is what the API server does.
func TestRightsAgreeWithTheAPIServer(t *testing.T) {
	const samples = 2000
	c := hardened.get(t)
	c.namespace(t, "e2e-rights")
	t.Cleanup(func() {
		c.kubectl(t, "delete", "clusterrole,clusterrolebinding", "--ignore-not-found", "e2e-rights-wide", "e2e-rights-sum", "e2e-rights-part", "e2e-rights-ghost")
	})
	pod := strings.Replace(probe("e2e-rights", "holder", "node-1", "sleep"), "  containers:",
		"  volumes: [{name: s, secret: {secretName: mounted}}, {name: c, configMap: {name: mounted}}]\n  serviceAccountName: robot\n  containers:", 1)
	c.apply(t, rightsObjects+pod, "apply", "-f", "-")
	c.must(t, "-n", "e2e-rights", "wait", "--for=condition=Ready", "pod/holder", "--timeout=60s")
	client := kubernetes.NewForConfigOrDie(c.config(t))
	s := newSampler(t.Context(), t, client)
	queries := make([]query, samples)
	for i := range queries {
		queries[i] = s.query()
	}
	allowed, wrong := c.compare(t, client, queries)
	if len(wrong) > 0 {
		// Pods come and go while other tests run: what differs is asked once more.
		again := make([]query, len(wrong))
		for i, d := range wrong {
			again[i] = d.query
		}
		_, wrong = c.compare(t, client, again)
	}
	for _, d := range wrong {
		t.Errorf("%+v\n  the API server says %q (%s), bulwark %q (%s)", d.query, d.server, d.serverReason, d.ours, d.reason)
	}
	t.Logf("%d access reviews agree with the API server's answers, %d of them allowed", samples-len(wrong), allowed)
	if allowed < samples/5 || allowed > samples*4/5 {
		t.Errorf("%d of %d queries are allowed: the sample proves little", allowed, samples)
	}
}

// A difference is a query that was answered otherwise than the API server does.
type difference struct {
	query                              query
	server, serverReason, ours, reason string
}

func (c *cluster) compare(t *testing.T, client kubernetes.Interface, queries []query) (allowed int, wrong []difference) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "queries.jsonl")
	var lines strings.Builder
	for _, q := range queries {
		line, err := json.Marshal(q)
		if err != nil {
			t.Fatal(err)
		}
		lines.Write(append(line, '\n'))
	}
	if err := os.WriteFile(file, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	res := bulwark(t, "can", "--batch", file, "--kubeconfig", c.kubeconfig)
	if res.code != 0 && res.code != 4 { // what is unknown is told one by one
		t.Fatalf("can --batch: exit code %d\n%s", res.code, res.stderr)
	}
	answers := strings.Split(strings.TrimSpace(res.stdout), "\n")
	if len(answers) != len(queries) {
		t.Fatalf("%d answers to %d queries", len(answers), len(queries))
	}
	reviews := make([]*authorizationv1.SubjectAccessReview, len(queries))
	var all sync.WaitGroup
	const workers = 8
	for w := range workers {
		all.Go(func() {
			for i := w; i < len(queries); i += workers {
				r, err := client.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), queries[i].review(), metav1.CreateOptions{})
				if err != nil {
					r = &authorizationv1.SubjectAccessReview{Status: authorizationv1.SubjectAccessReviewStatus{Reason: fmt.Sprint("no review: ", err)}}
				}
				reviews[i] = r
			}
		})
	}
	all.Wait()
	for i, r := range reviews {
		var got struct{ Decision, Reason string }
		if err := json.Unmarshal([]byte(answers[i]), &got); err != nil {
			t.Fatalf("line %d: %v\n%s", i+1, err, answers[i])
		}
		want := "deny"
		if r.Status.Allowed {
			want = "allow"
			allowed++
		}
		if got.Decision != want {
			wrong = append(wrong, difference{queries[i], want, r.Status.Reason, got.Decision, got.Reason})
		}
	}
	return allowed, wrong
}
