package oracle

import (
	"context"
	"flag"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/authorization/union"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/auth/nodeidentifier"
	"k8s.io/kubernetes/pkg/registry/rbac/validation"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/node"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy"

	"github.com/bulwark-k8s/bulwark/internal/authz"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// A world is one set of objects for both: our engine and the API server's authorizers.
type world struct {
	roles               []*rbacv1.Role
	bindings            []*rbacv1.RoleBinding
	clusterRoles        []*rbacv1.ClusterRole
	clusterRoleBindings []*rbacv1.ClusterRoleBinding
}

// snapshot is what our engine sees of it: a running cluster of which everything was read.
func (w *world) snapshot(more ...func(*cluster.Builder)) *cluster.Snapshot {
	b := cluster.NewBuilder("oracle", true)
	b.SetVersion("v1.36.3")
	b.Looked(cluster.Objects()...)
	b.Looked(cluster.VolumeAttachments, cluster.DeviceSlices, cluster.PodCertificates)
	const v1 = "rbac.authorization.k8s.io/v1"
	for _, o := range w.roles {
		b.Add(v1, "Role", o, cluster.Source{})
	}
	for _, o := range w.bindings {
		b.Add(v1, "RoleBinding", o, cluster.Source{})
	}
	for _, o := range w.clusterRoles {
		b.Add(v1, "ClusterRole", o, cluster.Source{})
	}
	for _, o := range w.clusterRoleBindings {
		b.Add(v1, "ClusterRoleBinding", o, cluster.Source{})
	}
	for _, add := range more {
		add(b)
	}
	return b.Snapshot()
}

func (w *world) resolver() (validation.AuthorizationRuleResolver, *validation.StaticRoles) {
	return validation.NewTestRuleResolver(w.roles, w.bindings, w.clusterRoles, w.clusterRoleBindings)
}

// Options of the test binary: make fuzz takes more rounds.
var rounds = flag.Int("rounds", 1, "how many times the usual number of random cases is tried")

// server is the API server's usual chain: system:masters, Node, RBAC, and what is given.
func (w *world) server(after ...authorizer.Authorizer) authorizer.Authorizer {
	_, s := w.resolver()
	chain := []authorizer.Authorizer{
		authorizerfactory.NewPrivilegedGroups(user.SystemPrivilegedGroup),
		node.NewAuthorizer(node.NewGraph(), nodeidentifier.NewDefaultNodeIdentifier(), bootstrappolicy.NodeRules()),
		rbac.New(s, s, s, s),
	}
	return union.New(append(chain, after...)...)
}

// theirs are a request's attributes as the API server has them.
func theirs(a *authz.Attributes) authorizer.AttributesRecord {
	r := authorizer.AttributesRecord{
		User: &user.DefaultInfo{Name: a.User.Name, Groups: a.User.Groups}, Verb: a.Verb, Namespace: a.Namespace, Name: a.Name,
		APIGroup: a.Group, APIVersion: a.Version, Resource: a.Resource, Subresource: a.Subresource, Path: a.Path, ResourceRequest: a.ResourceRequest,
	}
	for _, f := range a.Fields {
		r.FieldSelectorRequirements = append(r.FieldSelectorRequirements, fields.Requirement{Field: f[0], Operator: selection.Equals, Value: f[1]})
	}
	return r
}

// A tally holds the two against each other and counts.
type tally struct{ allowed, denied int }

func (n *tally) compare(t testing.TB, e *authz.Engine, server authorizer.Authorizer, a *authz.Attributes, w fmt.Stringer) {
	t.Helper()
	got := e.Authorize(a).Decision
	r := theirs(a)
	decision, reason, err := server.Authorize(context.Background(), &r)
	want := authz.Deny
	if decision == authorizer.DecisionAllow {
		want = authz.Allow
		n.allowed++
	} else {
		n.denied++
	}
	if got != want {
		t.Fatalf("%s by %+v (%+v): ours is %s, the API server's is %s (%s, %v)\n%s", a, a.User, *a, got, want, reason, err, w)
	}
}

func (n *tally) report(t *testing.T, least, low, high int) {
	t.Helper()
	all := n.allowed + n.denied
	t.Logf("%d decisions, %d%% of them allowed, no difference", all, 100*n.allowed/max(all, 1))
	if share := 100 * n.allowed / max(all, 1); all < least || share < low || share > high {
		t.Errorf("want at least %d decisions, %d to %d%% allowed", least, low, high)
	}
}

func (w *world) String() string {
	var b strings.Builder
	for _, o := range w.clusterRoles {
		fmt.Fprintf(&b, "clusterrole %s %v\n", o.Name, o.Rules)
	}
	for _, o := range w.roles {
		fmt.Fprintf(&b, "role %s/%s %v\n", o.Namespace, o.Name, o.Rules)
	}
	for _, o := range w.clusterRoleBindings {
		fmt.Fprintf(&b, "clusterrolebinding %s %v %v\n", o.Name, o.RoleRef, o.Subjects)
	}
	for _, o := range w.bindings {
		fmt.Fprintf(&b, "rolebinding %s/%s %v %v\n", o.Namespace, o.Name, o.RoleRef, o.Subjects)
	}
	return b.String()
}

func meta(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name}
}

func clusterBinding(name, role string, subjects ...rbacv1.Subject) *rbacv1.ClusterRoleBinding {
	return &rbacv1.ClusterRoleBinding{ObjectMeta: meta("", name), RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: role}, Subjects: subjects}
}

var (
	ruleVerbs     = [][]string{nil, {"get"}, {"*"}, {"list", "get"}}
	ruleGroups    = [][]string{nil, {""}, {"apps"}, {"*"}}
	ruleResources = [][]string{nil, {"pods"}, {"pods/exec"}, {"*/exec"}, {"*"}, {"pods/*"}, {"*/*"}, {"/exec"}, {"*/"}, {"secrets", "pods/log"}}
	ruleNames     = [][]string{nil, {"p"}, {"*"}, {""}}
	ruleURLs      = [][]string{nil, {"*"}, {"/m"}, {"/m*"}, {"/m/*"}, {"/m**", "/x"}}

	askVerbs     = []string{"get", "list", "create", "*", ""}
	askGroups    = []string{"", "apps", "*"}
	askResources = []string{"pods", "secrets", "pods/exec", "*", ""}
	askSubs      = []string{"", "exec", "log", "*"}
	askNames     = []string{"", "p", "q", "*"}
	askPaths     = []string{"", "/", "/m", "/m/", "/m/x", "/mx", "*", "/n"}
)

// everyAct is every request of the small scope, without user and namespace.
func everyAct() []authz.Attributes {
	var out []authz.Attributes
	for _, verb := range askVerbs {
		for _, path := range askPaths {
			out = append(out, authz.URL(verb, path))
		}
		for _, group := range askGroups {
			for _, resource := range askResources {
				for _, sub := range askSubs {
					for _, name := range askNames {
						out = append(out, authz.Attributes{Verb: verb, Group: group, Resource: resource, Subresource: sub, Name: name, ResourceRequest: true})
					}
				}
			}
		}
	}
	return out
}

// TestAuthorizeEveryRule holds every rule of the small scope against every request.
func TestAuthorizeEveryRule(t *testing.T) {
	var n tally
	acts := everyAct()
	ann := authz.NewUser("ann")
	for i := range acts {
		acts[i].User = ann
	}
	try := func(rule rbacv1.PolicyRule, acts []authz.Attributes) {
		w := &world{
			clusterRoles:        []*rbacv1.ClusterRole{{ObjectMeta: meta("", "r"), Rules: []rbacv1.PolicyRule{rule}}},
			clusterRoleBindings: []*rbacv1.ClusterRoleBinding{clusterBinding("b", "r", rbacv1.Subject{Kind: "User", Name: "ann"})},
		}
		e, server := authz.New(w.snapshot(), authz.Options{}), w.server()
		for i := range acts {
			n.compare(t, e, server, &acts[i], w)
		}
	}
	rules := 0
	for _, verbs := range ruleVerbs {
		for _, urls := range ruleURLs {
			try(rbacv1.PolicyRule{Verbs: verbs, NonResourceURLs: urls}, acts)
			rules++
		}
		for _, groups := range ruleGroups {
			for _, resources := range ruleResources {
				for _, names := range ruleNames {
					rules++
					try(rbacv1.PolicyRule{Verbs: verbs, APIGroups: groups, Resources: resources, ResourceNames: names, NonResourceURLs: ruleURLs[rules%len(ruleURLs)]}, acts)
				}
			}
		}
	}
	t.Logf("%d rules against %d requests", rules, len(acts))
	n.report(t, 500_000, 1, 50)
}

// TestAuthorizeEveryBinding holds every kind of binding, subject and user against every
// scope of a request.
func TestAuthorizeEveryBinding(t *testing.T) {
	var n tally
	var subjects []rbacv1.Subject
	for _, kind := range []string{"User", "Group", "ServiceAccount", "Robot", ""} {
		for _, name := range subjectNames {
			for _, namespace := range []string{"", "a", "b"} {
				subjects = append(subjects, rbacv1.Subject{Kind: kind, Name: name, Namespace: namespace, APIGroup: "any"})
			}
		}
	}
	rules := []rbacv1.PolicyRule{
		{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"pods", "nodes", "namespaces"}},
		{Verbs: []string{"get"}, NonResourceURLs: []string{"/m"}},
	}
	var acts []authz.Attributes
	for _, u := range users() {
		acts = append(acts, authz.URL("get", "/m").By(u), authz.Request("get", "", "namespaces", "", "a").By(u), authz.Request("get", "", "nodes", "", "n").By(u))
		for _, namespace := range []string{"", "a", "b"} {
			acts = append(acts, authz.Request("get", "", "pods", namespace, "p").By(u))
		}
	}
	for _, subject := range subjects {
		for _, in := range []string{"", "a", "b"} {
			for _, kind := range []string{"ClusterRole", "Role", "Rolle"} {
				for _, role := range []string{"r", "gone"} {
					ref := rbacv1.RoleRef{Kind: kind, Name: role}
					w := &world{
						clusterRoles: []*rbacv1.ClusterRole{{ObjectMeta: meta("", "r"), Rules: rules}},
						roles:        []*rbacv1.Role{{ObjectMeta: meta("a", "r"), Rules: rules}},
					}
					if in == "" {
						w.clusterRoleBindings = []*rbacv1.ClusterRoleBinding{{ObjectMeta: meta("", "b"), RoleRef: ref, Subjects: []rbacv1.Subject{subject}}}
					} else {
						w.bindings = []*rbacv1.RoleBinding{{ObjectMeta: meta(in, "b"), RoleRef: ref, Subjects: []rbacv1.Subject{subject}}}
					}
					e, server := authz.New(w.snapshot(), authz.Options{}), w.server()
					for i := range acts {
						n.compare(t, e, server, &acts[i], w)
					}
				}
			}
		}
	}
	n.report(t, 50_000, 1, 50)
}

var subjectNames = []string{
	"ann", "x", "system:serviceaccount:a:x", "devs", "system:authenticated", "system:unauthenticated",
	"system:serviceaccounts", "system:serviceaccounts:a", "system:masters", "system:nodes", "system:node:n1", "system:anonymous", "",
}

// users are everybody of the small scope, with odd ones: a name that looks like an
// account's, groups without their user.
func users() []authz.User {
	return []authz.User{
		authz.NewUser("ann"), authz.NewUser("ann", "devs"), authz.NewUser("x", "devs", "system:nodes"), authz.Anonymous(),
		authz.ServiceAccount("a", "x"), authz.ServiceAccount("b", "x"), authz.Node("n1"), authz.Node("n2"), authz.NewUser("root", "system:masters"),
		{Name: "system:serviceaccount:a:x"},
		{Name: "system:serviceaccount:a:x:y", Groups: []string{"system:serviceaccounts"}},
		{},
		{Name: "", Groups: []string{""}},
		{Name: "system:node:", Groups: []string{"system:nodes"}},
	}
}

// A maker makes random worlds out of small alphabets, so that things meet.
type maker struct{ generator }

func newMaker(seed uint64) maker {
	return maker{generator{mathrand.New(mathrand.NewPCG(seed, 7))}}
}

func (m maker) some(from []string, most int) []string {
	var out []string
	for range 1 + m.IntN(most) {
		out = append(out, pick(m.generator, from...))
	}
	return out
}

var (
	someVerbs     = []string{"get", "list", "create", "update", "delete", "bind", "escalate", "*"}
	someGroups    = []string{"", "", "apps", rbacv1.GroupName, "*"}
	someResources = []string{"pods", "pods/exec", "*/exec", "secrets", "namespaces", "nodes", "roles", "clusterroles", "*", "pods/*", "serviceaccounts/token"}
	someNames     = []string{"p", "q", "a", "r0", "r1"}
	someURLs      = []string{"*", "/m", "/m/*", "/h*", "/"}
	someSpaces    = []string{"a", "b"}
)

func (m maker) rule() rbacv1.PolicyRule {
	r := rbacv1.PolicyRule{Verbs: m.some(someVerbs, 3)}
	if m.maybe(0.2) {
		r.NonResourceURLs = m.some(someURLs, 2)
	}
	if m.maybe(0.9) {
		r.APIGroups, r.Resources = m.some(someGroups, 2), m.some(someResources, 3)
		if m.maybe(0.3) {
			r.ResourceNames = m.some(someNames, 2)
		}
	}
	return r
}

func (m maker) rules(most int) []rbacv1.PolicyRule {
	var out []rbacv1.PolicyRule
	for range m.IntN(most + 1) {
		out = append(out, m.rule())
	}
	return out
}

func (m maker) subjects() []rbacv1.Subject {
	var out []rbacv1.Subject
	for range 1 + m.IntN(6) {
		s := rbacv1.Subject{Kind: pick(m.generator, "User", "Group", "ServiceAccount", "ServiceAccount"), Name: pick(m.generator, subjectNames[:8]...)}
		if m.maybe(0.3) {
			s.Name = "x"
		}
		if m.maybe(0.5) {
			s.Namespace = pick(m.generator, someSpaces...)
		}
		out = append(out, s)
	}
	return out
}

func (m maker) world() *world {
	w := new(world)
	name := func(i int) string { return fmt.Sprintf("r%d", i) }
	for i := range 2 + m.IntN(5) {
		w.clusterRoles = append(w.clusterRoles, &rbacv1.ClusterRole{ObjectMeta: meta("", name(i)), Rules: m.rules(5)})
	}
	for i := range 2 + m.IntN(4) {
		w.roles = append(w.roles, &rbacv1.Role{ObjectMeta: meta(pick(m.generator, someSpaces...), name(i)), Rules: m.rules(5)})
	}
	ref := func() rbacv1.RoleRef {
		return rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: pick(m.generator, "ClusterRole", "ClusterRole", "Role"), Name: name(m.IntN(5))}
	}
	for i := range 1 + m.IntN(4) {
		w.clusterRoleBindings = append(w.clusterRoleBindings, &rbacv1.ClusterRoleBinding{ObjectMeta: meta("", name(i)), RoleRef: ref(), Subjects: m.subjects()})
	}
	for i := range 2 + m.IntN(8) {
		w.bindings = append(w.bindings, &rbacv1.RoleBinding{ObjectMeta: meta(pick(m.generator, someSpaces...), name(i)), RoleRef: ref(), Subjects: m.subjects()})
	}
	return w
}

func (m maker) act() authz.Attributes {
	if m.maybe(0.1) {
		return authz.URL(pick(m.generator, someVerbs...), pick(m.generator, "/m", "/m/x", "/h", "/healthz", "/"))
	}
	a := authz.Request(pick(m.generator, someVerbs[:7]...), pick(m.generator, someGroups[:4]...), pick(m.generator, "pods", "pods/exec", "secrets", "namespaces", "nodes", "roles", "clusterroles", "serviceaccounts/token"), pick(m.generator, "", "a", "a", "b", "b"), "")
	if m.maybe(0.5) {
		a.Name = pick(m.generator, someNames...)
	}
	return a
}

// likely is a request that a binding of the world is about, by somebody of its subjects;
// often with one thing changed.
func (m maker) likely(w *world) authz.Attributes {
	a := m.act().By(pick(m.generator, users()...))
	namespace := a.Namespace
	var ref rbacv1.RoleRef
	var subjects []rbacv1.Subject
	if i := m.IntN(len(w.clusterRoleBindings) + len(w.bindings)); i < len(w.clusterRoleBindings) {
		ref, subjects = w.clusterRoleBindings[i].RoleRef, w.clusterRoleBindings[i].Subjects
	} else {
		b := w.bindings[i-len(w.clusterRoleBindings)]
		namespace, ref, subjects = b.Namespace, b.RoleRef, b.Subjects
	}
	resolver, _ := w.resolver()
	rules, err := resolver.GetRoleReferenceRules(context.Background(), ref, namespace)
	if err != nil || len(rules) == 0 || len(subjects) == 0 {
		return a
	}
	r, subject, u := pick(m.generator, rules...), pick(m.generator, subjects...), a.User
	switch subject.Kind {
	case "User":
		u = authz.NewUser(subject.Name)
	case "Group":
		u = authz.NewUser("joe", subject.Name)
	case "ServiceAccount":
		if subject.Namespace == "" {
			subject.Namespace = namespace
		}
		u = authz.ServiceAccount(subject.Namespace, subject.Name)
	}
	if len(r.Resources) > 0 {
		plain := func(list []string, otherwise string) string {
			if len(list) > 0 {
				if x := pick(m.generator, list...); !strings.Contains(x, "*") {
					return x
				}
			}
			return otherwise
		}
		a = authz.Request(plain(r.Verbs, a.Verb), plain(r.APIGroups, a.Group), plain(r.Resources, "pods/exec"), namespace, a.Name)
		if len(r.ResourceNames) > 0 {
			a.Name = pick(m.generator, r.ResourceNames...)
		}
	}
	switch m.IntN(12) {
	case 0:
		a.Namespace = pick(m.generator, "", "a", "b")
	case 1:
		a.Name = ""
	case 2:
		a.Verb = pick(m.generator, someVerbs...)
	case 3:
		a.Subresource = pick(m.generator, "", "exec", "log")
	case 4:
		u = pick(m.generator, users()...)
	}
	return a.By(u)
}

// TestAuthorizeRandomWorlds is the bulk: worlds of several roles and bindings, asked by
// everybody. WhoCan has to name those who may, and what the subject locator names.
func TestAuthorizeRandomWorlds(t *testing.T) {
	worlds := scaled(6000)
	m := newMaker(3)
	var n tally
	everybody := users()
	for range worlds {
		w := m.world()
		e, server := authz.New(w.snapshot(), authz.Options{}), w.server()
		for range 100 {
			a := m.likely(w)
			n.compare(t, e, server, &a, w)
		}
		for range 2 {
			a := m.likely(w)
			compareHolders(t, e, w, a, append(everybody, a.User))
		}
	}
	n.report(t, worlds*100, 30, 60)
}

// scaled is how many rounds a test goes: more of them in the long run (make fuzz).
func scaled(n int) int { return n * *rounds }

func compareHolders(t *testing.T, e *authz.Engine, w *world, a authz.Attributes, everybody []authz.User) {
	t.Helper()
	type named struct{ kind, namespace, name string }
	got, want := map[named]bool{}, map[named]bool{}
	byName := map[string]bool{}
	for _, h := range e.WhoCan(a) {
		if h.By.Authorizer == "Node" {
			continue
		}
		got[named{h.Subject.Kind, h.Subject.Namespace, h.Subject.Name}] = true
		switch h.Subject.Kind {
		case "ServiceAccount":
			byName["User system:serviceaccount:"+h.Subject.Namespace+":"+h.Subject.Name] = true
		default:
			byName[h.Subject.Kind+" "+h.Subject.Name] = true
		}
	}
	_, s := w.resolver()
	r := theirs(&a)
	subjects, _ := rbac.NewSubjectAccessEvaluator(s, s, s, s, "").AllowedSubjects(context.Background(), &r)
	for _, sub := range subjects {
		namespace := ""
		if sub.Kind == "ServiceAccount" {
			if namespace = sub.Namespace; namespace == "" {
				namespace = a.Namespace // as in a RoleBinding, which holds only there
			}
			if namespace == "" {
				continue
			}
		}
		want[named{sub.Kind, namespace, sub.Name}] = true
	}
	for s := range got {
		if !want[s] {
			t.Fatalf("who can %s: ours names %v, the subject locator does not\n%s", a, s, w)
		}
	}
	for s := range want {
		// The locator also names an account without a namespace in a ClusterRoleBinding,
		// which is nobody.
		if !got[s] && s.kind != "ServiceAccount" {
			t.Fatalf("who can %s: the subject locator names %v, ours does not\n%s", a, s, w)
		}
	}
	for _, u := range everybody {
		b := a.By(u)
		named := byName["User "+u.Name] || slices.ContainsFunc(u.Groups, func(g string) bool { return byName["Group "+g] })
		answer := e.Authorize(&b)
		if answer.By.Authorizer == "Node" {
			continue
		}
		if named != (answer.Decision == authz.Allow) {
			t.Fatalf("%s by %v is %s, and WhoCan names them: %v\n%s", a, u, answer.Decision, named, w)
		}
	}
}

func TestMain(m *testing.M) {
	klog.LogToStderr(false) // the authorizers say why they deny
	klog.SetOutput(io.Discard)
	os.Exit(m.Run())
}
