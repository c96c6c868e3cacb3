package render

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestMain is also the process that renders.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "render" {
		if err := Serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func renderer() Renderer { return Renderer{Command: []string{os.Args[0], "render"}} }

// write makes files below a new folder and returns it.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const meta = "apiVersion: v2\nname: cart\nversion: 1.0.0\n"

// TestPlaces: each rendered line is told by the line of the template that made it. The
// want column is "rendered line < template line".
func TestPlaces(t *testing.T) {
	for name, tt := range map[string]struct{ in, want string }{
		"plain":                 {"a: 1\nb: 2\n", "a: 1 < 1\nb: 2 < 2"},
		"a value":               {"a: 1\nb: {{ .Values.b }}\nc: 3\n", "a: 1 < 1\nb: x < 2\nc: 3 < 3"},
		"a condition":           {"{{- if true }}\na: 1\n{{- end }}\nb: 2\n", " < 1\na: 1 < 2\nb: 2 < 4"},
		"a trimmed condition":   {"{{- if true -}}\na: 1\n{{- else }}\nc: 3\n{{- end }}\nb: 2\n", "a: 1 < 2\nb: 2 < 6"},
		"a loop":                {"a:\n{{- range list 1 2 }}\n- {{ . }}\n{{- end }}\n", "a: < 1\n- 1 < 3\n- 2 < 3"},
		"a block that is built": {"a:\n  {{- toYaml .Values.block | nindent 2 }}\nb: 2\n", "a: < 1\n  x: 1 < 2\n  z: 2 < 2\nb: 2 < 3"},
		"what a define says":    {"{{- define \"l\" }}\nx: {{ . }}\ny: 2\n{{- end }}\na:\n  {{- include \"l\" 1 | nindent 2 | trimSuffix \"x\" }}\nb: 2\n", " < 4\na: < 5\n   < 6\n  x: 1 < 6\n  y: 2 < 6\nb: 2 < 7"},
		"a name that is cut":    {"{{- define \"n\" }}{{ printf \"abcdef\" | trunc 3 }}{{ end -}}\nname: {{ include \"n\" . | quote }}\nb: 2\n", "name: \"abc\" < 2\nb: 2 < 3"},
		"comments":              {"{{/* one\ntwo */}}\na: 1 # x\n", " < 2\na: 1 # x < 3"},
		"a brace before":        {"a: {\n{{- printf \"b: 1\" }} }\nc: 2\n", "a: {b: 1 } < 1\nc: 2 < 3"},
		"with and else":         {"{{ with .Values.none }}\na: 1\n{{ else }}\nb: {{ $.Values.b }}\n{{ end }}\n", " < 3\nb: x < 4\n < 5"},
		"an assignment":         {"{{- $x := \"1\" }}\na: {{ $x }}\n", " < 1\na: 1 < 2"},
		"a text in a text":      {"a: {{ tpl \"{{ .Values.b }}\" . }}\nb: 1\n", "a: x < 1\nb: 1 < 2"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := write(t, map[string]string{
				"Chart.yaml": meta, "values.yaml": "b: x\nblock: {x: 1, z: 2}\n", "templates/a.yaml": tt.in,
			})
			a := (&Chart{Path: dir, KubeVersion: "v1.36.0"}).render()
			if len(a.Files) != 1 {
				t.Fatalf("got %+v", a)
			}
			var got []string
			lines := strings.Split(strings.TrimSuffix(a.Files[0].Text, "\n"), "\n")
			for i, line := range lines {
				got = append(got, fmt.Sprintf("%s < %d", line, a.Files[0].Places[i][0]))
			}
			if diff := cmp.Diff(tt.want, strings.Join(got, "\n")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestChart: what is wrong with a chart is one clear sentence, with the place where
// there is one.
func TestChart(t *testing.T) {
	const good = "kind: Pod\n"
	for name, tt := range map[string]struct {
		files map[string]string
		chart Chart
		want  string
	}{
		"no chart":              {map[string]string{"Chart.yaml": "name: [\n"}, Chart{}, "it is no chart that Helm can load: cannot load Chart.yaml: error converting YAML to JSON: yaml: line 1: did not find expected node content"},
		"a required value":      {map[string]string{"Chart.yaml": meta, "templates/a.yaml": "a: 1\nb: {{ required \"say b\" .Values.b }}\n"}, Chart{}, "templates/a.yaml:2: say b"},
		"a fault in a template": {map[string]string{"Chart.yaml": meta, "templates/a.yaml": "a: 1\nb: {{ if }}\n"}, Chart{}, "templates/a.yaml:2: missing value for if"},
		"no dependency":         {map[string]string{"Chart.yaml": meta + "dependencies: [{name: redis, version: 1.0.0, repository: 'https://x'}]\n", "templates/a.yaml": good}, Chart{}, "its dependency redis is not in charts/: run `helm dependency build`"},
		"a dependency that is off": {map[string]string{
			"Chart.yaml":  meta + "dependencies: [{name: redis, alias: cache, version: 1.0.0, repository: 'https://x', condition: cache.enabled}]\n",
			"values.yaml": "cache: {enabled: false}\n", "templates/a.yaml": good,
		}, Chart{}, ""},
		"a dependency off by tag": {map[string]string{
			"Chart.yaml":  meta + "dependencies: [{name: redis, version: 1.0.0, repository: 'https://x', tags: [back]}]\n",
			"values.yaml": "tags: {back: false}\n", "templates/a.yaml": good,
		}, Chart{}, ""},
		"a dependency that is on": {map[string]string{
			"Chart.yaml":  meta + "dependencies: [{name: redis, alias: cache, version: 1.0.0, repository: 'https://x', condition: cache.enabled}]\n",
			"values.yaml": "cache: {enabled: false}\n", "templates/a.yaml": good,
		}, Chart{Set: []string{"cache.enabled=true"}}, "its dependency redis is not in charts/: run `helm dependency build`"},
		"values that do not fit": {map[string]string{
			"Chart.yaml": meta, "values.yaml": "replicas: many\n", "templates/a.yaml": good,
			"values.schema.json": `{"properties":{"replicas":{"type":"integer"}}}`,
		}, Chart{}, "its values do not fit values.schema.json of cart: at '/replicas': got string, want integer"},
		"values that fit": {map[string]string{
			"Chart.yaml": meta, "values.yaml": "replicas: 2\n", "templates/a.yaml": good,
			"values.schema.json": `{"properties":{"replicas":{"type":"integer"}}}`,
		}, Chart{}, ""},
		"values of a subchart": {map[string]string{
			"Chart.yaml": meta, "values.yaml": "sub: {replicas: many}\n", "templates/a.yaml": good,
			"charts/sub/Chart.yaml":         "apiVersion: v2\nname: sub\nversion: 1.0.0\n",
			"charts/sub/values.schema.json": `{"required":["size"]}`,
		}, Chart{}, "its values do not fit values.schema.json of sub: at '': missing property 'size'"},
		"a schema elsewhere": {map[string]string{
			"Chart.yaml": meta, "templates/a.yaml": good, "values.schema.json": `{"$ref":"https://example.com/s.json"}`,
		}, Chart{}, `its values do not fit values.schema.json of cart: failing loading "https://example.com/s.json": https://example.com/s.json is not fetched`},
		"a schema in a file": {map[string]string{
			"Chart.yaml": meta, "templates/a.yaml": good, "values.schema.json": `{"$ref":"file:///etc/hostname"}`,
		}, Chart{}, `its values do not fit values.schema.json of cart: failing loading "file:///etc/hostname": file:///etc/hostname is not fetched`},
		"no values file":       {map[string]string{"Chart.yaml": meta, "templates/a.yaml": good}, Chart{Values: []string{"absent.yaml"}}, "values absent.yaml: no such file or directory"},
		"a wrong assignment":   {map[string]string{"Chart.yaml": meta, "templates/a.yaml": good}, Chart{Set: []string{"a"}}, `--set a: key "a" has no value`},
		"a library":            {map[string]string{"Chart.yaml": meta + "type: library\n", "templates/_a.yaml": good}, Chart{}, "it is a library chart, which renders nothing by itself"},
		"lookup finds nothing": {map[string]string{"Chart.yaml": meta, "templates/a.yaml": "a: {{ lookup \"v1\" \"Secret\" \"a\" \"b\" | len }}{{ env \"HOME\" }}\n"}, Chart{}, "templates/a.yaml:1: function \"env\" not defined"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := write(t, tt.files)
			tt.chart.Path, tt.chart.KubeVersion = dir, "v1.36.0"
			a := tt.chart.render()
			got := a.Nothing
			for _, f := range a.Faults {
				if f.File != "" {
					got += fmt.Sprintf("%s:%d: ", strings.TrimPrefix(f.File, dir+"/"), f.Line)
				}
				got += f.Why
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestValuesAndSubcharts(t *testing.T) {
	dir := write(t, map[string]string{
		"c/Chart.yaml": meta, "c/values.yaml": "a: 1\nb: 1\nc: 1\nsub: {way: from-parent}\n",
		"c/templates/a.yaml":               "x: {{ .Values.a }}{{ .Values.b }}{{ .Values.c }} {{ .Release.Name }} {{ .Release.Namespace }} {{ .Capabilities.KubeVersion.Minor }}",
		"c/templates/NOTES.txt":            "thanks",
		"c/charts/sub/Chart.yaml":          "apiVersion: v2\nname: sub\nversion: 1.0.0\n",
		"c/charts/sub/templates/deep.yaml": "way: {{ .Values.way }}",
		"v1.yaml":                          "b: 2\nc: 2\n", "v2.yaml": "c: 3\n",
	})
	a, err := renderer().Render(t.Context(), Request{Chart: &Chart{
		Path: filepath.Join(dir, "c"), Values: []string{filepath.Join(dir, "v1.yaml"), filepath.Join(dir, "v2.yaml")},
		Set: []string{"a=9"}, Release: "r", Namespace: "ns", KubeVersion: "v1.36.0",
	}})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, f := range a.Files {
		rel, _ := filepath.Rel(dir, f.Path)
		got[filepath.ToSlash(rel)] = f.Text
	}
	want := map[string]string{"c/templates/a.yaml": "x: 923 r ns 36", "c/charts/sub/templates/deep.yaml": "way: from-parent"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestHostile: what a chart may cost has an end.
func TestHostile(t *testing.T) {
	for name, tt := range map[string]struct{ template, want string }{
		"memory in one piece": {`{{ $x := until 2000000000 }}`, "memory"},
		"memory step by step": {`{{ $x := "aaaaaaaaaaaaaaaa" }}{{ range until 40 }}{{ $x = printf "%s%s" $x $x }}{{ end }}`, "memory"},
		"time":                {`{{ range until 100000 }}{{ range until 100000 }}{{ end }}{{ end }}`, "rendering it takes more than 3 s"},
		"output":              {`{{ range until 16000 }}{{ repeat 5000 "a" }}{{ end }}`, "it renders to more than 64 MB"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := write(t, map[string]string{"Chart.yaml": meta, "templates/a.yaml": tt.template})
			r := renderer()
			if name == "time" {
				r.Time = 3 * time.Second
			}
			_, err := r.Render(t.Context(), Request{Chart: &Chart{Path: dir, KubeVersion: "v1.36.0"}})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

const pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: c, image: 'c:1'}]}\n"

func TestKustomize(t *testing.T) {
	dir := write(t, map[string]string{
		"base/kustomization.yaml": "resources: [pod.yaml]\n", "base/pod.yaml": pod,
		"over/kustomization.yaml": "resources: [../base]\nnamePrefix: big-\npatches: [{path: p.yaml}]\nconfigMapGenerator: [{name: g, literals: [a=b]}]\n",
		"over/p.yaml":             "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {hostPID: true}\n",
		"far/kustomization.yaml":  "resources: ['https://example.com/x.yaml', 'github.com/a/b//c?ref=v1', ../base]\n",
		"exec/kustomization.yaml": "generators: [g.yaml]\n",
		"exec/g.yaml":             "apiVersion: example.com/v1\nkind: Gen\nmetadata: {name: g, annotations: {config.kubernetes.io/function: 'exec: {path: ./run}'}}\n",
		"part/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n",
		"gone/kustomization.yaml": "resources: [absent.yaml]\n",
		"lost/kustomization.yaml": "resources: [../gone]\n",
		"helm/kustomization.yaml": "helmCharts: [{name: cart, version: v1.0.0}]\n",
	})
	build := func(name string) *Answer {
		a, err := renderer().Render(t.Context(), Request{Kustomize: &Kustomize{Path: filepath.Join(dir, name)}})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	a := build("over")
	var got []string
	for _, o := range a.Objects {
		rel, _ := filepath.Rel(dir, o.Path)
		name := strings.Contains(o.Text, "name: big-")
		got = append(got, fmt.Sprintf("%s prefixed:%t patched:%t clean:%t", filepath.ToSlash(rel), name, strings.Contains(o.Text, "hostPID: true"), !strings.Contains(o.Text, "config.kubernetes.io")))
	}
	want := []string{"base/pod.yaml prefixed:true patched:true clean:true", "over/kustomization.yaml prefixed:true patched:false clean:true"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s\n%v", diff, a.Faults)
	}
	for name, want := range map[string][]string{
		"far":  {"it needs https://example.com/x.yaml, and nothing is fetched", "it needs github.com/a/b//c?ref=v1, and nothing is fetched"},
		"exec": {"plugin"},
		"gone": {"it names absent.yaml, and there is no such file or folder"},
		"lost": {"it names absent.yaml, and there is no such file or folder"},
		"helm": {"it has kustomize run Helm for the chart cart, which is not done here"},
	} {
		a := build(name)
		if len(a.Objects) > 0 || len(a.Faults) != len(want) {
			t.Fatalf("%s: got %+v", name, a)
		}
		for i, f := range a.Faults {
			if !strings.Contains(f.Why, want[i]) || strings.Contains(f.Why, "\n") {
				t.Errorf("%s: got %q, want %q", name, f.Why, want[i])
			}
		}
	}
	if a := build("part"); a.Nothing == "" {
		t.Errorf("a component: %+v", a)
	}
	k := FindKustomizations([]string{filepath.Join(dir, "over")})
	if !k.Used(filepath.Join(dir, "base")) || !k.Used(filepath.Join(dir, "base", "pod.yaml")) || !k.Used(filepath.Join(dir, "over", "p.yaml")) || k.Used(filepath.Join(dir, "over")) {
		t.Errorf("used: %v", k.tree.used)
	}
}

// FuzzPlaces states of any template that Helm renders: there is a place for each line,
// and it is in the template.
func FuzzPlaces(f *testing.F) {
	f.Add("a: 1\n{{- if true }}\nb: {{ .Values.b }}\n{{ end }}")
	f.Add("{{- define \"x\" }}\na\n{{ end }}\nb: {{ include \"x\" . | nindent 2 }}")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<12 || strings.Contains(text, "until") || strings.Contains(text, "repeat") || strings.Contains(text, "gen") {
			return
		}
		marked, err := mark("a", text)
		if err != nil {
			return
		}
		for _, p := range places(strings.ReplaceAll(text, "{{", ""), marked, text) {
			if p[0] < 1 || p[1] < 1 || p[0] > strings.Count(text, "\n")+1 {
				t.Errorf("place %v in a text of %d lines", p, strings.Count(text, "\n")+1)
			}
		}
	})
}
