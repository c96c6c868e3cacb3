//go:build unix

package authz

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"syscall"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// large is a cluster of 5,000 subjects (users, groups and accounts), 2,000 roles and 20,000
// bindings in 200 namespaces, and requests of its subjects of which some are allowed.
func large() (*cluster.Snapshot, []Attributes) {
	const subjects, roles, bindings, namespaces = 5000, 2000, 20000, 200
	rng := rand.New(rand.NewPCG(1, 2))
	verbs := []string{"get", "list", "watch", "create", "update", "patch", "delete"}
	resources := [][2]string{
		{"", "pods"},
		{"", "pods/exec"},
		{"", "pods/log"},
		{"", "secrets"},
		{"", "configmaps"},
		{"", "services"},
		{"", "serviceaccounts"},
		{"", "events"},
		{"apps", "deployments"},
		{"apps", "deployments/scale"},
		{"apps", "statefulsets"},
		{"apps", "daemonsets"},
		{"batch", "jobs"},
		{"batch", "cronjobs"},
		{"networking.k8s.io", "ingresses"},
		{"networking.k8s.io", "networkpolicies"},
		{rbacv1.GroupName, "roles"},
		{rbacv1.GroupName, "rolebindings"},
		{"example.com", "widgets"},
		{"example.com", "widgets/status"},
	}
	b := cluster.NewBuilder("large", true)
	const v1 = "rbac.authorization.k8s.io/v1"
	space := func(i int) string { return fmt.Sprintf("team-%d", i%namespaces) }
	some := func() []rbacv1.PolicyRule {
		out := make([]rbacv1.PolicyRule, 1+rng.IntN(8))
		for i := range out {
			r := resources[rng.IntN(len(resources))]
			out[i] = rbacv1.PolicyRule{Verbs: verbs[:1+rng.IntN(len(verbs))], APIGroups: []string{r[0]}, Resources: []string{r[1], resources[rng.IntN(len(resources))][1]}}
			if rng.IntN(8) == 0 {
				out[i].ResourceNames = []string{"config", "leader"}
			}
		}
		return out
	}
	for i := range roles {
		name := fmt.Sprintf("role-%d", i)
		if i%2 == 0 {
			b.Add(v1, "ClusterRole", &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: some()}, cluster.Source{})
		} else {
			b.Add(v1, "Role", &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: space(i), Name: name}, Rules: some()}, cluster.Source{})
		}
	}
	who := func(i int) (rbacv1.Subject, User) {
		switch name := fmt.Sprintf("subject-%d", i); i % 10 {
		case 0, 1, 2:
			return rbacv1.Subject{Kind: "User", Name: name}, NewUser(name, fmt.Sprintf("subject-%d", i/10*10+3))
		case 3:
			return rbacv1.Subject{Kind: "Group", Name: name}, NewUser("joe", name)
		default:
			return rbacv1.Subject{Kind: "ServiceAccount", Namespace: space(i), Name: name}, ServiceAccount(space(i), name)
		}
	}
	for i := range bindings {
		subject, _ := who(rng.IntN(subjects))
		name, role := fmt.Sprintf("binding-%d", i), rng.IntN(roles)
		ref := rbacv1.RoleRef{Kind: "ClusterRole", Name: fmt.Sprintf("role-%d", role)}
		if i%20 == 0 {
			ref.Name = fmt.Sprintf("role-%d", role/2*2)
			b.Add(v1, "ClusterRoleBinding", &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: ref, Subjects: []rbacv1.Subject{subject}}, cluster.Source{})
			continue
		}
		in := space(rng.IntN(namespaces))
		if role%2 == 1 {
			ref.Kind, in = "Role", space(role)
		}
		b.Add(v1, "RoleBinding", &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: in, Name: name}, RoleRef: ref, Subjects: []rbacv1.Subject{subject}}, cluster.Source{})
	}
	// Everybody has some rights, as in any cluster.
	for i := range 10 {
		b.Add(v1, "ClusterRoleBinding", &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("everybody-%d", i)}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: fmt.Sprintf("role-%d", 2*i)},
			Subjects: []rbacv1.Subject{{Kind: "Group", Name: []string{authenticated, accounts}[i%2]}},
		}, cluster.Source{})
	}
	acts := make([]Attributes, 1<<16)
	for i := range acts {
		r := resources[rng.IntN(len(resources))]
		_, u := who(rng.IntN(subjects))
		acts[i] = Request(verbs[rng.IntN(len(verbs))], r[0], r[1], space(rng.IntN(namespaces)), "config").By(u)
	}
	return b.Snapshot(), acts
}

// processor is the time that this process has run, which other work on the machine does not
// change.
func processor(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkAuthorize(b *testing.B) {
	s, acts := large()
	e := New(s, Options{})
	allowed := 0
	b.ReportAllocs()
	start, n := processor(b), 0
	for b.Loop() {
		if e.Authorize(&acts[n%len(acts)]).Decision == Allow {
			allowed++
		}
		n++
	}
	b.ReportMetric(float64(n)/(processor(b)-start).Seconds(), "decisions/s")
	b.ReportMetric(100*float64(allowed)/float64(n), "%allowed")
}

func BenchmarkWhoCan(b *testing.B) {
	s, acts := large()
	e := New(s, Options{})
	start, n, holders := processor(b), 0, 0
	for b.Loop() {
		holders += len(e.WhoCan(acts[n%len(acts)]))
		n++
	}
	b.ReportMetric(float64(holders)/float64(n), "holders")
	b.ReportMetric((processor(b)-start).Seconds()*1000/float64(n), "cpu-ms/op")
}

func BenchmarkNew(b *testing.B) {
	s, _ := large()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	e := New(s, Options{})
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(e)
	start, n := processor(b), 0
	for b.Loop() {
		New(s, Options{})
		n++
	}
	b.ReportMetric((processor(b)-start).Seconds()*1000/float64(n), "cpu-ms/op")
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "MB-kept")
}

// TestNothingIsAllocated: the decision alone costs no garbage, so that a large cluster can
// be asked about everybody.
func TestNothingIsAllocated(t *testing.T) {
	s, acts := large()
	e := New(s, Options{})
	i := 0
	if n := testing.AllocsPerRun(1000, func() { e.Authorize(&acts[i]); i++ }); n > 0 {
		t.Errorf("a decision makes %v objects, want none", n)
	}
}
