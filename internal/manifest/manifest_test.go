package manifest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kubectlyaml "sigs.k8s.io/yaml"

	yaml "go.yaml.in/yaml/v3"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

func pod(name string) string {
	return "apiVersion: v1\nkind: Pod\nmetadata: {name: " + name + ", namespace: shop}\nspec: {containers: [{name: c, image: c:1}]}\n"
}

func TestReadKeepsGoing(t *testing.T) {
	tests := map[string]struct {
		in       string
		objects  []string
		problems []string
		skipped  []string
	}{
		"two documents": {
			in:      pod("a") + "---\n" + pod("b"),
			objects: []string{"pod shop/a", "pod shop/b"},
		},
		"a broken document between two good ones": {
			in:       pod("a") + "---\nkind: Pod\n  apiVersion: v1\n---\n" + pod("b"),
			objects:  []string{"pod shop/a", "pod shop/b"},
			problems: []string{"in:7: mapping values are not allowed in this context"},
		},
		"a document that ends in the middle": {
			in:       pod("a") + "---\napiVersion: v1\nkind: Pod\nmetadata: {name: b",
			objects:  []string{"pod shop/a"},
			problems: []string{"in:7: did not find expected ',' or '}'"},
		},
		"a duplicate key": {
			in:       "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  hostPID: false\n  hostPID: true\n",
			problems: []string{`in:6: mapping key "hostPID" already defined at line 5`},
		},
		"a duplicate key in JSON": {
			in:       `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","name":"b"}}`,
			problems: []string{`in:1: duplicate field "metadata.name"`},
		},
		"a wrong type": {
			in:       "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {hostPID: maybe}\n",
			problems: []string{"in:1: pod a: json: cannot unmarshal string into Go struct field PodSpec.spec.hostPID of type bool"},
		},
		"an unknown kind": {
			in:      "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: a}\n---\n" + pod("b"),
			objects: []string{"pod shop/b"},
			skipped: []string{"in:1 kind Widget of example.com/v1 is not known"},
		},
		"a list with lines": {
			in:      "apiVersion: v1\nkind: List\nitems:\n- " + strings.ReplaceAll(strings.TrimSpace(pod("a")), "\n", "\n  ") + "\n- {apiVersion: v1, kind: Namespace, metadata: {name: shop}}\n",
			objects: []string{"namespace shop", "pod shop/a"},
		},
		"a typed list as the API server gives it": {
			in:      `{"apiVersion":"v1","kind":"PodList","items":[{"metadata":{"name":"a","namespace":"shop"},"spec":{"containers":[]}}]}`,
			objects: []string{"pod shop/a"},
		},
		"the same object twice": {
			in:      pod("a") + "---\n" + pod("a"),
			objects: []string{"pod shop/a"},
			skipped: []string{"in:6 pod shop/a stands in the input twice"},
		},
		"the same object twice, as the API server shows it later": {
			in:      pod("a") + "---\n" + strings.Replace(pod("a"), "namespace: shop", "namespace: shop, resourceVersion: \"7\", annotations: {}", 1) + "status: {phase: Running}\n",
			objects: []string{"pod shop/a"},
			skipped: []string{"in:6 pod shop/a stands in the input twice"},
		},
		"a namespace in an object of the cluster": {
			in: "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: a, namespace: shop}\n---\n" +
				"apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: {name: a, namespace: shop}\nspec: {}\n",
			objects: []string{"ciliumclusterwidenetworkpolicy a", "clusterrole a"},
		},
		"two versions of an object": {
			in:       pod("a") + "---\n" + strings.Replace(pod("a"), "{containers", "{hostPID: true, containers", 1),
			objects:  []string{"pod shop/a"},
			problems: []string{"in:6: pod shop/a stands in the input twice and differs; the first one counts: scan this one by itself"},
		},
		"two versions of an object of a foreign kind": {
			in:       "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: a}\nspec: {endpointSelector: {}}\n---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: a}\nspec: {}\n",
			objects:  []string{"ciliumnetworkpolicy default/a"},
			problems: []string{"in:6: ciliumnetworkpolicy default/a stands in the input twice and differs; the first one counts: scan this one by itself"},
		},
		"names that are generated": {
			in: strings.ReplaceAll(pod("a-"), "name: a-", "generateName: a-") + "---\n" + strings.ReplaceAll(pod("a-"), "{name: a-, namespace: shop}", "{generateName: a-, namespace: shop, labels: {b: c}}") +
				"---\n" + strings.ReplaceAll(pod("a-"), "name: a-", "generateName: a-"),
			objects: []string{"pod shop/a-", "pod shop/a-1"},
			skipped: []string{"in:11 pod shop/a- stands in the input twice"},
		},
		"only comments": {
			in:      "# nothing\n---\n" + pod("a") + "---\n# end\n",
			objects: []string{"pod shop/a"},
		},
		"a separator with a comment and one with content": {
			in:      "--- # first\n" + pod("a") + "--- {apiVersion: v1, kind: Namespace, metadata: {name: shop}}\n",
			objects: []string{"namespace shop", "pod shop/a"},
		},
		"Windows line ends": {
			in:      strings.ReplaceAll(pod("a")+"---\n"+pod("b"), "\n", "\r\n"),
			objects: []string{"pod shop/a", "pod shop/b"},
		},
		"a template": {
			in:       "{{- if .Values.on }}\n" + pod("a") + "{{- end }}\n",
			problems: []string{"in:1: it is a template: give the folder of its chart, with Chart.yaml"},
		},
		"a template with values to fill in": {
			in:       pod("a") + "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: {{ .Name }}\n",
			objects:  []string{"pod shop/a"},
			problems: []string{"in:9: it is a template, which is no YAML before it is filled in"},
		},
		"JSON objects one after the other": {
			in: `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}` + "\n" + `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"b"}}` + "\n\n" +
				`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"c"},"spec":{"hostPID":1}}`,
			objects:  []string{"pod default/a", "pod default/b"},
			problems: []string{"in:4: pod c: json: cannot unmarshal number into Go struct field PodSpec.spec.hostPID of type bool"},
		},
		"UTF-16 as PowerShell writes it": {
			in:      "\xff\xfe" + strings.Join(strings.Split(pod("a")+"---\n"+pod("b"), ""), "\x00") + "\x00",
			objects: []string{"pod shop/a", "pod shop/b"},
		},
		"UTF-16 that ends in the middle":   {in: "\xfe\xff\x00", problems: []string{"in: there is no Kubernetes object in it"}},
		"no object at all":                 {in: "replicas: 3\n", problems: []string{"in:1: it has no apiVersion and kind, so it is no Kubernetes object"}},
		"nothing":                          {in: "", problems: []string{"in: there is no Kubernetes object in it"}},
		"a binary":                         {in: "\x7fELF\x00\x00", problems: []string{"in: the file is binary, want YAML or JSON"}},
		"a number as a key":                {in: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  404: none\n", objects: []string{"configmap default/a"}},
		"a number and its string as keys":  {in: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  0x10: none\n  \"16\": some\n", problems: []string{`in:6: mapping key "16" already defined at line 5`}},
		"null as a key":                    {in: "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata:\n  ~: hunter2\n", problems: []string{"in:5: a key is not a string"}},
		"a list as a key":                  {in: "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata:\n  [hunter2]: b\n", problems: []string{"in:5: a key is not a string"}},
		"a merge that is written over":     {in: "x: &x {name: b}\napiVersion: v1\nkind: Pod\nmetadata:\n  <<: *x\n  name: a\n", objects: []string{"pod default/a"}},
		"a name that is a boolean":         {in: "apiVersion: v1\nkind: Pod\nmetadata: {name: y}\n", problems: []string{"in:1: pod : json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.name of type string"}},
		"a bomb of aliases":                {in: bomb(), problems: []string{"in:1: document contains excessive aliasing"}},
		"a namespace by kubectl's default": {in: "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n", objects: []string{"pod default/a"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := cluster.NewBuilder("test", false)
			r := NewReader(b, "")
			r.Read("in", strings.NewReader(tt.in))
			var objects, problems, skipped []string
			for _, o := range b.Snapshot().Objects() {
				objects = append(objects, o.Ref.String())
			}
			for _, p := range r.Outcome().Problems {
				problems = append(problems, p.Error())
			}
			for _, s := range r.Outcome().Skipped {
				skipped = append(skipped, place(s.File, s.Line)+" "+s.Why)
			}
			if diff := cmp.Diff(tt.objects, objects); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.problems, problems); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.skipped, skipped); diff != "" {
				t.Errorf("skipped (-want +got):\n%s", diff)
			}
		})
	}
}

// bomb is a billion laughs in YAML.
func bomb() string {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nkind: Pod\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 10; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", "))
	}
	return b.String()
}

// TestSecretValuesAreDropped looks for the value in everything that stays in memory.
func TestSecretValuesAreDropped(t *testing.T) {
	const value = "correct-horse-battery"
	b := cluster.NewBuilder("test", false)
	NewReader(b, "").Read("in", strings.NewReader(`
apiVersion: v1
kind: Secret
metadata:
  name: db
  annotations: {kubectl.kubernetes.io/last-applied-configuration: '{"stringData":{"password":"`+value+`"}}'}
stringData: {password: `+value+`}
data: {user: YWRtaW4=}
`))
	s := b.Snapshot()
	o := s.Get(cluster.Ref{Kind: "Secret", Namespace: "default", Name: "db"})
	if diff := cmp.Diff(&cluster.SecretFacts{Type: "", Keys: []string{"password", "user"}, KeysKnown: true}, o.Value); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
	dump, err := json.Marshal([]any{o.Meta, o.Value, o.Source})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(dump), value) {
		t.Errorf("the value is still in the snapshot: %s", dump)
	}
}

func TestReadPath(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.yaml": pod("a"), "sub/b.yml": pod("b"), "sub/c.json": `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop"}}`,
		"values.yaml": "replicas: 3\n", "notes.txt": "hello", ".git/d.yaml": pod("d"),
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	big := filepath.Join(dir, "big.yaml")
	if err := os.WriteFile(big, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(big, 100<<20); err != nil {
		t.Fatal(err)
	}
	b := cluster.NewBuilder("test", false)
	r := NewReader(b, "")
	if err := r.ReadPath(context.Background(), dir); err != nil {
		t.Fatal(err)
	}
	out := r.Outcome()
	if out.Documents != 3 {
		t.Errorf("documents: %d, want 3", out.Documents)
	}
	if len(out.Problems) != 1 || out.Problems[0].Err.Error() != "the file has 100 MB, want at most 64: split it" {
		t.Errorf("problems: %v, want the big file's", out.Problems)
	}
	if len(out.Skipped) != 1 || filepath.Base(out.Skipped[0].File) != "values.yaml" {
		t.Errorf("skipped: %v, want values.yaml", out.Skipped)
	}
	if err := r.ReadPath(context.Background(), filepath.Join(dir, "absent")); err == nil {
		t.Error("a path that does not exist is no error")
	}
}

// Links are read as kubectl does, but not what is elsewhere.
func TestReadPathLinks(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "in")
	for name, text := range map[string]string{"in/a.yaml": pod("a"), "in/..data/b.yaml": pod("b"), "out/c.yaml": pod("c")} {
		path := filepath.Join(top, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{
		"in/again.yaml": "a.yaml", "in/b.yaml": "..data/b.yaml", "in/notes": "a.yaml",
		"in/c.yaml": "../out/c.yaml", "in/gone.yaml": "gone", "in/loop.yaml": "loop.yaml", "in/folder.yaml": "..data", "link": "in",
	} {
		if err := os.Symlink(target, filepath.Join(top, name)); err != nil {
			t.Skipf("links cannot be made here: %v", err)
		}
	}
	for _, root := range []string{dir, dir + string(filepath.Separator), filepath.Join(top, "link")} {
		b := cluster.NewBuilder("test", false)
		r := NewReader(b, "")
		if err := r.ReadPath(context.Background(), root); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, o := range b.Snapshot().Objects() {
			got = append(got, o.Ref.String()+" of "+filepath.Base(o.Source.Origin))
		}
		for _, p := range r.Outcome().Problems {
			got = append(got, filepath.Base(p.File)+": "+p.Err.Error())
		}
		for _, s := range r.Outcome().Skipped {
			got = append(got, filepath.Base(s.File)+" skipped: "+s.Why)
		}
		want := []string{
			"pod shop/a of a.yaml", "pod shop/b of b.yaml",
			"c.yaml: it is a link that leads out of the folder: give the file itself",
			"gone.yaml: no such file or directory",
			"loop.yaml: it is a link: EvalSymlinks: too many links",
			"folder.yaml skipped: it is a link to a folder, which is not followed",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", root, diff)
		}
	}
}

// FuzzRead states what holds for any bytes: it ends, a document is an object or a
// problem or skipped, every place is inside the input, and no value of a Secret stays.
func FuzzRead(f *testing.F) {
	f.Add([]byte(pod("a") + "---\n" + pod("b")))
	f.Add([]byte("--- {a: b}\n---\n[1]\n"))
	f.Add([]byte(`{"apiVersion":"v1","kind":"List","items":[{"kind":"Pod"}]}`))
	f.Add([]byte("apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {k: hunter2hunter2}\n"))
	f.Add([]byte(bomb()))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		b := cluster.NewBuilder("fuzz", false)
		r := NewReader(b, "")
		started := time.Now()
		r.Read("in", strings.NewReader(string(data)))
		if took := time.Since(started); took > 5*time.Second {
			t.Errorf("%d bytes took %s", len(data), took)
		}
		out := r.Outcome()
		lines := strings.Count(string(data), "\n") + 1
		for _, p := range out.Problems {
			if p.Line < 0 || p.Line > lines {
				t.Errorf("problem on line %d of %d", p.Line, lines)
			}
			if strings.Contains(p.Error(), "\n") {
				t.Errorf("more than one line: %q", p.Error())
			}
		}
		s := b.Snapshot()
		if n := len(s.Objects()) + len(s.Machines()) + len(s.Kubelets()) + len(s.Images()); n != out.Documents {
			t.Errorf("%d objects, %d documents", n, out.Documents)
		}
		for _, o := range s.Objects() {
			if o.Source.Line < 1 || o.Source.Line > lines {
				t.Errorf("%s on line %d of %d", o.Ref, o.Source.Line, lines)
			}
			switch o.Value.(type) {
			case *corev1.Secret, *corev1.ConfigMap:
				t.Errorf("%s kept its values", o.Ref)
			}
		}
	})
}

// Whatever a scalar is for kubectl, it is for us: "privileged: yes" is privileged.
func TestScalarsAreKubectls(t *testing.T) {
	for scalar := range strings.FieldsSeq("y n Y on Off yes No true True 0644 0o644 1_000 0x10 0b11 1e3 1:30 2024-01-01 2024-01-01T10:00:00Z = +1 .5 0.5 null ~ 1e400 -0 00 08 'yes' \"on\"") {
		for _, doc := range []string{"v: " + scalar + "\n", "v: [" + scalar + "]\n", scalar + ": 1\n"} {
			want, refused := kubectlyaml.YAMLToJSON([]byte(doc))
			got, _, err := toJSON([]byte(doc), 1)
			if string(got) != string(want) || (err != nil) != (refused != nil) {
				t.Errorf("%q is %s (%v), want %s (%v)", doc, got, err, want, refused)
			}
			var p plain
			root := p.parse([]byte(doc))
			if root == nil || root.Content[1].Kind != yaml.ScalarNode {
				continue
			}
			var v any
			if err := root.Decode(&v); err != nil {
				t.Fatal(err)
			}
			if fast, err := json.Marshal(v); err != nil || string(fast) != string(want) {
				t.Errorf("%q is %s (%v) where it is plain, want %s", doc, fast, err, want)
			}
		}
	}
}

// TestManyKeys: the time to read a mapping grows with its keys, not with their square,
// which would be minutes here.
func TestManyKeys(t *testing.T) {
	for name, tt := range map[string]struct{ head, key string }{
		"plain":  {"apiVersion: v1\nkind: ConfigMap\nmetadata: {}\ndata:\n", "  k%d: v\n"},
		"beyond": {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n", "  é%d: v\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var text strings.Builder
			text.WriteString(tt.head)
			for i := range 1 << 17 {
				fmt.Fprintf(&text, tt.key, i)
			}
			began := time.Now()
			b := cluster.NewBuilder("test", false)
			r := NewReader(b, "")
			r.Read("in", strings.NewReader(text.String()))
			if out := r.Outcome(); out.Documents != 1 {
				t.Errorf("read %d documents (%v), want 1", out.Documents, out.Problems)
			}
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// A field of a file in UTF-16 is found on its line.
func TestLocateInUTF16(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pod.yaml")
	text := "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  hostPID: yes\n  containers: []\n"
	if err := os.WriteFile(file, []byte("\xff\xfe"+strings.Join(strings.Split(text, ""), "\x00")+"\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := cluster.NewBuilder("test", false)
	r := NewReader(b, "")
	if err := r.ReadPath(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	o := b.Snapshot().Objects()
	if len(o) != 1 || !o[0].Value.(*corev1.Pod).Spec.HostPID {
		t.Fatalf("objects %v, problems %v", o, r.Outcome().Problems)
	}
	if line, column, ok := r.Locate(o[0].Source, "spec.hostPID"); line != 5 || column != 3 || !ok {
		t.Errorf("spec.hostPID is at %d:%d (%v), want 5:3", line, column, ok)
	}
}

// Controls look at structs of the versions of today; what is written in older ones is
// kept in these, and remembers what it was, written plainly or not.
func TestOlderVersionsAreRead(t *testing.T) {
	for apiVersion, in := range map[string]string{
		"extensions/v1beta1":                   "kind: Deployment\nmetadata:\n  name: a\nspec:\n  replicas: 3\n",
		"apps/v1beta2":                         "kind: Deployment\nmetadata: {name: a}\nspec: {replicas: 3}\n",
		"autoscaling/v2beta1":                  "kind: HorizontalPodAutoscaler\nmetadata:\n  name: a\nspec:\n  maxReplicas: 3\n  metrics:\n  - resource:\n      name: cpu\n      targetAverageUtilization: 9\n    type: Resource\n",
		"autoscaling/v1":                       "kind: HorizontalPodAutoscaler\nmetadata:\n  name: a\nspec:\n  maxReplicas: 3\n",
		"rbac.authorization.k8s.io/v1beta1":    "kind: ClusterRole\nmetadata:\n  name: a\n",
		"networking.k8s.io/v1beta1":            "kind: Ingress\nmetadata:\n  name: a\nspec:\n  rules:\n  - http:\n      paths:\n      - backend:\n          serviceName: b\n          servicePort: web\n",
		"admissionregistration.k8s.io/v1beta1": "kind: MutatingAdmissionPolicy\nmetadata:\n  name: a\n",
	} {
		b := cluster.NewBuilder("test", false)
		r := NewReader(b, "")
		r.Read("in", strings.NewReader("apiVersion: "+apiVersion+"\n"+in))
		for _, o := range b.Snapshot().Objects() {
			want, err := kinds.New(schema.FromAPIVersionAndKind(cluster.ReadAs(apiVersion, o.Kind), o.Kind))
			if err != nil || o.APIVersion != apiVersion || reflect.TypeOf(o.Value) != reflect.TypeOf(want) {
				t.Errorf("%s of %s is kept as %T", o.Ref, o.APIVersion, o.Value)
			}
			if d, ok := o.Value.(*appsv1.Deployment); ok && *d.Spec.Replicas != 3 {
				t.Errorf("%s has %d replicas, want 3", o.Ref, *d.Spec.Replicas)
			}
		}
		if len(b.Snapshot().Objects()) != 1 {
			t.Errorf("%s: %v", apiVersion, r.Outcome())
		}
	}
}

// TestEmptyBesideSkipped: that another file was skipped does not hide that one is empty.
func TestEmptyBesideSkipped(t *testing.T) {
	r := NewReader(cluster.NewBuilder("test", false), "")
	r.Read("widget.yaml", strings.NewReader("apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: a}\n"))
	r.Read("empty.yaml", strings.NewReader("# nothing\n"))
	if p := r.Outcome().Problems; len(p) != 1 || p[0].File != "empty.yaml" {
		t.Errorf("problems: %v, want one in empty.yaml", p)
	}
}
