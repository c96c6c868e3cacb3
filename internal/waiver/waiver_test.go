package waiver

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/manifest"
	"github.com/bulwark-k8s/bulwark/internal/scan"
)

var today = time.Date(2026, 11, 21, 13, 0, 0, 0, time.UTC)

func known(pattern string) bool {
	return anything(pattern) || Names(pattern, "pod.hostnetwork") || Names(pattern, "pod.privileged")
}

func TestParseIsStrict(t *testing.T) {
	const whole = "reason: r, owner: o, until: 2027-03-31"
	for in, want := range map[string]string{
		"":              "",
		"# nothing\n":   "",
		"waivers: []\n": "",
		"waivers:\n- {control: pod.hostnetwork, object: {name: a}, " + whole + "}\n": "",
		"waivers:\n- {control: pod, object: {labels: {a: b}}, " + whole + "}\n":      "",
		"waivers:\n- {control: 'pod.*', container: c, path: '*.x', " + whole + "}\n": "",
		"annotations: ignore\n": "",
		"workloads: [{group: a.b, kind: C, resource: cs, template: spec.t}]\n":                       "",
		"workloads: [{group: a.b, kind: C, resource: cs, version: v1, template: [s.t, 's.u[*]']}]\n": "",
		"workloads: {}\n": "f:1: workloads: want a list of at most 1000",
		"workloads:\n- {group: a.b, kind: C, resource: cs, templates: spec.t}\n":                                                  `f:2: workload: unknown key "templates", want group, kind, resource, template, version`,
		"workloads:\n- {group: a.b, kind: C, resource: cs}\n":                                                                     "f:2: workload: template is missing",
		"workloads:\n- {group: a.b, kind: C, resource: cs, template: [[]]}\n":                                                     "f:2: template: want a text",
		"workloads:\n- &a {group: a.b, kind: C, resource: cs, template: t}\n- {group: a.b, kind: C, resource: cs, template: t}\n": "f:3: workload: C.a.b stands twice",
		"workloads:\n- {group: batch, kind: Job, resource: jobs, template: t}\n":                                                  `f:2: workload: group "batch": want the group of a CustomResourceDefinition, such as batch.volcano.sh`,
		"annotations: maybe\n": `f:1: annotations is "maybe", want honour or ignore`,
		"wavers: []\n":         `f:1: the file: unknown key "wavers", want annotations, vulnerabilities, waivers, workloads`,
		"waivers: {}\n":        "f:1: waivers: want a list of at most 20000",
		"waivers:\n- control: pod.hostnetwork\n  control: pod\n":          `f:3: waiver: key "control" stands twice`,
		"waivers:\n- {control: pod.hostntwork, " + whole + "}\n":          `f:2: control "pod.hostntwork": no such ID or family`,
		"waivers:\n- {control: , " + whole + "}\n":                        "f:2: control: want a text",
		"waivers:\n- {object: {nam: a}, " + whole + "}\n":                 `f:2: object: unknown key "nam", want cluster, kind, labels, name, namespace`,
		"waivers:\n- {object: {labels: {}}, " + whole + "}\n":             "f:2: labels: want keys with values",
		"waivers:\n\n- {owner: o, until: 2027-03-31}\n":                   "f:3: waiver: reason is missing: want reason, owner and until",
		"waivers:\n- {reason: r, until: 2027-03-31}\n":                    "f:2: waiver: owner is missing: want reason, owner and until",
		"waivers:\n- {reason: r, owner: o}\n":                             "f:2: waiver: until is missing: want reason, owner and until",
		"waivers:\n- {reason: r, owner: o, until: soon}\n":                `f:2: until is "soon", want a day such as 2027-03-31`,
		"waivers:\n- {reason: r, owner: o, until: 2027-02-30}\n":          `f:2: until is "2027-02-30", want a day such as 2027-03-31`,
		"waivers:\n- &a {reason: r, owner: o, until: 2027-03-31}\n- *a\n": "f:3: waiver: want fields with values",
		"waivers: []\n---\nwaivers: []\n":                                 "f: it holds several documents, want one",
		"waivers: [":                                                      "f: line 1: did not find expected node content",
		"- a\n":                                                           "f:1: the file: want fields with values",
	} {
		_, err := Parse("f", []byte(in), known)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q:\n got %s\nwant %s", in, got, want)
		}
	}
}

func TestParseLine(t *testing.T) {
	for in, want := range map[string]string{
		"pod.hostnetwork: it measures; owner net; until 2027-03-31":           "pod.hostnetwork || it measures | net | 2027-03-31",
		" pod.hostnetwork[c] :  a: b; c ;owner  net team ; until 2027-03-31 ": "pod.hostnetwork |c| a: b; c | net team | 2027-03-31",
		"pod.hostnetwork":                                            "want CONTROL: REASON; owner OWNER; until DAY",
		"pod.hostnetwork: why":                                       "want until YYYY-MM-DD at the end",
		"pod.hostnetwork: why; until 2027-03-31":                     "want owner OWNER before until",
		"pod.hostnetwork: why; owner net; until then":                `until is "then", want a day such as 2027-03-31`,
		"pod.hostnetwork: ; owner net; until 2027-03-31":             "reason is missing: want reason, owner and until",
		"pod.hostnetwork: why; owner  ; until 2027-03-31":            "want owner OWNER before until",
		"pod.*: why; owner net; until 2027-03-31":                    `control "pod.*": want one ID`,
		"pod: why; owner net; until 2027-03-31":                      `control "pod": want one ID`,
		"*: why; owner net; until 2027-03-31":                        `control "*": want one ID`,
		"pod.hostnetwork[c: why; owner net; until 2027-03-31":        `control "pod.hostnetwork[c": want CONTROL[CONTAINER]`,
		strings.Repeat("x", 3000) + ": w; owner o; until 2027-03-31": "a line of 3030 bytes, want at most 2000",
	} {
		w, err := ParseLine(in)
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			got = fmt.Sprintf("%s |%s| %s | %s | %s", w.Control, w.Container, w.Reason, w.Owner, w.Until.Format(day))
		}
		if got != want {
			t.Errorf("%.60q:\n got %s\nwant %s", in, got, want)
		}
	}
}

// hostNetwork is the smallest control, with the path of one field and one of a container.
var hostNetwork = &control.Control{
	ID: "pod.hostnetwork", Title: "t", Severity: control.High, Over: cluster.Workloads,
	Check: func(s *cluster.Snapshot, r *control.Report) {
		for _, p := range s.Pods() {
			v := r.Pod(p)
			for _, c := range p.Containers {
				if p.Spec.HostNetwork {
					v.Broken(c.Path+".ports", "1", "0")
				}
			}
		}
	},
}

const pods = `
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: shop, labels: {app: a}, annotations: {bulwark.dev/waive: "%s"}}
spec: {hostNetwork: true, containers: [{name: c, image: c:1}, {name: d, image: c:1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: b, namespace: shop}
spec: {hostNetwork: true, containers: [{name: c, image: c:1}]}
`

func result(t *testing.T, annotation string) (*scan.Result, *cluster.Snapshot) {
	t.Helper()
	b := cluster.NewBuilder("test", false)
	r := manifest.NewReader(b, "")
	r.Read("in", strings.NewReader(fmt.Sprintf(pods, annotation)))
	if out := r.Outcome(); len(out.Problems) > 0 {
		t.Fatal(out.Problems)
	}
	s := b.Snapshot()
	return scan.Run(s, []*control.Control{hostNetwork}), s
}

// TestApply: what is waived, and what is said of the waivers themselves.
func TestApply(t *testing.T) {
	const by = ", reason: r, owner: o, until: 2027-03-31}"
	for name, tt := range map[string]struct {
		annotation, file string
		no               bool // annotations do not count
		want             string
	}{
		"nothing":                 {want: "broken 2"},
		"one object by name":      {file: "{control: pod.hostnetwork, object: {namespace: shop, name: a}" + by, want: "broken 1 waived 1; a c, a d"},
		"its kind in any case":    {file: "{control: pod.hostnetwork, object: {kind: pod, name: a}" + by, want: "broken 1 waived 1; a c, a d"},
		"by label":                {file: "{control: pod.hostnetwork, object: {labels: {app: a}}" + by, want: "broken 1 waived 1; a c, a d"},
		"one container":           {file: "{control: pod.hostnetwork, object: {name: a}, container: d" + by, want: "broken 2; a d"},
		"one path":                {file: "{control: pod.hostnetwork, object: {name: a}, path: 'spec.containers[c].*'" + by, want: "broken 2; a c"},
		"all by a pattern":        {file: "{control: pod.hostnetwork, object: {name: '?'}" + by, want: "waived 2; a c, a d, b c"},
		"a family, by name":       {file: "{control: pod, object: {name: b}" + by, want: "broken 1 waived 1; b c"},
		"another kind":            {file: "{control: pod.hostnetwork, object: {kind: Deployment, name: a}" + by, want: "broken 2; low waiver.unused"},
		"another namespace":       {file: "{control: pod.hostnetwork, object: {namespace: sho, name: a}" + by, want: "broken 2; low waiver.unused"},
		"another control":         {file: "{control: pod.privileged, object: {name: a}" + by, want: "broken 2"}, // it did not run
		"every object":            {file: "{control: pod.hostnetwork" + by, want: "waived 2; a c, a d, b c; high waiver.overwide"},
		"every control":           {file: "{object: {namespace: shop, name: a}" + by, want: "broken 1 waived 1; a c, a d; high waiver.overwide"},
		"a family, of a place":    {file: "{control: pod, object: {namespace: shop}" + by, want: "waived 2; a c, a d, b c; high waiver.overwide"},
		"over yesterday":          {file: "{control: pod.hostnetwork, object: {name: a}, reason: r, owner: o, until: 2026-11-20}", want: "broken 2; low waiver.expired"},
		"the last day":            {file: "{control: pod.hostnetwork, object: {name: a}, reason: r, owner: o, until: 2026-11-21}", want: "broken 1 waived 1; a c, a d"},
		"for more than a year":    {file: "{control: pod.hostnetwork, object: {name: a}, reason: r, owner: o, until: 2028-01-01}", want: "broken 1 waived 1; a c, a d; low waiver.overwide"},
		"an annotation":           {annotation: "pod.hostnetwork: r; owner o; until 2027-03-31", want: "broken 1 waived 1; a c, a d"},
		"of one container":        {annotation: "pod.hostnetwork[d]: r; owner o; until 2027-03-31", want: "broken 2; a d"},
		"that does not count":     {annotation: "pod.hostnetwork: r; owner o; until 2027-03-31", no: true, want: "broken 2"},
		"that cannot be read":     {annotation: "everything", want: "broken 2; medium waiver.invalid"},
		"of an unknown control":   {annotation: "pod.nothing: r; owner o; until 2027-03-31", want: "broken 2; medium waiver.invalid"},
		"that is over":            {annotation: "pod.hostnetwork: r; owner o; until 2020-01-01", want: "broken 2; low waiver.expired"},
		"that nothing needs":      {annotation: "pod.hostnetwork[e]: r; owner o; until 2027-03-31", want: "broken 2; low waiver.unused"},
		"both, each of them used": {annotation: "pod.hostnetwork: r; owner o; until 2027-03-31", file: "{control: pod.hostnetwork, object: {name: a}" + by, want: "broken 1 waived 1; a c, a d"},
	} {
		t.Run(name, func(t *testing.T) {
			r, s := result(t, tt.annotation)
			var written []*Waiver
			if tt.file != "" {
				f, err := Parse("f", []byte("waivers:\n- "+tt.file), known)
				if err != nil {
					t.Fatal(err)
				}
				written = f.Waivers
			}
			Apply(r, s, written, Options{Now: today, Known: known, Annotations: !tt.no})
			if got := describe(r); got != tt.want {
				t.Errorf("\n got %s\nwant %s", got, tt.want)
			}
		})
	}
}

func describe(r *scan.Result) string {
	var parts, waived, of []string
	for _, res := range r.Controls {
		if res.Control == hostNetwork {
			counts := ""
			if res.Broken > 0 {
				counts = fmt.Sprintf("broken %d", res.Broken)
			}
			if res.Waived > 0 {
				counts = strings.TrimSpace(fmt.Sprintf("%s waived %d", counts, res.Waived))
			}
			parts = append(parts, counts)
			for _, f := range res.Findings {
				if f.Waiver != nil {
					waived = append(waived, f.Object.Name+" "+containerOf(f.Path))
				}
			}
			continue
		}
		for _, f := range res.Findings {
			of = append(of, f.Severity.String()+" "+res.Control.ID)
		}
	}
	if len(waived) > 0 {
		parts = append(parts, strings.Join(waived, ", "))
	}
	return strings.Join(append(parts, of...), "; ")
}

// TestGateStaysShut: whatever a waiver of everything hides, it weighs as much itself.
func TestGateStaysShut(t *testing.T) {
	r, s := result(t, "")
	before := r.Gate()
	Apply(r, s, []*Waiver{{Reason: "r", Owner: "o", Until: today.AddDate(0, 1, 0)}}, Options{Now: today, Known: known})
	if r.Gate() != before || before == 0 {
		t.Errorf("the gate's severity is %v, want %v as without the waiver", r.Gate(), before)
	}
}

// TestUnknownIsNotWaived: nobody can answer for what was not seen.
func TestUnknownIsNotWaived(t *testing.T) {
	b := cluster.NewBuilder("test", false)
	b.Gap(cluster.Gap{Need: cluster.Pods, Reason: "403"})
	s := b.Snapshot()
	r := scan.Run(s, []*control.Control{hostNetwork})
	Apply(r, s, []*Waiver{{Control: "pod.hostnetwork", Reason: "r", Owner: "o", Until: today.AddDate(0, 1, 0)}}, Options{Now: today, Known: known})
	if c := r.Count(); !c.Incomplete || c.Waived != 0 || c.Outcomes[control.Unknown] != 1 {
		t.Errorf("counts %+v", c)
	}
	for _, res := range r.Controls {
		if res.Control.ID == "waiver.unused" && res.Broken > 0 {
			t.Error("a waiver is called unused though its control could not tell")
		}
	}
}

// TestDocs holds the pages to the form of the catalogue's.
func TestDocs(t *testing.T) {
	for _, c := range Controls() {
		c := *c
		c.Check = func(*cluster.Snapshot, *control.Report) {}
		if err := c.Validate(); err != nil {
			t.Error(err)
		}
	}
}

// TestManyWaivers: waivers are found by control and name, so that a thousand of them take
// about as long over 100,000 findings as ten do.
func TestManyWaivers(t *testing.T) {
	const findings, many, few = 100_000, 1_000, 10
	apply := func(waivers int) (took time.Duration) {
		res := &scan.ControlResult{Control: hostNetwork, Outcome: control.Broken, Broken: findings}
		for i := range findings {
			res.Findings = append(res.Findings, &control.Finding{
				Outcome: control.Broken, Object: cluster.Ref{Kind: "Pod", Namespace: "shop", Name: fmt.Sprintf("p%d", i)}, Path: "spec.hostNetwork", Severity: control.High,
			})
		}
		var all []*Waiver
		for i := range waivers {
			w := &Waiver{Control: "pod.hostnetwork", Object: Selector{Namespace: "shop", Name: fmt.Sprintf("p%d", i)}, Reason: "r", Owner: "o", Until: today.AddDate(0, 1, 0)}
			if i%10 == 0 {
				w.Object.Name = fmt.Sprintf("p%d*", i+1000)
			}
			all = append(all, w)
		}
		r := &scan.Result{Controls: []*scan.ControlResult{res}}
		began := time.Now()
		Apply(r, cluster.NewBuilder("test", false).Snapshot(), all, Options{Now: today, Known: known, Annotations: true})
		took = time.Since(began)
		if n := r.Count().Waived; n < waivers {
			t.Errorf("%d findings are waived, want at least %d", n, waivers)
		}
		return took
	}
	// A hundred times the waivers would take a hundred times as long if each were held
	// against each finding.
	base, took := apply(few), apply(many)
	t.Logf("%d waivers took %v, %d took %v", many, took, few, base)
	if took > 25*base {
		t.Errorf("%d waivers took %v, %d took %v", many, took, few, base)
	}
}

// FuzzParse states that whatever is accepted has all that a waiver must have, that its
// control is known, and that reading it twice gives the same.
func FuzzParse(f *testing.F) {
	f.Add("waivers:\n- {control: pod.hostnetwork, object: {name: a, labels: {a: b}}, container: c, path: p, reason: r, owner: o, until: 2027-03-31}\nannotations: ignore\n")
	f.Add("waivers: &a [*a]")
	f.Add("? {}\n: {}")
	f.Add("waivers:\n- <<: {reason: r}\n")
	f.Fuzz(func(t *testing.T, in string) {
		file, err := Parse("f", []byte(in), known)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "f:") {
				t.Errorf("error %q does not name the file", err)
			}
			return
		}
		for _, w := range file.Waivers {
			if w.check() != nil || w.Control != "" && !known(w.Control) || w.Source.Line < 1 {
				t.Errorf("accepted %+v", w)
			}
			_ = w.String()
		}
		again, err := Parse("f", []byte(in), known)
		if err != nil || len(again.Waivers) != len(file.Waivers) || again.IgnoreAnnotations != file.IgnoreAnnotations {
			t.Errorf("a second reading differs: %v", err)
		}
	})
}

// FuzzParseLine states that what is accepted names one control and can be written again.
func FuzzParseLine(f *testing.F) {
	f.Add("pod.hostnetwork[c]: it measures; owner net; until 2027-03-31")
	f.Add("a.b:;;owner ;until ")
	f.Fuzz(func(t *testing.T, in string) {
		w, err := ParseLine(in)
		if err != nil {
			return
		}
		if !plain(w.Control) || w.check() != nil {
			t.Fatalf("accepted %+v", w)
		}
		id := w.Control
		if w.Container != "" {
			id += "[" + w.Container + "]"
		}
		again, err := ParseLine(fmt.Sprintf("%s: %s; owner %s; until %s", id, w.Reason, w.Owner, w.Until.Format(day)))
		if err == nil {
			if diff := cmp.Diff(*w, *again, cmp.AllowUnexported(Waiver{})); diff != "" {
				t.Errorf("written again (-first +second):\n%s", diff)
			}
		} else if len(in) < maxLine/2 {
			t.Errorf("written again: %v", err)
		}
	})
}

// FuzzMatches holds the pattern's matching to a regular expression.
func FuzzMatches(f *testing.F) {
	f.Add("node-*-?", "node-a-1")
	f.Add("**a*", "aaa")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		for _, s := range []string{pattern, text} {
			for i := range len(s) {
				if s[i] < ' ' || s[i] > '~' {
					t.Skip("names are plain")
				}
			}
		}
		expr := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(pattern))
		if want := regexp.MustCompile("^(?:" + expr + ")$").MatchString(text); matches(pattern, text) != want {
			t.Errorf("%q matches %q: want %v", pattern, text, want)
		}
	})
}
