package apiconfig

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

const abacFile = `# rights of old
{"apiVersion": "abac.authorization.kubernetes.io/v1beta1", "kind": "Policy", "spec": {"user": "*", "nonResourcePath": "*", "readonly": true}}

{"apiVersion": "abac.authorization.kubernetes.io/v1beta1", "kind": "Policy", "spec": {"user": "kubelet", "namespace": "*", "resource": "pods", "apiGroup": "*"}}
{"user": "alice", "resource": "pods"}
{"readonly": true}
`

// TestABACDefaults: each version's own defaults, and the numbers of the lines.
func TestABACDefaults(t *testing.T) {
	if !IsABAC([]byte(abacFile)) || IsABAC([]byte(`{"kind":"Policy","apiVersion":"audit.k8s.io/v1"}`)) {
		t.Error("the file is taken for something else")
	}
	c, err := ParseABAC([]byte(abacFile))
	if err != nil {
		t.Fatal(err)
	}
	want := []cluster.ABACPolicy{
		{Line: 2, Group: "system:authenticated", NonResourcePath: "*", Readonly: true},
		{Line: 4, User: "kubelet", Namespace: "*", Resource: "pods", APIGroup: "*"},
		{Line: 5, User: "alice", Namespace: "*", Resource: "pods", APIGroup: "*"},
		{Line: 6, Group: "system:authenticated", Namespace: "*", Resource: "*", APIGroup: "*", NonResourcePath: "*", Readonly: true},
	}
	if diff := cmp.Diff(want, c.ABAC.Policies); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"x", `{"apiVersion":"v1","kind":"Policy"}`, `{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy","spec":[]}`} {
		if _, err := ParseABAC([]byte(bad)); err == nil {
			t.Errorf("%s: want an error", bad)
		}
	}
}

// FuzzParseABAC states that every policy has a line of its own and no star for a subject,
// and that a file that is recognised is read or refused, never passed over.
func FuzzParseABAC(f *testing.F) {
	f.Add([]byte(abacFile))
	f.Add([]byte(`{"group":"*","user":"a"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseABAC(data)
		if err != nil {
			return
		}
		if IsABAC(data) && len(c.ABAC.Policies) == 0 {
			t.Error("a policy was passed over")
		}
		last := 0
		for _, p := range c.ABAC.Policies {
			if p.Line <= last || p.User == "*" || p.Group == "*" {
				t.Errorf("after line %d: %+v", last, p)
			}
			last = p.Line
		}
	})
}
