package scan

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

// named judges pods by their names: "bad" is broken.
var named = &control.Control{
	ID: "pod.named", Title: "Pod is bad", Severity: control.High, Over: []cluster.Need{cluster.Pods},
	Check: func(s *cluster.Snapshot, r *control.Report) {
		for _, o := range s.Kind("Pod") {
			if v := r.Object(o); strings.HasPrefix(o.Name, "bad") {
				v.Broken("metadata.name", o.Name, "good")
			}
		}
	},
}

func clusterOf(name string, gap bool, pods ...string) *Result {
	b := cluster.NewBuilder(name, true)
	b.SetVersion("v1." + name)
	b.Looked(cluster.Pods)
	if gap {
		b.Gap(cluster.Gap{Need: cluster.Pods, Reason: "forbidden"})
	}
	for _, p := range pods {
		b.Add("v1", "Pod", &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: p, Namespace: "shop"}}, cluster.Source{Origin: "/api/v1/pods"})
	}
	r := Run(b.Snapshot(), []*control.Control{named})
	r.As(name)
	return r
}

// TestJoin: the same pod of two clusters is two findings of one control, and what one
// cluster did not show is not passed for the others.
func TestJoin(t *testing.T) {
	gone := Unread("gone", []*control.Control{named}, errors.New("connection refused").Error())
	gone.As("gone")
	for name, tt := range map[string]struct {
		parts           []*Result
		outcome         control.Outcome
		broken, unknown int
		held            int
		clusters        string
	}{
		"broken in both":        {[]*Result{clusterOf("a", false, "bad"), clusterOf("b", false, "bad", "fine")}, control.Broken, 2, 0, 1, "a b"},
		"held and broken":       {[]*Result{clusterOf("a", false, "fine"), clusterOf("b", false, "bad")}, control.Broken, 1, 0, 1, "a b"},
		"held and nothing":      {[]*Result{clusterOf("a", false, "fine"), clusterOf("b", false)}, control.Holds, 0, 0, 1, "a b"},
		"held and not listed":   {[]*Result{clusterOf("a", false, "fine"), clusterOf("b", true)}, control.Unknown, 0, 1, 1, "a b"},
		"held and not reached":  {[]*Result{clusterOf("a", false, "fine"), gone}, control.Unknown, 0, 1, 1, "a gone(connection refused)"},
		"none has what it asks": {[]*Result{clusterOf("a", false), clusterOf("b", false)}, control.NotApplicable, 0, 0, 0, "a b"},
	} {
		t.Run(name, func(t *testing.T) {
			r := Join(tt.parts)
			if len(r.Controls) != 1 {
				t.Fatalf("%d controls, want the two clusters' answers in one", len(r.Controls))
			}
			res := r.Controls[0]
			if res.Outcome != tt.outcome || res.Broken != tt.broken || res.Unknown != tt.unknown || res.Held != tt.held {
				t.Errorf("got %s, %d broken, %d unknown, %d held", res.Outcome, res.Broken, res.Unknown, res.Held)
			}
			var names []string
			for _, c := range r.Clusters {
				name := c.Name
				if c.Fault != "" {
					name += "(" + c.Fault + ")"
				}
				names = append(names, name)
			}
			if got := strings.Join(names, " "); got != tt.clusters {
				t.Errorf("clusters %s, want %s", got, tt.clusters)
			}
			ids := map[string]bool{}
			for _, f := range res.Findings {
				if f.Object.Cluster == "" {
					t.Errorf("%s names no cluster", f)
				}
				if ids[f.ID] {
					t.Errorf("%s: its fingerprint is another one's", f)
				}
				ids[f.ID] = true
			}
			if r.Count().Incomplete != (tt.unknown > 0) {
				t.Errorf("incomplete is %v", r.Count().Incomplete)
			}
		})
	}
}
