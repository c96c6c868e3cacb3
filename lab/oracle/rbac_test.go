package oracle

import (
	"os"
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
	dir := filepath.Join(strings.TrimSpace(string(out)), "plugin/pkg/auth/authorizer/rbac/bootstrappolicy/testdata")
	if _, err := os.Stat(dir); err != nil {
		t.Fatal(err)
	}
	b := cluster.NewBuilder("bootstrap", false)
	r := manifest.NewReader(b, "")
	if err := r.ReadPath(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if p := r.Outcome().Problems; len(p) > 0 {
		t.Fatal(p)
	}
	objects := b.Snapshot().Objects()
	if len(objects) < 130 {
		t.Fatalf("%d objects in %s, want at least 130", len(objects), dir)
	}
	for _, o := range objects {
		if !authz.Default(o) {
			t.Errorf("%s is the API server's own, and not known as such", o.Ref)
		}
	}
}
