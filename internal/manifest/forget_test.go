package manifest

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

const secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData:\n  password: hünter2\n"

func listItem(text string, n int) string {
	indent := strings.Repeat(" ", n)
	return indent + "- " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n"+indent+"  ") + "\n"
}

// TestForget: of what came through a pipe no value stays, and fields are still found
// where nothing had to go.
func TestForget(t *testing.T) {
	const list = "apiVersion: v1\nkind: List\nitems:\n"
	for name, tt := range map[string]struct {
		in      string
		located bool
	}{
		"two documents":          {secret + "---\n" + deployment, true},
		"a list":                 {list + listItem(deployment, 0) + listItem(secret, 0) + listItem(pod("x"), 0), true},
		"a Secret first":         {list + listItem(secret, 2) + listItem(deployment, 2), true},
		"a Secret last":          {"apiVersion: v1\nitems:\n" + listItem(deployment, 0) + listItem(secret, 0) + "kind: List\n", true},
		"a dash alone":           {list + listItem(deployment, 0) + strings.Replace(listItem(secret, 0), "- ", "-\n  ", 1) + strings.Replace(listItem(pod("x"), 0), "- ", "-\n  ", 1), true},
		"a flow list":            {"{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Secret, metadata: {name: a}, stringData: {a: hünter2}}, " + strings.TrimSpace(`{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "cart"}}`) + "]}\n", false},
		"an alias":               {list + listItem("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: &d {a: hünter2}", 0) + listItem(deployment, 0) + listItem("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\ndata: *d", 0), false},
		"JSON on one line":       {`{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Secret","metadata":{"name":"ä"},"stringData":{"p":"hünter2\"}"}},{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"cart"}}]}`, true},
		"a fault in a Secret":    {strings.Replace(secret, "stringData:", "stringData: {}\nstringData:", 1) + "---\n" + deployment, true},
		"a kind unknown to us":   {strings.ReplaceAll(secret, "v1", "example.com/v1") + "---\n" + deployment, true},
		"a text that is no YAML": {"password: hünter2\n\t- x: {\n---\n" + deployment, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := cluster.NewBuilder("test", false)
			r := NewReader(b, "")
			r.Read("in", strings.NewReader(tt.in))
			if kept := r.inputs["in"].data; bytes.Contains(kept, []byte("nter2")) {
				t.Errorf("the value stays:\n%s", kept)
			}
			o := b.Snapshot().Get(cluster.Ref{Kind: "Deployment", Namespace: "default", Name: "cart"})
			if o == nil {
				t.Fatalf("the deployment was not read: %v", r.Outcome())
			}
			line, column, ok := r.Locate(o.Source, "metadata.name")
			if ok != tt.located {
				t.Fatalf("located: %t, want %t; kept:\n%s", ok, tt.located, r.inputs["in"].data)
			}
			if ok && !strings.HasPrefix(strings.Trim(rest(tt.in, line, column), `"`), "name") {
				t.Errorf("line %d, column %d is no name", line, column)
			}
		})
	}
}

// FuzzForget states of any input: no value of a Secret or ConfigMap stays, and what is
// located through a pipe is where it is in a file.
func FuzzForget(f *testing.F) {
	f.Add(secret+"---\n"+deployment, "spec.template")
	f.Add("apiVersion: v1\nkind: List\nitems:\n"+listItem(deployment, 0)+listItem(secret, 0)+listItem(pod("x"), 0), "metadata.name")
	f.Add(`{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Secret","stringData":{"p":"hünter2"}},{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"}}]}`, "metadata.name")
	f.Fuzz(func(t *testing.T, in, path string) {
		if len(in) > 1<<14 || !utf8.ValidString(in) {
			return
		}
		file := filepath.Join(t.TempDir(), "in.yaml")
		if err := os.WriteFile(file, []byte(in), 0o600); err != nil {
			t.Fatal(err)
		}
		fromFile, piped := cluster.NewBuilder("file", false), cluster.NewBuilder("pipe", false)
		rf, rp := NewReader(fromFile, ""), NewReader(piped, "")
		if err := rf.ReadPath(t.Context(), file); err != nil {
			t.Fatal(err)
		}
		rp.Read(file, strings.NewReader(in))
		if kept, read := rp.inputs[file]; read && len(kept.data) != len(in) {
			t.Errorf("%d bytes stay of %d: places have moved", len(kept.data), len(in))
		}
		s := fromFile.Snapshot()
		for _, o := range piped.Snapshot().Objects() {
			same := s.Get(o.Ref)
			if same == nil || same.Source != o.Source {
				t.Fatalf("%s at %s is not in the file", o.Ref, o.Source)
			}
			line, column, ok := rp.Locate(o.Source, path)
			wantLine, wantColumn, _ := rf.Locate(o.Source, path)
			if ok && o.Kind != "Secret" && o.Kind != "ConfigMap" && (line != wantLine || column != wantColumn) {
				t.Errorf("%s: %s is at %d:%d, in the file at %d:%d", o.Ref, path, line, column, wantLine, wantColumn)
			}
		}
	})
}
