package oracle

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulwark-k8s/bulwark/internal/authz"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/manifest"
)

// TestBootstrapPolicy: every role and binding that the API server makes at its start,
// from the files that Kubernetes' own tests hold the code against, is known as such.
func TestBootstrapPolicy(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes").Output()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "plugin/pkg/auth/authorizer/rbac/bootstrappolicy/testdata/*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, file := range files { // some roles stand in two, with and without a gate
		b := cluster.NewBuilder("bootstrap", false)
		r := manifest.NewReader(b, "")
		if err := r.ReadPath(t.Context(), file); err != nil {
			t.Fatal(err)
		}
		if p := r.Outcome().Problems; len(p) > 0 {
			t.Fatal(p)
		}
		for _, o := range b.Snapshot().Objects() {
			n++
			if !authz.Default(o) {
				t.Errorf("%s is the API server's own, and not known as such", o.Ref)
			}
		}
	}
	if n < 130 {
		t.Errorf("%d objects in %v, want at least 130", n, files)
	}
}
