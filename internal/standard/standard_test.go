package standard

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

func TestFind(t *testing.T) {
	for _, name := range Names() {
		s, err := Find(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if id, _, _ := strings.Cut(s.ID, "@"); id != name || s.Title == "" || len(s.Items) == 0 {
			t.Errorf("%s: found %q with %d items", name, s.ID, len(s.Items))
		}
	}
	for name, want := range map[string]string{
		"cis":                "standard \"cis\": want pss-baseline, pss-restricted, cis-1.12, nsa, mitre, seed; the first two take a version, as in pss-baseline@v1.30",
		"cis-1.12@v1.30":     "standard \"cis-1.12@v1.30\": want pss-baseline, pss-restricted, cis-1.12, nsa, mitre, seed; the first two take a version, as in pss-baseline@v1.30",
		"pss-privileged":     "standard \"pss-privileged\": want pss-baseline, pss-restricted, cis-1.12, nsa, mitre, seed; the first two take a version, as in pss-baseline@v1.30",
		"pss-baseline@":      "standard pss-baseline: version \"@\": want v1.0 to v1.36, or latest",
		"pss-baseline@v1.37": "standard pss-baseline: version \"v1.37\": want v1.0 to v1.36, or latest",
	} {
		if _, err := Find(name); err == nil || err.Error() != want {
			t.Errorf("%s: error is %v, want %s", name, err, want)
		}
	}
}

// TestPodSecurityIsExplained: every check has its page, at every version, and its control
// is a valid one.
func TestPodSecurityIsExplained(t *testing.T) {
	for _, c := range PodSecurity() {
		if err := c.Validate(); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"pss-baseline@v1.0", "pss-restricted@v1.8", "pss-restricted@v1.22", "pss-restricted@v1.34"} {
		s, err := Find(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range s.Own {
			if err := c.Validate(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// TestPlan: a control says only what an item asks, and knows for how many subjects.
func TestPlan(t *testing.T) {
	files := &control.Control{
		ID: "file.mode", Title: "t", Refs: []control.Ref{
			control.CIS("1").On("a.yaml").At("mode"), control.CIS("2").On("*.conf"), control.CIS("3").Further(),
		},
		Check: func(_ *cluster.Snapshot, r *control.Report) {
			for _, name := range []string{"/x/a.yaml", "/x/b.yaml", "/x/c.conf", "/x/d.conf"} {
				v := r.On(cluster.FileRef("m", name), cluster.Source{})
				v.Broken("mode", "1", "2")
				v.Broken("owner", "1", "2")
			}
		},
	}
	other := &control.Control{ID: "pod.other", Check: func(*cluster.Snapshot, *control.Report) {}}
	s := &Standard{ID: "s", Catalogue: "CIS 1.12", Items: []Item{{Number: "1"}, {Number: "2"}, {Number: "3"}, {Number: "4", Controls: []string{"none.such"}}}}
	plan := s.Plan([]*control.Control{files, other})
	if len(plan.Controls) != 1 || len(plan.Parts[2]) != 0 || len(plan.Parts[3]) != 0 {
		t.Fatalf("%d controls, parts %v", len(plan.Controls), plan.Parts)
	}
	var r control.Report
	plan.Controls[0].Check(nil, &r)
	var got []string
	for _, v := range r.Verdicts() {
		for _, f := range v.Findings {
			got = append(got, f.Object.Name+" "+f.Path)
		}
	}
	if diff := cmp.Diff([]string{"/x/a.yaml mode", "/x/c.conf mode", "/x/c.conf owner", "/x/d.conf mode", "/x/d.conf owner"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if a, b := plan.Parts[0][0].Judged, plan.Parts[1][0].Judged; a != 1 || b != 2 {
		t.Errorf("judged %d and %d, want 1 and 2", a, b)
	}
	gap := &control.Finding{Outcome: control.Unknown, Object: cluster.Ref{Kind: "host-files", Name: "(all)"}}
	if !plan.Parts[0][0].Takes(gap) {
		t.Error("what could not be listed at all may be the file")
	}
}

// TestOwnMeasureIsTold: where a control's measure is not the benchmark's to the letter,
// the item says so, for each component alike.
func TestOwnMeasureIsTold(t *testing.T) {
	notes := map[string]string{}
	for _, item := range cis.Items {
		notes[item.Number] = item.Note
	}
	for _, pair := range [][2]string{{"1.1.2", "1.1.4"}, {"1.2.29", "4.2.12"}} {
		if a, b := notes[pair[0]], notes[pair[1]]; a == "" || a != b {
			t.Errorf("%s says %q and %s %q, want the same", pair[0], a, pair[1], b)
		}
	}
	if !strings.Contains(notes["4.2.8"], "0") {
		t.Errorf("4.2.8 says %q, want that 0 is no pass", notes["4.2.8"])
	}
}
