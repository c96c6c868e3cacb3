package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/bulwark-k8s/bulwark/controls"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/scan"
)

func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	s, err := c.Compile(filepath.Join("..", "..", "docs", "schema", "scan-v1.json"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(t *testing.T, s *jsonschema.Schema, r *scan.Result) {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(render(t, "json", r, Options{})))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(doc); err != nil {
		t.Errorf("the report does not fit its schema: %v", err)
	}
}

func TestJSONFitsItsSchema(t *testing.T) {
	s := schema(t)
	for name, r := range map[string]*scan.Result{
		"a careless shop":           shop(t),
		"a clean cluster":           clean(),
		"a standard":                underStandard(t),
		"the real catalogue":        scanFile(t, controls.All(), "testdata/shop.yaml"),
		"nothing at all":            {},
		"a control without a check": {Controls: []*scan.ControlResult{{Control: &control.Control{ID: "a.b", Title: "A", Severity: control.Low}, Reason: "the control crashed: nil"}}},
	} {
		t.Run(name, func(t *testing.T) { validate(t, s, r) })
	}
	for seed := range uint64(300) {
		validate(t, s, scatter(seed, 1))
	}
}

// TestSchemaKnowsEveryField fails when a field is added to the report and not to its
// schema, or the other way round, even if no result of the other tests has it.
func TestSchemaKnowsEveryField(t *testing.T) {
	s := schema(t)
	control, view := items(s, "controls"), s.Properties["standard"]
	finding := items(control, "findings")
	for def, structure := range map[*jsonschema.Schema]any{
		s:                               jsonResult{},
		s.Properties["target"]:          jsonTarget{},
		s.Properties["summary"]:         jsonSummary{},
		sub(s, "summary", "outcomes"):   jsonOutcomes{},
		sub(s, "summary", "broken"):     jsonBroken{},
		items(s, "clusters"):            jsonCluster{},
		control:                         jsonControl{},
		items(s, "gaps"):                jsonGap{},
		view:                            jsonStandard{},
		sub(s, "standard", "coverage"):  jsonCoverage{},
		items(view, "items"):            jsonItem{},
		items(control, "refs"):          jsonRef{},
		sub(control, "counts"):          jsonCounts{},
		finding:                         jsonFinding{},
		sub(finding, "source"):          jsonSource{},
		sub(finding, "object"):          jsonObject{},
		sub(finding, "source", "field"): jsonSpot{},
		items(finding, "changes"):       jsonChange{},
	} {
		typ := reflect.TypeOf(structure)
		required := map[string]bool{}
		for _, name := range def.Required {
			required[name] = true
		}
		n := 0
		for field := range typ.Fields() {
			name, option, _ := strings.Cut(field.Tag.Get("json"), ",")
			n++
			if def.Properties[name] == nil {
				t.Errorf("%s.%s: the schema does not know %q", typ.Name(), field.Name, name)
			}
			if always := option != "omitempty"; always != required[name] {
				t.Errorf("%s.%s: always written is %v, required in the schema is %v", typ.Name(), field.Name, always, required[name])
			}
		}
		if n != len(def.Properties) {
			t.Errorf("%s has %d fields, the schema %d", typ.Name(), n, len(def.Properties))
		}
	}
}

// deref follows a $ref.
func deref(s *jsonschema.Schema) *jsonschema.Schema {
	for s.Ref != nil {
		s = s.Ref
	}
	return s
}

func sub(s *jsonschema.Schema, path ...string) *jsonschema.Schema {
	for _, p := range path {
		s = deref(s.Properties[p])
	}
	return s
}

func items(s *jsonschema.Schema, name string) *jsonschema.Schema {
	return deref(deref(s.Properties[name]).Items2020)
}

// TestJSONKeepsEverything compares the counts of a result with those of its report.
func TestJSONKeepsEverything(t *testing.T) {
	r := shop(t)
	var got struct {
		Controls []struct {
			ID       string
			Findings []struct{ Outcome string }
		}
	}
	if err := json.Unmarshal(render(t, "json", r, Options{}), &got); err != nil {
		t.Fatal(err)
	}
	for i, res := range r.Controls {
		if got.Controls[i].ID != res.Control.ID || len(got.Controls[i].Findings) != len(res.Findings) {
			t.Errorf("control %d is %s with %d findings, want %s with %d", i, got.Controls[i].ID, len(got.Controls[i].Findings), res.Control.ID, len(res.Findings))
		}
	}
}

// TestFalseIsWritten keeps omitempty away from the values of changes.
func TestFalseIsWritten(t *testing.T) {
	for _, value := range []any{false, 0, "", nil, map[string]any{}} {
		out, err := json.Marshal(findingJSON(&scan.Result{}, &scan.ControlResult{Control: &control.Control{}}, &control.Finding{Changes: []control.Change{{Op: control.Set, Path: "spec.x", Value: value}}}, spot{}))
		if err != nil || !strings.Contains(string(out), `"value":`) {
			t.Errorf("a change to %#v is written as %s, error %v", value, out, err)
		}
	}
}

// TestFindingsAreWrittenAsTheLibraryWritesThem: what is written field by field is what
// encoding/json makes of the same struct.
func TestFindingsAreWrittenAsTheLibraryWritesThem(t *testing.T) {
	n := 0
	same := func(f jsonFinding) {
		n++
		var want bytes.Buffer
		if err := encodeIn(&want, "    ")(f); err != nil {
			t.Fatal(err)
		}
		text := jsonText{indent: 4}
		if text.finding(&f); text.err != nil || string(text.b) != want.String() {
			t.Fatalf("error %v\n got %s\nwant %s", text.err, text.b, &want)
		}
	}
	for seed := range uint64(300) {
		r := scatter(seed, 2)
		for _, res := range r.Controls {
			for i, f := range res.Findings {
				same(findingJSON(r, res, f, spot{i % 3, i}))
			}
		}
	}
	if n < 1000 {
		t.Errorf("only %d findings were compared", n)
	}
	// Every field of every struct by itself, and all at once.
	full := reflect.New(reflect.TypeFor[jsonFinding]()).Elem()
	fill(full)
	same(full.Interface().(jsonFinding))
	for i := range full.NumField() {
		one := reflect.New(full.Type()).Elem()
		one.Field(i).Set(full.Field(i))
		same(one.Interface().(jsonFinding))
	}
	for _, value := range []any{nil, true, 7, int64(-7), 1.5, "a\u2028b", "<&>", []string{}, map[string]any{"x": map[string]any{}, "y": []any{1, "é"}}, json.Number("12")} {
		same(jsonFinding{Changes: []jsonChange{{Op: "set", Path: "x", Value: &value}}})
	}
	var err jsonText
	if err.any(func() {}); err.err == nil {
		t.Error("a function was written as JSON")
	}
}

// fill sets every field of a struct, and of those in it, to something.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for _, field := range v.Fields() {
			fill(field)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(v.Index(i))
		}
	case reflect.String:
		v.SetString("some \"text\"")
	case reflect.Int:
		v.SetInt(7)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Interface:
		v.Set(reflect.ValueOf("a value"))
	default:
		panic(v.Type().String() + " is not known here")
	}
}

// hostile is what a stranger may call an object.
var hostile = []string{
	"", "cart", "-rf", "--all", "a b", "it's", `"quoted"`, "<script>alert(1)</script>", "</style><img src=x onerror=alert(1)>",
	"\x1b[2J\x1b[31mred", "line\nbreak", "\u202egnp.exe", "$(reboot)", "`id`", "{{.Target}}", "javascript:alert(1)",
	"\xff\xfe", strings.Repeat("long", 60), "日本語", "a/b", "kube-system/etcd-cp-1", "(all)",
}

// scatter makes a result of random parts, hostile names among them.
func scatter(seed, stream uint64) *scan.Result {
	rnd := rand.New(rand.NewPCG(seed, stream)) // a test wants the same numbers each time
	text := func() string { return hostile[rnd.IntN(len(hostile))] }
	ref := func() cluster.Ref {
		kinds := []string{"Deployment", "Pod", "File", "Listener", "etcd", "kubelet", "Node", "Namespace", "pods", "kubelet-config", text()}
		return cluster.Ref{Kind: kinds[rnd.IntN(len(kinds))], Namespace: text(), Name: text()}
	}
	r := &scan.Result{
		Target: text(), ClusterVersion: text(), Live: rnd.IntN(2) == 0, Version: text(), Objects: map[string]int{},
		Started: time.Unix(rnd.Int64N(4e9), 0), Took: time.Duration(rnd.Int64N(1e12)),
	}
	for range rnd.IntN(4) {
		r.Objects[text()] = rnd.IntN(9)
		r.Gaps = append(r.Gaps, cluster.Gap{Need: cluster.KubeletConfig, Scope: text(), Reason: text()})
	}
	for i := range rnd.IntN(8) {
		c := &control.Control{
			ID: fmt.Sprintf("x.c%d", i), Title: "Title " + text(), Severity: control.Severity(1 + rnd.IntN(4)), Since: text(),
			Refs: []control.Ref{{Catalogue: text(), Number: text()}}, Doc: prose(text(), text()),
		}
		res := &scan.ControlResult{Control: c, Outcome: control.Outcome(rnd.IntN(5)), Reason: text()}
		for range rnd.IntN(6) {
			f := &control.Finding{
				Outcome: []control.Outcome{control.Broken, control.Unknown}[rnd.IntN(2)], Object: ref(),
				Source: cluster.Source{Origin: text(), Line: rnd.IntN(2), ResourceVersion: text()},
				Path:   text(), Got: text(), Want: text(), Reason: text(), Pods: rnd.IntN(3),
			}
			for range rnd.IntN(3) {
				f.Through(ref())
				f.Set("spec.containers["+text()+"].image", []any{text(), nil, false, 3.5, map[string]any{text(): text()}}[rnd.IntN(5)])
				f.Remove("metadata.labels[" + text() + "/x]")
			}
			switch rnd.IntN(4) {
			case 0:
				f.Waiver = &control.Waiver{Reason: text(), Owner: text(), Until: text(), Source: cluster.Source{Origin: text(), Line: rnd.IntN(2)}, Annotation: rnd.IntN(2) == 0}
			case 1:
				f.Severity = control.Severity(1 + rnd.IntN(4))
				f.Reach = []control.Reach{{Way: control.Exposed, Text: text()}, {Way: control.DeadEnd, Text: text()}}
			case 2:
				f.Known = true
			}
			res.Findings = append(res.Findings, f)
			res.Broken++
		}
		r.Controls = append(r.Controls, res)
	}
	if rnd.IntN(2) == 0 {
		past := scan.Past{ID: text(), Control: text(), Severity: control.High, Object: ref(), Path: text(), Evidence: text()}
		r.Baseline = &scan.Baseline{Name: text(), New: 1, Known: 2, Fixed: []scan.Past{past}, Unseen: []scan.Past{past, past}}
	}
	return r
}
