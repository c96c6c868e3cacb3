package control

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

const podJSON = `{
  "apiVersion": "v1", "kind": "Pod",
  "metadata": {"name": "a", "labels": {"app": "a"}},
  "spec": {
    "hostPID": true,
    "volumes": [{"name": "root", "hostPath": {"path": "/"}}, {"name": "tmp", "emptyDir": {}}],
    "containers": [
      {"name": "web", "image": "web:1", "securityContext": {"privileged": true, "capabilities": {"add": ["SYS_ADMIN", "NET_RAW"]}}},
      {"name": "log", "image": "log:1"}
    ]
  }
}`

func TestApply(t *testing.T) {
	tests := map[string]struct {
		change  Change
		path    []string // where to look afterwards
		want    any      // nil: nothing there
		wantErr string
	}{
		"set a field":                    {Change{Set, "spec.hostPID", false}, []string{"spec", "hostPID"}, false, ""},
		"remove a field":                 {Change{Remove, "spec.hostPID", nil}, []string{"spec", "hostPID"}, nil, ""},
		"set below what does not exist":  {Change{Set, "spec.securityContext.seccompProfile.type", "RuntimeDefault"}, []string{"spec", "securityContext", "seccompProfile", "type"}, "RuntimeDefault", ""},
		"set a label":                    {Change{Set, "metadata.labels[example.com/x]", "y"}, []string{"metadata", "labels", "example.com/x"}, "y", ""},
		"set a first annotation":         {Change{Set, "metadata.annotations[example.com/x]", "y"}, []string{"metadata", "annotations", "example.com/x"}, "y", ""},
		"set in a container":             {Change{Set, "spec.containers[log].securityContext.privileged", false}, []string{"spec", "containers", "1", "securityContext", "privileged"}, false, ""},
		"set by index":                   {Change{Set, "spec.containers[0].image", "web:2"}, []string{"spec", "containers", "0", "image"}, "web:2", ""},
		"remove an item":                 {Change{Remove, "spec.volumes[root]", nil}, []string{"spec", "volumes", "0", "name"}, "tmp", ""},
		"remove a string from a list":    {Change{Remove, "spec.containers[web].securityContext.capabilities.add[SYS_ADMIN]", nil}, []string{"spec", "containers", "0", "securityContext", "capabilities", "add", "0"}, "NET_RAW", ""},
		"remove what is not there":       {Change{Remove, "spec.dnsConfig.options", nil}, []string{"spec", "dnsConfig"}, nil, ""},
		"set in a container that is not": {Change{Set, "spec.containers[db].image", "x"}, nil, nil, "path spec.containers[db].image: no item db"},
		"set in a list that is not":      {Change{Set, "spec.initContainers[db].image", "x"}, nil, nil, "path spec.initContainers[db].image: no list initContainers"},
		"a bracket left open":            {Change{Set, "spec.containers[web", "x"}, nil, nil, "path spec.containers[web: bracket is not closed"},
		"an empty path":                  {Change{Set, "", "x"}, nil, nil, "path is empty"},
		"an empty field":                 {Change{Set, "spec..x", "x"}, nil, nil, "path spec..x: empty field"},
		"through a plain value":          {Change{Set, "spec.hostPID.x", "x"}, nil, nil, "path spec.hostPID.x: x: not an object or list"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var once map[string]any
			if err := json.Unmarshal([]byte(podJSON), &once); err != nil {
				t.Fatal(err)
			}
			err := Apply(once, []Change{tt.change})
			if tt.wantErr != "" {
				if err == nil || err.Error() != tt.wantErr {
					t.Fatalf("error is %v, want %s", err, tt.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, at(once, tt.path)); diff != "" {
				t.Errorf("%v (-want +got):\n%s", tt.path, diff)
			}
			first, _ := json.Marshal(once)
			if err := Apply(once, []Change{tt.change}); err != nil {
				t.Fatal(err)
			}
			if second, _ := json.Marshal(once); string(first) != string(second) {
				t.Errorf("twice differs from once:\n%s\n%s", first, second)
			}
		})
	}
}

func at(v any, path []string) any {
	for _, p := range path {
		switch n := v.(type) {
		case map[string]any:
			v = n[p]
		case []any:
			if i := int(p[0] - '0'); i < len(n) {
				v = n[i]
			} else {
				return nil
			}
		default:
			return nil
		}
	}
	return v
}

// TestMergePatchIsWhatApplyDoes holds the printed command to the real semantics: the
// API server's own strategic merge gives the object that Apply gives.
func TestMergePatchIsWhatApplyDoes(t *testing.T) {
	for name, changes := range map[string][]Change{
		"a field":                  {{Set, "spec.hostPID", false}},
		"a field away":             {{Remove, "spec.hostPID", nil}},
		"two containers":           {{Set, "spec.containers[web].securityContext.privileged", false}, {Set, "spec.containers[log].securityContext.readOnlyRootFilesystem", true}},
		"a label and a volume":     {{Set, "metadata.labels[example.com/x]", "y"}, {Remove, "spec.volumes[root]", nil}},
		"a container's first list": {{Set, "spec.containers[log].securityContext.capabilities.drop", []any{"ALL"}}},
	} {
		t.Run(name, func(t *testing.T) {
			patch, ok := MergePatch(changes)
			if !ok {
				t.Fatal("no merge patch")
			}
			got, err := strategicpatch.StrategicMergePatch([]byte(podJSON), []byte(patch), corev1.Pod{})
			if err != nil {
				t.Fatalf("%s: %v", patch, err)
			}
			var want map[string]any
			if err := json.Unmarshal([]byte(podJSON), &want); err != nil {
				t.Fatal(err)
			}
			if err := Apply(want, changes); err != nil {
				t.Fatal(err)
			}
			wantJSON, _ := json.Marshal(want)
			if !jsonpatch.Equal(got, wantJSON) {
				t.Errorf("patch %s\n got %s\nwant %s", patch, got, wantJSON)
			}
		})
	}
	if patch, ok := MergePatch([]Change{{Remove, "spec.containers[web].securityContext.capabilities.add[SYS_ADMIN]", nil}}); ok {
		t.Errorf("one string out of a list has no merge patch, got %s", patch)
	}
}

// FuzzApply states that any path either fails or has the same effect twice as once,
// and never panics.
func FuzzApply(f *testing.F) {
	for _, p := range []string{"spec.hostPID", "spec.containers[web].image", "metadata.labels[a/b]", "a[0].b", "[x]", "spec.volumes[root]"} {
		f.Add(p, true)
		f.Add(p, false)
	}
	f.Fuzz(func(t *testing.T, path string, remove bool) {
		c := Change{Op: Set, Path: path, Value: "x"}
		if remove {
			c = Change{Op: Remove, Path: path}
		}
		var object map[string]any
		if err := json.Unmarshal([]byte(podJSON), &object); err != nil {
			t.Fatal(err)
		}
		if err := Apply(object, []Change{c}); err != nil {
			return
		}
		first, _ := json.Marshal(object)
		err := Apply(object, []Change{c})
		second, _ := json.Marshal(object)
		// Removing by index takes the next item, which no control proposes.
		if c.Op == Set && (err != nil || string(first) != string(second)) {
			t.Errorf("path %q: twice differs from once: %v", path, err)
		}
		MergePatch([]Change{c})
	})
}
