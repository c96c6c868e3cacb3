package report

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/net/html"
	"sigs.k8s.io/yaml"

	"github.com/bulwark-k8s/bulwark/controls"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/scan"
)

// results are what every format is tried on: the ordinary, the empty, the large, and
// what strangers might have written.
func results(t *testing.T) map[string]*scan.Result {
	t.Helper()
	fromFiles, _ := files(t)
	out := map[string]*scan.Result{
		"files": fromFiles, "live": live(shop(t)), "clean": clean(), "nothing": {}, "a standard": underStandard(t),
		"the real catalogue": scanFile(t, controls.All(), "testdata/shop.yaml"),
		"a crashed control":  {Controls: []*scan.ControlResult{{Control: &control.Control{ID: "a.b", Title: "A", Severity: control.Low}, Reason: "the control crashed: nil"}}},
	}
	for seed := range uint64(40) {
		out[fmt.Sprintf("scattered %d", seed)] = scatter(seed, 4)
	}
	return out
}

// schemaFile compiles a schema of testdata/schemas: SARIF's is that of OASIS, errata 01.
func schemaFile(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	for _, file := range []string{"scan-v1.json", "scan-lines-v1.json"} { // they refer to each other by their names on the web
		data, err := os.ReadFile(filepath.Join("..", "..", "docs", "schema", file))
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddResource("https://github.com/bulwark-k8s/bulwark/docs/schema/"+file, doc); err != nil {
			t.Fatal(err)
		}
	}
	s, err := c.Compile(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func fits(t *testing.T, s *jsonschema.Schema, doc []byte) {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(v); err != nil {
		t.Errorf("it does not fit its schema: %v", err)
	}
}

// TestSARIF holds every result to the official schema, and to what code scanning asks
// for beyond it.
func TestSARIF(t *testing.T) {
	s := schemaFile(t, filepath.Join("testdata", "schemas", "sarif-2.1.0.json"))
	for name, r := range results(t) {
		t.Run(name, func(t *testing.T) {
			out := render(t, "sarif", r, Options{})
			fits(t, s, out)
			var log sarifLog
			if err := json.Unmarshal(out, &log); err != nil {
				t.Fatal(err)
			}
			run := log.Runs[0]
			if len(run.Results) != r.Count().Findings {
				t.Errorf("%d results, want %d", len(run.Results), r.Count().Findings)
			}
			seen := map[string]bool{}
			for _, res := range run.Results {
				if got := run.Tool.Driver.Rules[res.RuleIndex].ID; got != res.RuleID {
					t.Errorf("rule %d is %s, want %s", res.RuleIndex, got, res.RuleID)
				}
				id := res.Fingerprints["primaryLocationLineHash"]
				if id == "" || seen[id] {
					t.Errorf("fingerprint %q is empty or stands twice", id)
				}
				seen[id] = true
				if strings.Contains(res.Message.Text, "](") || res.Message.Text == "" {
					t.Errorf("message %q holds a link, or nothing", res.Message.Text)
				}
				at := res.Locations[0].Physical
				u, err := url.Parse(at.Artifact.URI)
				if err != nil || u.IsAbs() && u.Scheme != "file" || at.Region.StartLine < 1 || at.Region.StartColumn < 1 {
					t.Errorf("location %+v is no place in a file", at)
				}
				if at.Artifact.Base == "" && (u.Host != "" || slices.ContainsFunc(strings.Split(u.Path, "/"), func(p string) bool { return p == ".." || p == "." || p == "" })) {
					t.Errorf("the made-up file %q leads elsewhere", at.Artifact.URI)
				}
			}
			for _, rule := range run.Tool.Driver.Rules {
				if len(rule.Properties.Tags) > maxSARIFTags || rule.Help.Text == "" || rule.Help.Markdown == "" {
					t.Errorf("rule %s has %d tags, help %q", rule.ID, len(rule.Properties.Tags), rule.Help)
				}
			}
			// The counts of scattered results do not agree with themselves.
			if !strings.HasPrefix(name, "scattered") && r.Count().Incomplete != (len(run.Invocations[0].Notifications) > 0) {
				t.Errorf("incomplete is %v, and there are %d notifications", r.Count().Incomplete, len(run.Invocations[0].Notifications))
			}
		})
	}
}

// TestSARIFFollowsMovedLines: an alert stays the same one when its line moves.
func TestSARIFFollowsMovedLines(t *testing.T) {
	read := func(r *scan.Result, o Options) (prints []map[string]string, lines []int) {
		for _, res := range toSARIF(r, o).Runs[0].Results {
			prints = append(prints, res.Fingerprints)
			lines = append(lines, res.Locations[0].Physical.Region.StartLine)
		}
		return prints, lines
	}
	r, o := files(t)
	before, was := read(r, o)
	locate := o.Locate
	o.Locate = func(src cluster.Source, path string) (int, int, bool) {
		line, column, ok := locate(src, path)
		return line + 7, column, ok
	}
	after, is := read(r, o)
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("fingerprints (-before +after):\n%s", diff)
	}
	if slices.Equal(was, is) {
		t.Error("no line moved")
	}
}

// TestSARIFFitsAnUpload: however long what strangers wrote, the upload is not refused.
func TestSARIFFitsAnUpload(t *testing.T) {
	r := large(3000)
	rnd := rand.New(rand.NewPCG(1, 2)) // noise does not compress
	for _, f := range r.Controls[0].Findings {
		noise := make([]byte, 6000)
		for i := range noise {
			noise[i] = byte('!' + rnd.IntN(90))
		}
		f.Got = string(noise)
	}
	var b bytes.Buffer
	gz := gzip.NewWriter(&b)
	if err := writeSARIF(gz, r, Options{}); err != nil {
		t.Fatal(err)
	}
	if err := gz.Close(); err != nil {
		t.Fatal(err)
	}
	if b.Len() > 10_000_000 {
		t.Errorf("%d bytes when compressed", b.Len())
	}
	run := toSARIF(r, Options{}).Runs[0]
	if n := len(run.Results); n == 0 || n == 3000 || !strings.HasPrefix(run.Invocations[0].Notifications[0].Message.Text, fmt.Sprintf("%d findings left out", 3000-n)) {
		t.Errorf("%d results, notifications %v", n, run.Invocations[0].Notifications)
	}
}

// TestSARIFEditsTheFile: where a plain value is wrong, the edit is in the result, and
// making it gives the value that is wanted.
func TestSARIFEditsTheFile(t *testing.T) {
	c := &control.Control{ID: "pod.x", Title: "t", Severity: control.High}
	for line, want := range map[string]string{
		"    hostPID: true":              "    hostPID: false",
		"  - hostPID: true  # why":       "  - hostPID: false  # why",
		"\"hostPID\": true":              "\"hostPID\": false",
		"    hostPID: {{ .Values.pid }}": "",
		"    hostPID: \"true\"":          "",
		"{hostPID: true}":                "",
		"    hostIPC: true":              "",
		"    hostPID: yes":               "",
		"日本: 1":                          "",
	} {
		f := &control.Finding{Outcome: control.Broken, Object: cluster.Ref{Kind: "Pod", Name: "a"}, Source: cluster.Source{Origin: "a.yaml", Line: 1}, Path: "spec.hostPID", Got: "true", Want: "false"}
		f.Set("spec.hostPID", false)
		r := &scan.Result{Controls: []*scan.ControlResult{{Control: c, Outcome: control.Broken, Findings: []*control.Finding{f}}}}
		res := toSARIF(r, Options{Text: func(cluster.Source, int) (string, bool) { return line, true }}).Runs[0].Results[0]
		if got := res.Locations[0].Physical.Region.EndColumn; got != utf8.RuneCountInString(line)+1 {
			t.Errorf("%q: it ends at %d", line, got)
		}
		got := ""
		if len(res.Fixes) > 0 {
			e := res.Fixes[0].Changes[0].Replacements[0]
			runes := []rune(line)
			got = string(runes[:e.Deleted.StartColumn-1]) + e.Inserted.Text + string(runes[e.Deleted.EndColumn-1:])
		}
		if got != want {
			t.Errorf("%q becomes %q, want %q", line, got, want)
		}
	}
}

// TestTwiceTheSame: the same scan gives the same bytes in every format.
func TestTwiceTheSame(t *testing.T) {
	for _, f := range Formats() {
		first := render(t, f.Name, shop(t), Options{All: true})
		for range 3 {
			if !bytes.Equal(first, render(t, f.Name, shop(t), Options{All: true})) {
				t.Errorf("%s differs from one time to the next", f.Name)
			}
		}
	}
}

// FuzzSARIFPlace states that whatever a file or an object is called, its location is a
// URI that parses back to one place: relative to the folder, or a file's, never upwards
// where it was made up.
func FuzzSARIFPlace(f *testing.F) {
	f.Add("deploy/cart.yaml", "shop", "cart")
	f.Add("../up.yaml", "..", ".")
	f.Add("a b%2f#?.yaml", "%2e%2e", "a/b\\c")
	f.Add("/abs/ü.yaml", "", "\xff")
	f.Add("c:\\x.yaml", "-", "")
	f.Fuzz(func(t *testing.T, file, namespace, name string) {
		for _, src := range []cluster.Source{{Origin: file, Line: 1}, {Origin: "/api"}} {
			loc := locationSARIF(&control.Finding{Object: cluster.Ref{Kind: "Pod", Namespace: namespace, Name: name}, Source: src}, spot{1, 1}, "/work")
			u, err := url.Parse(loc.Physical.Artifact.URI)
			if err != nil {
				t.Fatalf("%q: %v", loc.Physical.Artifact.URI, err)
			}
			if loc.Physical.Artifact.Base != "" {
				if u.IsAbs() || u.Host != "" || u.RawQuery != "" || u.Fragment != "" || strings.TrimPrefix(u.Path, "./") != filepath.ToSlash(fileOf(src, "/work")) {
					t.Errorf("file %q becomes %q", file, loc.Physical.Artifact.URI)
				}
				continue
			}
			if u.IsAbs() {
				if u.Scheme != "file" || u.Path != filepath.ToSlash(fileOf(src, "/work")) {
					t.Errorf("file %q becomes %q", file, loc.Physical.Artifact.URI)
				}
				continue
			}
			if parts := strings.Split(u.Path, "/"); len(parts) != 4 || slices.ContainsFunc(parts, func(p string) bool { return p == "" || p == "." || p == ".." }) {
				t.Errorf("%q of %q becomes %q", name, namespace, loc.Physical.Artifact.URI)
			}
		}
	})
}

// TestSARIFIsBounded: code scanning refuses larger runs.
func TestSARIFIsBounded(t *testing.T) {
	run := toSARIF(large(maxSARIFResults+5), Options{}).Runs[0]
	notes := run.Invocations[0].Notifications
	if len(run.Results) != maxSARIFResults || len(notes) != 1 || !strings.HasPrefix(notes[0].Message.Text, "5 findings left out") {
		t.Errorf("%d results, notifications %v", len(run.Results), notes)
	}
}

// TestFileNames: files are told from the repository's folder where they are in it.
func TestFileNames(t *testing.T) {
	for name, tt := range map[string]struct{ origin, dir, want string }{
		"a relative path":            {"deploy/cart.yaml", "/src", "deploy/cart.yaml"},
		"with a dot":                 {"./deploy//cart.yaml", "/src", "deploy/cart.yaml"},
		"an absolute path inside":    {"/src/deploy/cart.yaml", "/src", "deploy/cart.yaml"},
		"an absolute path elsewhere": {"/etc/cart.yaml", "/src", "/etc/cart.yaml"},
		"no folder known":            {"/src/cart.yaml", "", "/src/cart.yaml"},
		"a pipe":                     {"standard input", "/src", ""},
		"a pipe by number":           {"/dev/fd/63", "/src", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := fileOf(cluster.Source{Origin: tt.origin, Line: 1}, tt.dir); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	if got := fileOf(cluster.Source{Origin: "/api/v1/pods"}, ""); got != "" {
		t.Errorf("an API path is the file %q", got)
	}
	for file, want := range map[string]string{
		"a b#c.yaml": "a%20b%23c.yaml", "a:b.yaml": "./a:b.yaml", "100%.yaml": "100%25.yaml", "/etc/x.yaml": "file:///etc/x.yaml",
	} {
		f := &control.Finding{Source: cluster.Source{Origin: file, Line: 3}}
		if got := locationSARIF(f, spot{3, 1}, "").Physical.Artifact.URI; got != want {
			t.Errorf("%s is the URI %s, want %s", file, got, want)
		}
	}
}

// TestJUnit reads every report back and counts.
func TestJUnit(t *testing.T) {
	for name, r := range results(t) {
		t.Run(name, func(t *testing.T) {
			out := render(t, "junit", r, Options{})
			if !utf8.Valid(out) {
				t.Fatal("it is no valid text")
			}
			var got junitSuites
			d := xml.NewDecoder(bytes.NewReader(out))
			d.Strict = true
			if err := d.Decode(&got); err != nil {
				t.Fatal(err)
			}
			cases, failed, errs, skipped := 0, 0, 0, 0
			for _, s := range got.Suites {
				cases += len(s.Cases)
				if len(s.Cases) == 0 {
					t.Errorf("suite %s is empty", s.Name)
				}
				for _, c := range s.Cases {
					for _, m := range []*junitMessage{c.Failure, c.Error} {
						if m != nil && strings.ContainsAny(m.Message+m.Text, "\x1b\u202e") {
							t.Errorf("%s carries an escape sequence", c.Name)
						}
					}
					switch {
					case c.Failure != nil:
						failed++
					case c.Error != nil:
						errs++
					case c.Skipped != nil:
						skipped++
					}
				}
			}
			if diff := cmp.Diff([]int{cases, failed, errs, skipped}, []int{got.Tests, got.Failed, got.Errors, got.Skipped}); diff != "" {
				t.Errorf("counted (-) and told (+):\n%s", diff)
			}
			if c := r.Count(); !strings.HasPrefix(name, "scattered") && (c.Findings > 0 != (failed > 0) || c.Incomplete != (errs > 0)) {
				t.Errorf("%d findings, incomplete %v: %d failures, %d errors", c.Findings, c.Incomplete, failed, errs)
			}
		})
	}
}

// TestMarkdownComment: whatever was found, the comment fits, makes no element and no
// table of a stranger's, and mentions nobody.
func TestMarkdownComment(t *testing.T) {
	all := results(t)
	all["large"] = large(10000)
	wide := large(0)
	for i := range 300 {
		c := *fixtures[0]
		c.ID = fmt.Sprintf("pod.c%03d", i)
		res := &scan.ControlResult{Control: &c, Outcome: control.Broken}
		res.Findings = large(30).Controls[0].Findings
		wide.Controls = append(wide.Controls, res)
	}
	all["many controls"] = wide
	for name, r := range all {
		t.Run(name, func(t *testing.T) {
			out := string(render(t, "markdown", r, Options{}))
			if len(out) > maxComment || !utf8.ValidString(out) {
				t.Errorf("%d bytes, want at most %d", len(out), maxComment)
			}
			columns := 0 // of the table that the line is in, as its first row has them
			for line := range strings.Lines(out) {
				switch n := strings.Count(line, "|"); {
				case !strings.HasPrefix(line, "|"):
					columns = 0
				case columns == 0:
					if columns = n; n != 4 && n != 6 {
						t.Errorf("a table of %d columns: %s", n-1, line)
					}
				case n != columns:
					t.Errorf("a row with other columns: %s", line)
				}
				if strings.Contains(line, "`") && !strings.Contains(line, "`bulwark ") || strings.ContainsAny(line, "@\x1b\u202e") {
					t.Errorf("a stranger's punctuation: %s", line)
				}
			}
			z := html.NewTokenizer(strings.NewReader(out))
			for z.Next() != html.ErrorToken {
				if tok := z.Token(); tok.Type == html.StartTagToken && (len(tok.Attr) > 0 || !slices.Contains([]string{"details", "summary", "b", "code"}, tok.Data)) {
					t.Errorf("it makes the element %s", tok)
				}
			}
			if strings.Count(out, "<details>") != strings.Count(out, "</details>") {
				t.Error("a fold stays open")
			}
		})
	}
	if out := comment(wide, Options{}); !strings.Contains(out, "Left out for want of room: ") {
		t.Errorf("it does not say what it leaves out: …%s", out[len(out)-300:])
	}
}

// TestCSV reads every report back; no cell is a formula.
func TestCSV(t *testing.T) {
	for name, r := range results(t) {
		t.Run(name, func(t *testing.T) {
			rows, err := csv.NewReader(bytes.NewReader(render(t, "csv", r, Options{}))).ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			broken := 0
			for i, row := range rows {
				if len(row) != len(csvColumns) {
					t.Errorf("row %d has %d cells", i, len(row))
				}
				for _, c := range row {
					if strings.IndexAny(strings.TrimLeft(c, " "), "=+-@\t\r") == 0 {
						t.Errorf("row %d: the cell %q may be taken for a formula", i, c)
					}
				}
				if row[2] == "broken" {
					broken++
				}
			}
			if broken != r.Count().Findings {
				t.Errorf("%d broken rows, want %d", broken, r.Count().Findings)
			}
		})
	}
	for text, want := range map[string]string{
		"=1+1": `"'=1+1"`, "+1": `"'+1"`, "-rf": `"'-rf"`, "@SUM(A1)": `"'@SUM(A1)"`, "\t=1": `"' =1"`, "\rx": `"' x"`, " =1": `"' =1"`,
		"＝1": `"'＝1"`, `a";=1`: `"a"";=1"`, "a=1": `"a=1"`, "": `""`,
	} {
		if got := cell(text); got != want {
			t.Errorf("%q is the cell %s, want %s", text, got, want)
		}
	}
}

// TestJSONLines: every line fits the schema, and the findings are those of the JSON.
func TestJSONLines(t *testing.T) {
	s := schemaFile(t, "https://github.com/bulwark-k8s/bulwark/docs/schema/scan-lines-v1.json")
	for name, r := range results(t) {
		t.Run(name, func(t *testing.T) {
			lines := bytes.Split(bytes.TrimSuffix(render(t, "jsonl", r, Options{}), []byte("\n")), []byte("\n"))
			var findings []any
			for i, line := range lines {
				fits(t, s, line)
				var kind struct{ Type string }
				if err := json.Unmarshal(line, &kind); err != nil {
					t.Fatal(err)
				}
				want := "finding"
				switch i {
				case 0:
					want = "header"
				case len(lines) - 1:
					want = "summary"
				}
				if kind.Type != want {
					t.Errorf("line %d is a %s, want a %s", i, kind.Type, want)
				}
				if want == "finding" {
					var f map[string]any
					if err := json.Unmarshal(line, &f); err != nil {
						t.Fatal(err)
					}
					for _, of := range []string{"type", "control", "title", "refs"} {
						delete(f, of)
					}
					findings = append(findings, f)
				}
			}
			var all struct{ Controls []struct{ Findings []any } }
			if err := json.Unmarshal(render(t, "json", r, Options{}), &all); err != nil {
				t.Fatal(err)
			}
			var want []any
			for _, c := range all.Controls {
				want = append(want, c.Findings...)
			}
			if !reflect.DeepEqual(findings, want) {
				t.Errorf("findings (-JSON +lines):\n%s", cmp.Diff(want, findings))
			}
		})
	}
}

// crd returns the schema of a custom resource, which then allows nothing that it does
// not name, as strict field validation does.
func crd(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "schemas", name))
	if err != nil {
		t.Fatal(err)
	}
	var def struct {
		Spec struct {
			Versions []struct {
				Schema struct {
					OpenAPIV3Schema map[string]any `json:"openAPIV3Schema"`
				} `json:"schema"`
			} `json:"versions"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(data, &def); err != nil {
		t.Fatal(err)
	}
	root := def.Spec.Versions[0].Schema.OpenAPIV3Schema
	root["properties"].(map[string]any)["metadata"] = map[string]any{
		"type": "object", "required": []any{"name", "labels"}, "properties": map[string]any{
			"name": map[string]any{"type": "string"}, "namespace": map[string]any{"type": "string"}, "labels": map[string]any{"type": "object"},
		}, "additionalProperties": false,
	}
	var closed func(v any)
	closed = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if _, ok := v["properties"].(map[string]any); ok && v["type"] == "object" {
				v["additionalProperties"] = false
			}
			for _, child := range v {
				closed(child)
			}
		case []any:
			for _, child := range v {
				closed(child)
			}
		}
	}
	closed(root)
	// The compiler wants JSON's numbers.
	text, err := json.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(name, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestPolicyReports: every object is one that the API server takes, and its counts are
// those of its results.
func TestPolicyReports(t *testing.T) {
	all := results(t)
	all["large"] = large(150) // 50 to a namespace
	crowded := large(maxPolicyResults + 1)
	for _, f := range crowded.Controls[0].Findings {
		f.Object.Namespace = "shop"
	}
	all["crowded"] = crowded
	for format, kinds := range map[string][2]string{
		"policyreport": {"wgpolicyk8s.io_policyreports.yaml", "wgpolicyk8s.io_clusterpolicyreports.yaml"},
		"openreports":  {"openreports.io_reports.yaml", "openreports.io_clusterreports.yaml"},
	} {
		namespaced, whole := crd(t, kinds[0]), crd(t, kinds[1])
		for name, r := range all {
			t.Run(format+"/"+name, func(t *testing.T) {
				fails, ids := 0, map[string]bool{}
				for _, doc := range strings.Split(string(render(t, format, r, Options{})), "---\n")[1:] {
					text, err := yaml.YAMLToJSONStrict([]byte(doc))
					if err != nil {
						t.Fatalf("%v\n%s", err, doc)
					}
					var got struct {
						Kind     string
						Metadata struct{ Namespace, Name string }
						Summary  map[string]int
						Results  []struct{ Result string }
					}
					if err := json.Unmarshal(text, &got); err != nil {
						t.Fatal(err)
					}
					s := namespaced
					if strings.HasPrefix(got.Kind, "Cluster") {
						s = whole
					}
					fits(t, s, text)
					counted := map[string]int{"pass": 0, "fail": 0, "warn": 0, "error": 0, "skip": 0}
					for _, r := range got.Results {
						counted[r.Result]++
					}
					if !maps.Equal(counted, got.Summary) || len(got.Results) > maxPolicyResults || len(doc) > 1<<20 {
						t.Errorf("%d results in %d bytes, counted %+v", len(got.Results), len(doc), got.Summary)
					}
					if strings.HasPrefix(got.Kind, "Cluster") != (got.Metadata.Namespace == "") {
						t.Errorf("%s in namespace %q", got.Kind, got.Metadata.Namespace)
					}
					id := got.Metadata.Namespace + "/" + got.Metadata.Name
					if ids[id] {
						t.Errorf("%s stands twice", id)
					}
					ids[id] = true
					fails += counted["fail"]
				}
				if want := r.Count().Findings - r.Count().Waived; fails != want {
					t.Errorf("%d failures, want %d", fails, want)
				}
			})
		}
	}
}

// TestHostileNamesInFiles draws every format of names that strangers chose for files.
func TestHostileNamesInFiles(t *testing.T) {
	for _, name := range hostile {
		r := large(1)
		r.Live = false
		r.Controls[0].Findings[0].Source = cluster.Source{Origin: name, Line: 3, Column: 5}
		for _, f := range Formats() {
			out := render(t, f.Name, r, Options{Dir: "/src"})
			if bytes.ContainsAny(out, "\x1b") || f.Name != "json" && f.Name != "jsonl" && bytes.Contains(out, []byte("\u202e")) || !utf8.Valid(out) {
				t.Errorf("%s: the file %q drives a terminal", f.Name, name)
			}
		}
	}
}

// TestEveryFormatIsDocumented: docs/report.md has a row for each.
func TestEveryFormatIsDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "report.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range Names() {
		if !strings.Contains(string(text), "\n| `"+name+"` |") {
			t.Errorf("docs/report.md has no row for %s", name)
		}
	}
}
