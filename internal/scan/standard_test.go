package scan

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/manifest"
	"github.com/bulwark-k8s/bulwark/internal/standard"
)

// TestUnder: an item has the gravest answer of its controls, what could not be read is
// never held, and what nobody answers is not covered.
func TestUnder(t *testing.T) {
	judge := func(id string, need cluster.Need, broken bool, refs ...control.Ref) *control.Control {
		return &control.Control{ID: id, Over: []cluster.Need{need}, Refs: refs, Check: func(s *cluster.Snapshot, r *control.Report) {
			for _, p := range s.Pods() {
				if v := r.Pod(p); broken {
					v.Broken("spec.a", "x", "y")
					v.Broken("spec.b", "x", "y")
				}
			}
		}}
	}
	catalogue := []*control.Control{
		judge("pod.good", cluster.Pods, false, control.CIS("good"), control.CIS("both")),
		judge("pod.bad", cluster.Pods, true, control.CIS("bad"), control.CIS("both"), control.CIS("part").At("a"), control.CIS("none").At("c"), control.CIS("beyond").Further()),
		judge("job.unread", cluster.Jobs, false, control.CIS("unread"), control.CIS("half")),
		judge("pod.half", cluster.Pods, false, control.CIS("half")),
		judge("listener.elsewhere", cluster.Listeners, false, control.CIS("elsewhere"), control.CIS("mixed")),
		judge("pod.mixed", cluster.Pods, false, control.CIS("mixed")),
	}
	s := &standard.Standard{ID: "s", Title: "S", Catalogue: "CIS 1.12"}
	for _, n := range []string{"good", "bad", "both", "part", "none", "beyond", "unread", "half", "elsewhere", "mixed"} {
		s.Items = append(s.Items, standard.Item{Number: n})
	}
	plan := s.Plan(catalogue)
	b := cluster.NewBuilder("test", false)
	manifest.NewReader(b, "").Read("in", strings.NewReader(twoPods))
	b.Gap(cluster.Gap{Need: cluster.Jobs, Reason: "403"})
	r := Run(b.Snapshot(), plan.Controls)
	r.Under(plan)
	var got []string
	for _, i := range r.Standard.Items {
		got = append(got, fmt.Sprintf("%s: covered %t, %s, %d faults of %v, %q", i.Number, i.Covered, i.Outcome, i.Faults, i.Broken, i.Reason))
	}
	want := []string{
		`good: covered true, holds, 0 faults of [], ""`,
		`bad: covered true, broken, 4 faults of [pod.bad], ""`,
		`both: covered true, broken, 4 faults of [pod.bad], ""`,
		`part: covered true, broken, 2 faults of [pod.bad], ""`,
		`none: covered true, holds, 0 faults of [], ""`,
		`beyond: covered false, unknown, 0 faults of [], "no control answers it yet"`,
		`unread: covered true, unknown, 0 faults of [], "403"`,
		`half: covered true, unknown, 0 faults of [], "403"`,
		`elsewhere: covered true, not applicable, 0 faults of [], "this input is not where to look for listeners"`,
		`mixed: covered true, holds, 0 faults of [], ""`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Coverage{Broken: 3, Unknown: 2, Holds: 3, NotApplicable: 1, NotCovered: 1}, r.Standard.Count()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
