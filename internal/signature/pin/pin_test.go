package pin_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bulwark-k8s/bulwark/internal/signature/pin"
)

const digest = "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func pinned(image string) string {
	if strings.Contains(image, "@") {
		return ""
	}
	return image + digest
}

func TestRewrite(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"comments, quotes and order stay": {
			"# the shop\nkind: Deployment\nspec:\n  template:\n    spec:\n      containers:   # two\n      - {name: a, \"image\": 'web:1'} # the front\n      -   image:   \"cart:2\"   # tag\n          name: b\n",
			"# the shop\nkind: Deployment\nspec:\n  template:\n    spec:\n      containers:   # two\n      - {name: a, \"image\": 'web:1" + digest + "'} # the front\n      -   image:   \"cart:2" + digest + "\"   # tag\n          name: b\n",
		},
		"every list of containers, in every document": {
			"initContainers: [{image: a}]\n---\nephemeralContainers: [{image: b}]\n---\nspec:\n  containers:\n  - image: c\n",
			"initContainers: [{image: a" + digest + "}]\n---\nephemeralContainers: [{image: b" + digest + "}]\n---\nspec:\n  containers:\n  - image: c" + digest + "\n",
		},
		"an image volume": {"volumes:\n- name: x\n  image:\n    reference: models:1\n", "volumes:\n- name: x\n  image:\n    reference: models:1" + digest + "\n"},
		"a list, JSON, and letters of several bytes before it": {
			`{"items":[{"metadata":{"name":"ü€😀"},"spec":{"containers":[{"name":"é","image":"web:1"},{"image":"cart:1"}]}}]}`,
			`{"items":[{"metadata":{"name":"ü€😀"},"spec":{"containers":[{"name":"é","image":"web:1` + digest + `"},{"image":"cart:1` + digest + `"}]}}]}`,
		},
		"line ends of Windows":           {"containers:\r\n- image: web:1\r\n", "containers:\r\n- image: web:1" + digest + "\r\n"},
		"what is pinned":                 {"containers:\n- image: web" + digest + "\n", "containers:\n- image: web" + digest + "\n"},
		"images that are no container's": {"spec:\n  image: web:1\ndata:\n  containers: |\n    - image: web:1\nvolumes:\n- image: x\nimage: {reference: y}\n", ""},
		"a container without an image":   {"containers:\n- name: a\n- image:\n- image: ''\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, _, err := pin.Rewrite([]byte(c.in), pinned)
			if err != nil {
				t.Fatal(err)
			}
			want := c.want
			if want == "" {
				want = c.in
			}
			if diff := cmp.Diff(want, string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhatIsNotRewritten(t *testing.T) {
	for name, in := range map[string]string{
		"a template":           "containers:\n- image: {{ .Values.image }}\n",
		"an alias":             "x: &web web:1\ncontainers:\n- image: *web\n",
		"an aliased container": "x: &web {image: web:1}\ncontainers:\n- *web\n",
		"a merged container":   "x: &web {image: web:1}\ncontainers:\n- <<: *web\n",
		"over two lines":       "containers:\n- image: web\n    :1\n",
		"a block":              "containers:\n- image: >-\n    web:1\n",
		"an escape":            "containers:\n- image: \"we\\x62:1\"\n",
		"an anchor":            "containers:\n- image: &web web:1\n",
		"no YAML":              "a: b: c\n",
		"another line break":   "a: x\u2028containers:\n- image: web:1\n",
	} {
		if got, _, err := pin.Rewrite([]byte(in), pinned); err == nil {
			t.Errorf("%s: %q", name, got)
		}
	}
	if _, _, err := pin.Rewrite([]byte("containers:\n- image: web:1\n"), func(string) string { return "web: {}" }); err == nil {
		t.Error("a name that is none was taken")
	}
}

func TestDiff(t *testing.T) {
	_, changes, err := pin.Rewrite([]byte("a: 1\ncontainers:\n- image: web:1 # x\n"), pinned)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := pin.Diff(&b, "deploy.yaml", changes); err != nil {
		t.Fatal(err)
	}
	want := "--- deploy.yaml\n+++ deploy.yaml\n@@ -3 +3 @@\n-- image: web:1 # x\n+- image: web:1" + digest + " # x\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

// FuzzRewrite: pinning twice is pinning once, and undoing it gives the file back, byte for
// byte.
func FuzzRewrite(f *testing.F) {
	f.Add([]byte("kind: Pod\nspec:\n  containers:\n  - image: web:1 # x\n  - {image: 'cart:2'}\n"))
	f.Add([]byte(`{"spec":{"containers":[{"name":"é","image":"web:1"}]}}`))
	f.Add([]byte("volumes:\n- image: {reference: \"a\"}\n---\ninitContainers:\n- image: b\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		once, changes, err := pin.Rewrite(in, func(image string) string {
			if strings.Contains(image, "@") || strings.Trim(image, "abcdefghijklmnopqrstuvwxyz0123456789./:_-") != "" {
				return ""
			}
			return pinned(image)
		})
		if err != nil {
			return
		}
		twice, more, err := pin.Rewrite(once, func(image string) string {
			if strings.Trim(image, "abcdefghijklmnopqrstuvwxyz0123456789./:_-") != "" {
				return ""
			}
			return pinned(image)
		})
		if err != nil || len(more) > 0 || string(twice) != string(once) {
			t.Fatalf("the second time: %d changes, %v", len(more), err)
		}
		back, undone, err := pin.Rewrite(once, func(image string) string {
			was, ok := strings.CutSuffix(image, digest)
			for _, c := range changes {
				if ok && c.Image == was {
					return was
				}
			}
			return ""
		})
		if err != nil || len(undone) < len(changes) {
			t.Fatalf("undoing: %d of %d, %v", len(undone), len(changes), err)
		}
		if len(undone) == len(changes) && string(back) != string(in) {
			t.Fatalf("undone: %q, was %q", back, in)
		}
	})
}
