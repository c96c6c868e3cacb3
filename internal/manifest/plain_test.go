package manifest

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	yaml "go.yaml.in/yaml/v3"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// A leaf is what matters of a YAML node.
type leaf struct {
	Kind         yaml.Kind
	Tag, Value   string
	Line, Column int
	Content      []leaf
}

func leafOf(n *yaml.Node) leaf {
	l := leaf{Kind: n.Kind, Tag: n.Tag, Value: n.Value, Line: n.Line, Column: n.Column}
	for _, c := range n.Content {
		l.Content = append(l.Content, leafOf(c))
	}
	return l
}

var plainDocuments = map[string]string{
	"a pod": `# of the shop
apiVersion: v1
kind: Pod
metadata:
  name: cart   # the cart
  labels: {}
  annotations:
    a/b: "quoted"
    c: 'also'
    empty:
spec:
  containers:
  - name: cart
    image: registry.example:5000/shop/cart:1
    args: ["--level", info, 3]
    command: []
    resources: {limits: {}}
`,
	"lists on their key's column and deeper": "a:\n- x\n- w: 1\n  z: true\nb:\n  - -1\n  - - c\n",
	"numbers and words":                      "a: 1\nb: -1\nc: 0.5\nd: 100m\ne: 10.0.0.1\nf: null\ng: ~\nh: yesterday\ni: True\nj: --flag=x\nk: 12:30\nl: none\n",
	"literal blocks":                         "a: |\n  one\n\n    two # no comment\n\n# a comment\nb: |-\n  x\nc: w\n",
	"a block that is last":                   "a:\n  b: |\n    text: x\n\n",
	"comments between":                       "a:\n# here\n  b: 1\n  # there\n- c\n",
}

var unplainDocuments = map[string]string{
	"an anchor": "a: &x 1\n", "an alias": "a: *x\n", "a merge": "<<: {}\n", "a scalar that goes on": "a: b\n  c\n",
	"a key twice": "a: 1\na: 2\n", "yes": "a: yes\n", "off": "a: Off\n", "a tab": "a:\t1\n", "octal": "a: 0777\n", "a time": "a: 2020-01-01\n", "infinity": "a: .inf\n",
	"an escape": "a: \"\\n\"\n", "no end of line": "a: 1", "only a scalar": "a\n", "a number as key": "1: a\n", "a folded block": "a: >\n  b\n",
	"a half quote": "a: 'b''c'\n", "a colon inside": "a: b: c\n", "a letter beyond ASCII": "a: é\n", "a tag": "a: !!str 1\n", "an underscored number": "a: 1_000\n",
}

// TestPlainIsTheLibrarys holds trees of plain documents against the library's.
func TestPlainIsTheLibrarys(t *testing.T) {
	var p plain
	plainOnes := 0
	for name, doc := range plainDocuments {
		if samePlain(t, &p, name, []byte(doc)) {
			plainOnes++
		}
	}
	if plainOnes < 3 {
		t.Errorf("%d of %d documents are plain, want at least 3: is the parser ever used?", plainOnes, len(plainDocuments))
	}
	for name, doc := range unplainDocuments {
		if p.parse([]byte(doc)) != nil {
			t.Errorf("%s: %q is read as plain, want it left to the library", name, doc)
		}
	}
}

// TestDemoIsPlain: what people write is read the fast way.
func TestDemoIsPlain(t *testing.T) {
	files, err := filepath.Glob("../../lab/demo/manifests/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no demo manifests", err)
	}
	var p plain
	all, fast := 0, 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, doc := range documents(data) {
			all++
			if samePlain(t, &p, file, doc) {
				fast++
			}
		}
	}
	if fast*10 < all*8 {
		t.Errorf("%d of %d documents are plain, want four in five", fast, all)
	}
}

// samePlain reports whether a document is plain, and fails where its tree is not the library's.
func samePlain(t *testing.T, p *plain, name string, doc []byte) bool {
	t.Helper()
	got := p.parse(doc)
	if got == nil {
		return false
	}
	var want yaml.Node
	if err := yaml.Unmarshal(doc, &want); err != nil || len(want.Content) == 0 {
		t.Fatalf("%s: %q is read as plain; the library says %v", name, doc, err)
	}
	if diff := cmp.Diff(leafOf(want.Content[0]), leafOf(got)); diff != "" {
		t.Fatalf("%s: %q\n%s", name, doc, diff)
	}
	return true
}

// A readFile is all that reading a document leaves behind.
type readFile struct {
	Objects []*cluster.Object
	Looked  []cluster.Need
	Outcome Outcome
	Keep    retained
}

// objectBothWays reads a document as an object through the plain tree and through JSON:
// what is read, where it stands, what is said of it and what stays in memory is the same.
func objectBothWays(t *testing.T, doc []byte) {
	t.Helper()
	read := func(how func(r *Reader) bool) (readFile, bool) {
		b := cluster.NewBuilder("test", false)
		r := NewReader(b, "shop")
		r.keep = retained{}
		ok := how(r)
		s := b.Snapshot()
		return readFile{s.Objects(), s.Facts().Looked, r.Outcome(), r.keep}, ok
	}
	got, plain := read(func(r *Reader) bool {
		root := r.plain.parse(doc)
		if root == nil {
			return false
		}
		_, ok := r.typed("a.yaml", root, spots(doc, 3))
		return ok
	})
	if !plain {
		return
	}
	want, _ := read(func(r *Reader) bool {
		data, lay, err := toJSON(doc, 3)
		if err != nil {
			t.Fatalf("%q is an object; through JSON: %v", doc, err)
		}
		at, _ := lay(-1)
		if _, err := r.object(cluster.Source{Origin: "a.yaml", Line: at.line, Column: at.column}, data, lay); err != nil {
			t.Fatalf("%q is an object; through JSON: %v", doc, err)
		}
		return true
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%q (-through JSON +plain): %s", doc, diff)
	}
}

func TestObjectsBothWays(t *testing.T) {
	files, err := filepath.Glob("../../lab/demo/manifests/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, doc := range documents(data) {
			objectBothWays(t, bytes.Clone(doc))
		}
	}
	for _, doc := range bothWays {
		objectBothWays(t, []byte(doc))
	}
}

// bothWays are fields that decode in ways of their own.
var bothWays = []string{
	"apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n  creationTimestamp: null\nspec:\n  ports:\n  - port: 80\n    targetPort: http\n  - port: 81\n    targetPort: 8080\n  - null\n",
	"apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: a\n  labels:\n    a: null\n  creationTimestamp: \"2020-01-01T00:00:00Z\"\nspec:\n  replicas: null\n  template:\n    spec:\n      containers:\n      - name: a\n        resources:\n          limits:\n            cpu: 0.5\n            memory: 1\n          requests: null\n",
	"apiVersion: v1\nkind: Secret\nmetadata:\n  name: a\nstringData:\n  k: v\n",
	"apiVersion: v1\nkind: Secret\nmetadata:\n  name: a\ndata:\n  k: dg==\n",
	"apiVersion: v1\nkind: Pod\nmetadata:\n  name: 1\n", "apiVersion: v1\nkind: Pod\nmetadata:\n  NAME: a\nspec:\n  hostPID: yes\n",
	"- 1\n", "apiVersion: v1\nkind: Pod\nmetadata: x\n", "apiVersion: v1\nkind: Pod\nspec:\n  priority: 99999999999\n",
	"apiVersion: v1\nkind: Pod\nmetadata:\n  managedFields:\n  - fieldsV1:\n      f: {}\n      a: x\n",
}

// FuzzPlain states that of whatever the plain parser reads, the library makes the same
// tree, and that the object is the one that its JSON decodes to.
func FuzzPlain(f *testing.F) {
	for _, doc := range plainDocuments {
		f.Add([]byte(doc))
	}
	for _, doc := range unplainDocuments {
		f.Add([]byte(doc))
	}
	for _, doc := range bothWays {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		var p plain
		if samePlain(t, &p, "fuzz", doc) {
			objectBothWays(t, doc)
		}
	})
}
