package compare

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/report"
	"github.com/bulwark-k8s/bulwark/internal/scan"
)

// A told is one control's answer in short: "a", "b high", "c waived", "d unknown".
func result(controls map[string][]string) *scan.Result {
	r := &scan.Result{}
	for _, id := range []string{"pod.a", "pod.b"} {
		told, ok := controls[id]
		if !ok {
			continue
		}
		res := &scan.ControlResult{Control: &control.Control{ID: id, Title: "t", Severity: control.Medium}, Outcome: control.Holds, Held: 1}
		for _, one := range told {
			name, how, _ := strings.Cut(one, " ")
			f := &control.Finding{Outcome: control.Broken, Object: cluster.Ref{Kind: "Pod", Namespace: "shop", Name: name}, Path: "spec.x", Got: "1", Want: "0", Severity: control.Medium}
			res.Outcome = control.Broken
			switch how {
			case "high":
				f.Severity = control.High
			case "other":
				f.Got = "2"
			case "waived":
				f.Waiver = &control.Waiver{Reason: "r", Owner: "o", Until: "2027-03-31"}
			case "unknown":
				f.Outcome, f.Severity = control.Unknown, 0
				res.Unknown++
			case "unlisted":
				f = &control.Finding{Object: cluster.Ref{Kind: "pods", Name: name}, Reason: "403"}
				res.Unknown++
			case "nowhere":
				res.Outcome, res.Reason = control.NotApplicable, "this input is not where to look for pods"
				continue
			case "nothing":
				res.Outcome, res.Reason = control.NotApplicable, scan.NothingToJudge
				continue
			case "blind":
				res.Outcome, res.Reason, res.Unknown = control.Unknown, "403", 1
				continue
			}
			f.ID = control.Fingerprint(id, f, map[string]int{})
			res.Findings = append(res.Findings, f)
		}
		r.Controls = append(r.Controls, res)
	}
	return r
}

// stored is a result as it comes back from its JSON report.
func stored(t *testing.T, r *scan.Result) *Report {
	t.Helper()
	f, err := report.Find("json")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := f.Write(&b, r, report.Options{}); err != nil {
		t.Fatal(err)
	}
	out, err := Read(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

type told = map[string][]string

func TestCompare(t *testing.T) {
	for name, tt := range map[string]struct {
		old, now          told
		marked, different string
	}{
		"nothing and nothing":     {told{"pod.a": nil}, told{"pod.a": nil}, "new 0 known 0", "same 0"},
		"the same":                {told{"pod.a": {"x"}}, told{"pod.a": {"x"}}, "new 0 known 1", "same 1"},
		"one more":                {told{"pod.a": {"x"}}, told{"pod.a": {"x", "y"}}, "new 1 known 1", "appeared y; same 1; worst medium"},
		"one less":                {told{"pod.a": {"x", "y"}}, told{"pod.a": {"y"}}, "new 0 known 1; fixed x", "gone x; same 1"},
		"of another control":      {told{"pod.a": {"x"}, "pod.b": nil}, told{"pod.a": nil, "pod.b": {"x"}}, "new 1 known 0; fixed x", "appeared x; gone x; same 0; worst medium"},
		"another value":           {told{"pod.a": {"x"}}, told{"pod.a": {"x other"}}, "new 0 known 1", "changed x; same 0"},
		"graver":                  {told{"pod.a": {"x"}}, told{"pod.a": {"x high"}}, "new 1 known 0", "changed x; same 0; worst high"},
		"milder":                  {told{"pod.a": {"x high"}}, told{"pod.a": {"x"}}, "new 0 known 1", "changed x; same 0"},
		"waived since":            {told{"pod.a": {"x"}}, told{"pod.a": {"x waived"}}, "new 0 known 0", "changed x; same 0"},
		"new and waived":          {told{"pod.a": nil}, told{"pod.a": {"x waived"}}, "new 0 known 0", "changed x; same 0"},
		"no longer waived":        {told{"pod.a": {"x waived"}}, told{"pod.a": {"x"}}, "new 1 known 0", "changed x; same 0; worst medium"},
		"waived and gone":         {told{"pod.a": {"x waived"}}, told{"pod.a": nil}, "new 0 known 0", "same 0"},
		"unknown then, found now": {told{"pod.a": {"x unknown"}}, told{"pod.a": {"x"}}, "new 1 known 0", "appeared x; same 0; worst medium"},
		"its control did not run": {told{"pod.a": {"x"}}, told{"pod.b": nil}, "new 0 known 0; unseen x", "unseen x; same 0"},
		"it could not be judged":  {told{"pod.a": {"x"}}, told{"pod.a": {"x unknown"}}, "new 0 known 0; unseen x", "unseen x; same 0"},
		"another could not":       {told{"pod.a": {"x"}}, told{"pod.a": {"y unknown"}}, "new 0 known 0; fixed x", "gone x; same 0"},
		"none could be listed":    {told{"pod.a": {"x"}}, told{"pod.a": {"(all) unlisted"}}, "new 0 known 0; unseen x", "unseen x; same 0"},
		"not in its namespace":    {told{"pod.a": {"x"}}, told{"pod.a": {"shop unlisted"}}, "new 0 known 0; unseen x", "unseen x; same 0"},
		"not in another":          {told{"pod.a": {"x"}}, told{"pod.a": {"tools unlisted"}}, "new 0 known 0; fixed x", "gone x; same 0"},
		"blind altogether":        {told{"pod.a": {"x"}}, told{"pod.a": {"- blind"}}, "new 0 known 0; unseen x", "unseen x; same 0"},
		"another input":           {told{"pod.a": {"x"}}, told{"pod.a": {"- nowhere"}}, "new 0 known 0; unseen x", "unseen x; same 0"},
		"the object is gone":      {told{"pod.a": {"x"}}, told{"pod.a": {"- nothing"}}, "new 0 known 0; fixed x", "gone x; same 0"},
	} {
		t.Run(name, func(t *testing.T) {
			old, now := stored(t, result(tt.old)), result(tt.now)
			Mark(now, "old.json", old)
			b := now.Baseline
			if got := fmt.Sprintf("new %d known %d%s%s", b.New, b.Known, list("fixed", b.Fixed), list("unseen", b.Unseen)); got != tt.marked {
				t.Errorf("marked %s, want %s", got, tt.marked)
			}
			if (now.Gate() > 0) != (b.New > 0) {
				t.Errorf("the gate is %v with %d new findings", now.Gate(), b.New)
			}
			d := Diff(old, stored(t, result(tt.now)))
			var changed []scan.Past
			for _, c := range d.Changed {
				changed = append(changed, c.Is)
			}
			got := list("appeared", d.Appeared) + list("changed", changed) + list("gone", d.Gone) + list("unseen", d.Unseen) + fmt.Sprintf("; same %d", d.Same)
			if d.Worst() > 0 {
				got += "; worst " + d.Worst().String()
			}
			if got = strings.TrimPrefix(got, "; "); got != tt.different {
				t.Errorf("different %s, want %s", got, tt.different)
			}
		})
	}
}

func list(label string, all []scan.Past) string {
	if len(all) == 0 {
		return ""
	}
	var names []string
	for _, p := range all {
		names = append(names, p.Object.Name)
	}
	return "; " + label + " " + strings.Join(names, ", ")
}

// TestMemoryAndFileAgree: a result is compared as its report would be.
func TestMemoryAndFileAgree(t *testing.T) {
	r := result(told{"pod.a": {"x", "y high", "z waived", "u unknown"}, "pod.b": {"- blind"}})
	if d := Diff(stored(t, r), Of(r)); len(d.Appeared)+len(d.Gone)+len(d.Changed)+len(d.Unseen) > 0 || d.Same != 3 {
		t.Errorf("they differ: %+v", d)
	}
}

func TestReadRefuses(t *testing.T) {
	const finding = `{"outcome":"broken","severity":"low","fingerprint":"f:1","object":{"kind":"Pod","name":"a"}}`
	for in, want := range map[string]string{
		"":   "it is no JSON report: EOF",
		"[]": "it is no JSON report: json: cannot unmarshal array into Go value of type compare.jsonReport",
		"{}": "schema is \"\", want bulwark.scan/v1: a report written by `bulwark scan -o json`",
		`{"schema":"bulwark.scan/v1","controls":[{"id":"a.b","findings":[{"outcome":"broken","severity":"low"}]}]}`: "control a.b: a finding without fingerprint and severity",
		`{"schema":"bulwark.scan/v1","controls":[{"id":"a.b","findings":[` + finding + `,` + finding + `]}]}`:       "control a.b: fingerprint f:1 stands twice",
		`{"schema":"bulwark.scan/v1","controls":[{"id":"a.b"},{"id":"a.b"}]}`:                                       "control a.b stands twice",
	} {
		_, err := Read([]byte(in))
		if err == nil || err.Error() != want {
			t.Errorf("%s:\n got %v\nwant %s", in, err, want)
		}
	}
}

// FuzzRead states that a report that is accepted is the same as itself, and that nothing
// of it is new, gone or unseen against itself but what its own controls could not tell.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"schema":"bulwark.scan/v1","controls":[{"id":"a.b","outcome":"broken","findings":[{"outcome":"broken","severity":"low","fingerprint":"f:1","object":{"kind":"Pod","name":"a"}},{"outcome":"unknown","object":{"kind":"pods","name":"(all)"}}]}]}`))
	f.Add([]byte(`{"schema":"bulwark.scan/v1","controls":[]}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := Read(in)
		if err != nil {
			return
		}
		d := Diff(r, r)
		if diff := cmp.Diff([]int{0, 0, 0, 0, len(r.order)}, []int{len(d.Appeared), len(d.Gone), len(d.Unseen), len(d.Changed), d.Same}); diff != "" {
			t.Errorf("against itself (-want +got):\n%s", diff)
		}
	})
}
