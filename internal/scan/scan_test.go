package scan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/manifest"
)

// hostPID is the smallest control that judges pods with the help of NetworkPolicies.
var hostPID = &control.Control{
	ID: "pod.hostpid", Title: "t", Severity: control.High, Since: "0",
	Over: cluster.Workloads, With: []cluster.Need{cluster.NetworkPolicies},
	Check: func(s *cluster.Snapshot, r *control.Report) {
		for _, p := range s.Pods() {
			v := r.Pod(p)
			if p.Spec.HostPID {
				v.Broken(p.Path+".hostPID", "true", "false").Remove(p.Path + ".hostPID")
			}
		}
	},
}

const twoPods = `
apiVersion: v1
kind: Pod
metadata: {name: bad, namespace: shop}
spec: {hostPID: true, containers: [{name: c, image: c:1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: good, namespace: other}
spec: {containers: [{name: c, image: c:1}]}
`

func run(t *testing.T, c *control.Control, in string, gaps ...cluster.Gap) *ControlResult {
	t.Helper()
	b := cluster.NewBuilder("test", false)
	r := manifest.NewReader(b, "")
	r.Read("in", strings.NewReader(in))
	if p := r.Outcome().Problems; len(p) > 0 {
		t.Fatal(p)
	}
	for _, g := range gaps {
		b.Gap(g)
	}
	return Run(b.Snapshot(), []*control.Control{c}).Controls[0]
}

func show(res *ControlResult) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, held %d broken %d unknown %d", res.Outcome, res.Held, res.Broken, res.Unknown)
	if res.Reason != "" {
		fmt.Fprintf(&b, ", %s", res.Reason)
	}
	for _, f := range res.Findings {
		fmt.Fprintf(&b, "\n%s %s", f.Outcome, f)
	}
	return b.String()
}

// TestGapsAreNeverPassed is the promise of the whole program.
func TestGapsAreNeverPassed(t *testing.T) {
	for name, tt := range map[string]struct {
		gaps []cluster.Gap
		want string
	}{
		"no gap": {nil, `broken, held 1 broken 1 unknown 0
broken pod shop/bad: spec.hostPID is true, want false`},
		"some of what is judged was not read": {[]cluster.Gap{{Need: cluster.CronJobs, Reason: "403"}}, `broken, held 1 broken 1 unknown 1
broken pod shop/bad: spec.hostPID is true, want false
unknown cronjobs.batch (all): 403`},
		"what verdicts rest on was not read": {
			[]cluster.Gap{{Need: cluster.NetworkPolicies, Reason: "403"}},
			"unknown, held 0 broken 0 unknown 1, networkpolicies.networking.k8s.io: 403",
		},
		"nor in one namespace": {[]cluster.Gap{{Need: cluster.NetworkPolicies, Scope: "shop", Reason: "403"}}, `unknown, held 1 broken 0 unknown 1
unknown pod shop/bad: networkpolicies.networking.k8s.io of shop: 403`},
		"a gap elsewhere": {[]cluster.Gap{{Need: cluster.Listeners, Reason: "no host access"}}, `broken, held 1 broken 1 unknown 0
broken pod shop/bad: spec.hostPID is true, want false`},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, show(run(t, hostPID, twoPods, tt.gaps...))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestRunningPodsAndTheirTemplate: one fault of a template is one finding however many
// pods run; a pod that differs from its template is told apart.
func TestRunningPodsAndTheirTemplate(t *testing.T) {
	const in = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: shop, uid: d}
spec: {selector: {}, template: {spec: {hostPID: %t, containers: [{name: c, image: c:1}]}}}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: cart-1, namespace: shop, uid: r, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: cart, uid: d, controller: true}]}
spec: {selector: {}, template: {spec: {hostPID: %[1]t, containers: [{name: c, image: c:1}]}}}
---
apiVersion: v1
kind: Pod
metadata: {name: cart-1-a, namespace: shop, uid: a, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: cart-1, uid: r, controller: true}]}
spec: {hostPID: true, containers: [{name: c, image: c:1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: cart-1-b, namespace: shop, uid: b, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: cart-1, uid: r, controller: true}]}
spec: {hostPID: true, containers: [{name: c, image: c:1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: cart-1-c, namespace: shop, uid: c, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: cart-1, uid: r, controller: true}]}
spec: {hostPID: true, containers: [{name: c, image: c:1}]}
status: {phase: Succeeded}
`
	got := run(t, hostPID, fmt.Sprintf(in, true))
	want := "broken, held 0 broken 1 unknown 0\nbroken deployment shop/cart: spec.template.spec.hostPID is true, want false"
	if diff := cmp.Diff(want, show(got)); diff != "" {
		t.Errorf("the template's fault (-want +got):\n%s", diff)
	}
	if got.Findings[0].Pods != 2 {
		t.Errorf("pods: %d, want the 2 that are not finished", got.Findings[0].Pods)
	}

	want = `broken, held 1 broken 2 unknown 0
broken pod shop/cart-1-a: spec.hostPID is true, want false: the template of deployment shop/cart does not say so
broken pod shop/cart-1-b: spec.hostPID is true, want false: the template of deployment shop/cart does not say so`
	got = run(t, hostPID, fmt.Sprintf(in, false))
	if diff := cmp.Diff(want, show(got)); diff != "" {
		t.Errorf("pods that differ (-want +got):\n%s", diff)
	}
	if len(got.Findings[0].Changes) != 0 {
		t.Error("a running pod of a controller is replaced, not edited")
	}
}

// TestGapsThatMatter: a gap that no chosen control would have looked into does not make
// a scan incomplete; an input that could not be read does.
func TestGapsThatMatter(t *testing.T) {
	for need, want := range map[cluster.Need]bool{cluster.Listeners: false, cluster.CronJobs: true, cluster.Input: true} {
		b := cluster.NewBuilder("test", false)
		manifest.NewReader(b, "").Read("in", strings.NewReader(twoPods))
		b.Gap(cluster.Gap{Need: need, Scope: "x", Reason: "no"})
		r := Run(b.Snapshot(), []*control.Control{hostPID})
		if got := r.Count().Incomplete; got != want || len(r.Gaps) > 0 != want {
			t.Errorf("gap in %s: incomplete is %t, want %t", need, got, want)
		}
	}
}

func TestNotApplicableAndCrash(t *testing.T) {
	listeners := &control.Control{ID: "listener.x", Over: []cluster.Need{cluster.Listeners}, Check: hostPID.Check}
	if got := run(t, listeners, twoPods); got.Outcome != control.NotApplicable || got.Reason != "this input is not where to look for listeners" {
		t.Errorf("got %s", show(got))
	}
	services := &control.Control{ID: "service.x", Over: []cluster.Need{cluster.Services}, Check: func(*cluster.Snapshot, *control.Report) {}}
	if got := run(t, services, twoPods); got.Outcome != control.NotApplicable {
		t.Errorf("nothing to judge: got %s", show(got))
	}
	crash := &control.Control{ID: "pod.x", Over: cluster.Workloads, Check: func(s *cluster.Snapshot, _ *control.Report) {
		_ = s.Pods()[99]
	}}
	if got := run(t, crash, twoPods); got.Outcome != control.Unknown || !strings.HasPrefix(got.Reason, "the control crashed: ") {
		t.Errorf("got %s", show(got))
	}
}

// TestRank: broken before unknown before held, the graver first, then the wider.
func TestRank(t *testing.T) {
	make := func(id string, s control.Severity, broken int, unknown bool) *control.Control {
		return &control.Control{ID: id, Severity: s, Over: cluster.Workloads, Check: func(_ *cluster.Snapshot, r *control.Report) {
			for i := range 3 {
				v := r.On(cluster.Ref{Kind: "Pod", Name: fmt.Sprint(i)}, cluster.Source{})
				if i < broken {
					v.Broken("x", "1", "2")
				}
				if unknown {
					v.Unknown("x", "no")
				}
			}
		}}
	}
	b := cluster.NewBuilder("test", false)
	b.Looked(cluster.Workloads...)
	r := Run(b.Snapshot(), []*control.Control{
		make("a.held", control.Critical, 0, false), make("b.low", control.Low, 3, false), make("c.unknown", control.Critical, 0, true),
		make("d.high", control.High, 1, false), make("e.highwide", control.High, 2, false), make("f.critical", control.Critical, 1, false),
	})
	var got []string
	for _, c := range r.Controls {
		got = append(got, c.Control.ID)
	}
	want := []string{"f.critical", "e.highwide", "d.high", "b.low", "c.unknown", "a.held"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if r.Worst() != control.Critical || !r.Count().Incomplete || r.Count().Findings != 7 {
		t.Errorf("worst %v, counts %+v", r.Worst(), r.Count())
	}
}

const reached = `
apiVersion: v1
kind: Service
metadata: {name: door, namespace: shop}
spec: {type: LoadBalancer, selector: {open: "yes"}}
---
apiVersion: v1
kind: Pod
metadata: {name: a-inside, namespace: shop}
spec: {automountServiceAccountToken: false, hostIPC: true, containers: [{name: c, image: c:1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: b-exposed, namespace: shop, labels: {open: "yes"}}
spec: {automountServiceAccountToken: false, hostIPC: true, containers: [{name: c, image: c:1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: c-path, namespace: shop, labels: {open: "yes"}}
spec: {automountServiceAccountToken: false, hostIPC: true, containers: [{name: c, image: c:1, securityContext: {privileged: true}}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: d-off, namespace: shop}
spec: {replicas: 0, selector: {}, template: {metadata: {labels: {open: "yes"}}, spec: {hostIPC: true, containers: [{name: c, image: c:1}]}}}
`

// TestSeverityFollowsReach: the same fault four times, and what a person reads first.
func TestSeverityFollowsReach(t *testing.T) {
	hostIPC := &control.Control{
		ID: "pod.hostipc", Title: "t", Severity: control.High, Over: cluster.Workloads,
		Check: func(s *cluster.Snapshot, r *control.Report) {
			for _, p := range s.Pods() {
				if v := r.Pod(p); p.Spec.HostIPC {
					v.Broken(p.Path+".hostIPC", "true", "false")
				}
			}
		},
	}
	res := run(t, hostIPC, reached)
	var got []string
	for _, f := range res.Findings {
		line := f.Severity.String() + " " + f.Object.Name
		for _, r := range f.Reach {
			line += "; " + r.Text
		}
		got = append(got, line)
	}
	want := []string{
		"critical c-path; reachable from outside through service shop/door; container c is privileged on its node",
		"high b-exposed; reachable from outside through service shop/door",
		"high a-inside",
		"medium d-off; it is scaled to zero",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if res.Severity() != control.Critical {
		t.Errorf("the control is %v, want the gravest of its findings", res.Severity())
	}

	note := *hostIPC
	note.Check = func(s *cluster.Snapshot, r *control.Report) {
		for _, p := range s.Pods() {
			r.Pod(p).Broken("x", "1", "2").Rated(control.Medium)
		}
	}
	var rated []control.Severity
	for _, f := range run(t, &note, reached).Findings {
		rated = append(rated, f.Severity)
	}
	if diff := cmp.Diff([]control.Severity{control.High, control.Medium, control.Medium, control.Low}, rated); diff != "" {
		t.Errorf("a case that its control rates otherwise (-want +got):\n%s", diff)
	}
}

// TestOrderOfInput: documents in any order give the same findings in the same order
// with the same names, and faults that are alike get names of their own.
func TestOrderOfInput(t *testing.T) {
	c := &control.Control{
		ID: "pod.x", Title: "t", Severity: control.Low, Over: cluster.Workloads,
		Check: func(s *cluster.Snapshot, r *control.Report) {
			for _, p := range slices.Backward(s.Pods()) {
				v := r.Pod(p)
				v.Broken("x", "2", "0")
				v.Broken("x", "1", "0")
				v.Unknown("x", "no")
			}
		},
	}
	flat := func(in string) []string {
		var out []string
		for _, f := range run(t, c, in).Findings {
			out = append(out, f.ID+" "+f.String())
		}
		return out
	}
	docs := strings.Split(strings.TrimSpace(reached), "---\n")
	want := flat(reached)
	seen := map[string]bool{}
	for _, line := range want {
		id, _, _ := strings.Cut(line, " ")
		if seen[id] {
			t.Errorf("the name %s stands twice", id)
		}
		seen[id] = true
	}
	for range 10 {
		rand.Shuffle(len(docs), func(i, j int) { docs[i], docs[j] = docs[j], docs[i] })
		for i := range docs {
			docs[i] = strings.TrimSpace(docs[i]) + "\n"
		}
		if diff := cmp.Diff(want, flat(strings.Join(docs, "---\n"))); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	}
}

// TestConclude: a subject is waived when all of its faults are, a control when all of
// its subjects are, and what could not be told stays unknown.
func TestConclude(t *testing.T) {
	a, b := cluster.Ref{Kind: "Pod", Name: "a"}, cluster.Ref{Kind: "Pod", Name: "b"}
	for name, tt := range map[string]struct {
		waive   []int
		unknown int
		want    string
	}{
		"none":                   {nil, 0, "broken, broken 2 waived 0"},
		"one of two faults":      {[]int{0}, 0, "broken, broken 2 waived 0"},
		"one of two things":      {[]int{0, 1}, 0, "broken, broken 1 waived 1"},
		"all":                    {[]int{0, 1, 2}, 0, "waived, broken 0 waived 2"},
		"all that could be told": {[]int{0, 1, 2}, 1, "unknown, broken 0 waived 2"},
	} {
		t.Run(name, func(t *testing.T) {
			res := &ControlResult{Control: &control.Control{ID: "pod.x", Severity: control.Low}, Outcome: control.Broken, Broken: 2, Unknown: tt.unknown}
			for _, o := range []cluster.Ref{a, a, b} {
				res.Findings = append(res.Findings, &control.Finding{Outcome: control.Broken, Object: o})
			}
			for _, i := range tt.waive {
				res.Findings[i].Waiver = &control.Waiver{}
			}
			for range 2 { // twice is as once
				res.Conclude()
				if got := fmt.Sprintf("%s, broken %d waived %d", res.Outcome, res.Broken, res.Waived); got != tt.want {
					t.Errorf("got %s, want %s", got, tt.want)
				}
			}
		})
	}
}
