package manifest

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v3"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

const deployment = `# The shop's cart.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: cart
  labels:
    app.kubernetes.io/name: cart
spec:
  template:
    spec:
      containers:
      - name: log
        image: log:1
      - image: cart:1
        name: cart
        command: [cart, --verbose=true]
        securityContext:
          privileged: true
          capabilities:
            add:
            - NET_ADMIN
            - SYS_ADMIN
`

const list = `apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Pod
  metadata: {name: a}
  spec: {hostPID: true}
- {apiVersion: v1, kind: Pod, metadata: {name: b}, spec: {hostPID: true}}
`

const anchors = `apiVersion: v1
kind: Pod
metadata:
  name: a
  annotations: {x: &ctx "y"}
spec:
  securityContext: &security
    runAsUser: 0
  containers:
  - name: c
    securityContext: &inner
      privileged: true
  - name: d
    securityContext: *inner
  - name: e
    securityContext:
      <<: *inner
      runAsUser: 1
`

const dump = `
{
	"apiVersion": "v1", "kind": "PodList",
	"metadata": {"items": [{"no": "object"}], "note": "\"items\": [{"},
	"items": [
		{"metadata": {"name": "a"}, "spec": {"hostPID": true}},
		{"metadata": {"name": "b"},
		 "spec": {
		   "containers": [{"name": "ä\u0063", "image": "c:1"}, {"name": "c", "image": "c:2"}],
		   "hostPID" : true}}
	]
}`

// TestLocate asks for a path in the object of a name; want is the line and what the
// line holds from the column on.
func TestLocate(t *testing.T) {
	for name, tt := range map[string]struct {
		in, object, path string
		line             int
		want             string
	}{
		"a field":                     {deployment, "cart", "spec.template.spec.containers[cart].securityContext.privileged", 18, "privileged: true"},
		"a field that is not there":   {deployment, "cart", "spec.template.spec.containers[cart].securityContext.runAsUser", 17, "securityContext:"},
		"a parent that is not there":  {deployment, "cart", "spec.template.spec.containers[log].securityContext.privileged", 12, "name: log"},
		"an item by name":             {deployment, "cart", "spec.template.spec.containers[cart]", 14, "image: cart:1"},
		"an item by index":            {deployment, "cart", "spec.template.spec.containers[0].image", 13, "image: log:1"},
		"an item that is not there":   {deployment, "cart", "spec.template.spec.containers[x].image", 11, "containers:"},
		"an item by value":            {deployment, "cart", "spec.template.spec.containers[cart].securityContext.capabilities.add[SYS_ADMIN]", 22, "SYS_ADMIN"},
		"a map's key with dots":       {deployment, "cart", "metadata.labels[app.kubernetes.io/name]", 7, "app.kubernetes.io/name: cart"},
		"a flag":                      {deployment, "cart", "--verbose", 16, "--verbose=true]"},
		"a flag that is not given":    {deployment, "cart", "--quiet", 16, "command: [cart"},
		"the object itself":           {deployment, "cart", "", 2, "apiVersion: apps/v1"},
		"no field at all":             {deployment, "cart", "cipher suites", 2, "apiVersion: apps/v1"},
		"a bracket that stays open":   {deployment, "cart", "metadata.labels[app", 6, "labels:"},
		"the second document":         {pod("x") + "--- # next\n" + deployment, "cart", "metadata.name", 10, "name: cart"},
		"a document on the separator": {pod("x") + "--- {apiVersion: v1, kind: Pod, metadata: {name: w}, spec: {hostPID: true}}\n", "w", "spec.hostPID", 5, "hostPID: true}}"},
		"flow style":                  {list, "b", "spec.hostPID", 8, "hostPID: true}}"},
		"an item of a list":           {list, "a", "spec.hostPID", 7, "hostPID: true}"},
		"an item itself":              {list, "b", "", 8, "{apiVersion: v1"},
		"an anchor":                   {anchors, "a", "spec.containers[c].securityContext.privileged", 12, "privileged: true"},
		"an alias":                    {anchors, "a", "spec.containers[d].securityContext.privileged", 12, "privileged: true"},
		"a merged field":              {anchors, "a", "spec.containers[e].securityContext.privileged", 12, "privileged: true"},
		"a field beside the merge":    {anchors, "a", "spec.containers[e].securityContext.runAsUser", 18, "runAsUser: 1"},
		"Windows line ends":           {strings.ReplaceAll(deployment, "\n", "\r\n"), "cart", "spec.template.spec.containers[cart].image", 14, "image: cart:1"},
		"breaks that editors ignore":  {"# a\u2028# b\u0085# c\rapiVersion: v1\nkind: Pod\nmetadata: {name: z}\nspec:\n  hostPID: true\n", "z", "spec.hostPID", 5, "hostPID: true"},
		"a break that editors ignore on the line of the field": {
			"apiVersion: v1\nkind: Pod\nspec:\u2028  hostPID: true\nmetadata: {name: z}\n", "z", "spec.hostPID", 3, "hostPID: true",
		},
		"an object in JSON":          {`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"j"},"spec":{"hostPID":true}}`, "j", "spec.hostPID", 1, `"hostPID":true}}`},
		"the first of a dump":        {dump, "a", "spec.hostPID", 6, `"hostPID": true}},`},
		"the second of a dump":       {dump, "b", "spec.hostPID", 10, `"hostPID" : true}}`},
		"a field behind a non-ASCII": {dump, "b", "spec.containers[c].image", 9, `"image": "c:2"}],`},
		"an escaped name":            {dump, "b", "spec.containers[äc].image", 9, `"image": "c:1"}, {`},
		"a dump on one line":         {strings.ReplaceAll(dump, "\n", " "), "b", "spec.hostPID", 1, `"hostPID" : true}}`},
		"JSON after JSON":            {"{apiVersion: v1, kind: Pod, metadata: {name: p}}\n---\n{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {\"name\": \"q\"}}\n", "q", "metadata.name", 3, `"name": "q"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			b := cluster.NewBuilder("test", false)
			r := NewReader(b, "")
			r.Read("in", strings.NewReader(tt.in))
			for _, o := range b.Snapshot().Objects() {
				if o.Name != tt.object {
					continue
				}
				line, column, ok := r.Locate(o.Source, tt.path)
				if !ok || line != tt.line {
					t.Fatalf("line %d, ok %v, want line %d", line, ok, tt.line)
				}
				if got := rest(tt.in, line, column); !strings.HasPrefix(got, tt.want) {
					t.Errorf("column %d leads to %q, want %q", column, got, tt.want)
				}
				return
			}
			t.Fatalf("no object %s was read: %v", tt.object, r.Outcome())
		})
	}
}

// rest is the text from a line's column to its end, as an editor counts.
func rest(text string, line, column int) string {
	lines := strings.Split(text, "\n")
	if line > len(lines) || column-1 > utf8.RuneCountInString(lines[line-1]) {
		return "beyond the end"
	}
	return string([]rune(lines[line-1])[column-1:])
}

// TestLocateReadsAgain: a file is not kept in memory, and one that changed since is
// not searched.
func TestLocateReadsAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cart.yaml")
	if err := os.WriteFile(path, []byte(deployment), 0o600); err != nil {
		t.Fatal(err)
	}
	b := cluster.NewBuilder("test", false)
	r := NewReader(b, "")
	if err := r.ReadPath(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if r.inputs[path].data != nil {
		t.Error("the file's text stays in memory")
	}
	src := b.Snapshot().Objects()[0].Source
	if line, _, ok := r.Locate(src, "metadata.name"); !ok || line != 5 {
		t.Errorf("line %d, ok %v, want line 5", line, ok)
	}
	if _, _, ok := r.Locate(cluster.Source{Origin: "other.yaml", Line: 1, Column: 1}, "spec"); ok {
		t.Error("a file that was not read is searched")
	}
	if err := os.WriteFile(path, []byte("# new\n"+deployment), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, ok := r.Locate(src, "metadata.name"); !ok {
		t.Error("what was searched already is read once more")
	}
	r.opened = nil
	if line, _, ok := r.Locate(src, "metadata.name"); ok {
		t.Errorf("the file changed, and line %d is given all the same", line)
	}
}

// TestLocateInMerges: aliases that multiply cost no more than they are long.
func TestLocateInMerges(t *testing.T) {
	in := "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nm0: &m0 {x: y}\n"
	for i := 1; i < 40; i++ {
		in += fmt.Sprintf("m%d: &m%d {<<: [*m%d, *m%d]}\n", i, i, i-1, i-1)
	}
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(in), &root); err != nil {
		t.Fatal(err)
	}
	if at := find(root.Content[0], "m39.absent"); at.Line != 43 {
		t.Errorf("line %d, want 43", at.Line)
	}
}

// BenchmarkLocate finds 10,000 fields in one dump, as one line of a result asks.
func BenchmarkLocate(b *testing.B) {
	for name, pod := range map[string]string{
		"YAML": "- apiVersion: v1\n  kind: Pod\n  metadata: {name: p%d}\n  spec:\n    hostPID: true\n    containers:\n    - name: c\n      image: c:1\n",
		"JSON": `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p%d"},"spec":{"hostPID":true,"containers":[{"name":"c","image":"c:1"}]}}`,
	} {
		var items []string
		for i := range 10_000 {
			items = append(items, fmt.Sprintf(pod, i))
		}
		in := "apiVersion: v1\nkind: List\nitems:\n" + strings.Join(items, "")
		if name == "JSON" {
			in = `{"apiVersion":"v1","kind":"List","items":[` + strings.Join(items, ",\n") + "]}"
		}
		builder := cluster.NewBuilder("test", false)
		r := NewReader(builder, "")
		r.Read("in", strings.NewReader(in))
		objects := builder.Snapshot().Objects()
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.opened = nil
				for _, o := range objects {
					if _, _, ok := r.Locate(o.Source, "spec.containers[c].securityContext.privileged"); !ok {
						b.Fatalf("%s is not located", o.Ref)
					}
				}
			}
		})
	}
}

// simple are keys that stand in a document as they read.
var simple = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*$`)

// FuzzLocate states of any document and path: what is located lies inside the
// document, and the line of a scalar field holds the field's name.
func FuzzLocate(f *testing.F) {
	for _, in := range []string{deployment, list, anchors, dump, pod("a"), strings.ReplaceAll(anchors, "\n", "\r\n")} {
		f.Add(in, "spec.containers[c].image")
	}
	f.Add(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"j"},"spec":{"hostPID":true}}`, "spec[]..a")
	f.Add("{apiVersion: v1, kind: Pod, metadata: {\"name\"\n: a}}", "metadata.name")
	f.Fuzz(func(t *testing.T, in, path string) {
		if len(in) > 1<<14 || !utf8.ValidString(in) {
			return
		}
		b := cluster.NewBuilder("fuzz", false)
		r := NewReader(b, "")
		r.Read("in", strings.NewReader(in))
		lines := strings.Split(in, "\n")
		locate := func(o *cluster.Object, path string) string {
			line, column, ok := r.Locate(o.Source, path)
			if !ok {
				t.Fatalf("%s at %s: %q is not located", o.Ref, o.Source, path)
			}
			if line < 1 || line > len(lines) || column < 1 || column > utf8.RuneCountInString(lines[line-1])+1 {
				t.Fatalf("%q is located at line %d, column %d, which is no place of the document", path, line, column)
			}
			return lines[line-1]
		}
		objects := b.Snapshot().Objects()
		for _, o := range objects {
			locate(o, path)
		}
		var whole map[string]any
		// Escapes and explicit keys are other ways to write a name.
		if len(objects) != 1 || strings.ContainsAny(in, "\\?!") || strings.Contains(in, "---") || yaml.Unmarshal([]byte(in), &whole) != nil || whole["items"] != nil {
			return
		}
		for path, key := range fields("", whole) {
			if line := locate(objects[0], path); !strings.Contains(line, key) {
				t.Errorf("%s is located on the line %q, want one with %s", path, line, key)
			}
		}
	})
}

// fields are the paths of the scalar fields, with their names.
func fields(at string, v any) map[string]string {
	out := map[string]string{}
	switch v := v.(type) {
	case map[string]any:
		for k, child := range v {
			if !simple.MatchString(k) {
				continue
			}
			path := strings.TrimPrefix(at+"."+k, ".")
			switch child.(type) {
			case map[string]any, []any:
				maps.Copy(out, fields(path, child))
			default:
				out[path] = k
			}
		}
	case []any:
		for i, child := range v {
			m, ok := child.(map[string]any)
			if !ok {
				return nil // an index may also be some item's value
			}
			if name, ok := m["name"]; ok && fmt.Sprint(name) != fmt.Sprint(i) {
				maps.Copy(out, fields(fmt.Sprintf("%s[%d]", at, i), child))
			}
		}
		for _, child := range v { // a name that reads as another's index hides that one
			if m, _ := child.(map[string]any); regexp.MustCompile(`^[0-9]+$`).MatchString(fmt.Sprint(m["name"])) {
				return nil
			}
		}
	}
	return out
}
