//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const nodesImage = "lab.bulwark.test/bulwark:1"

// loadImage gives every node of a cluster the image with bulwark.
func (c *cluster) loadImage(t *testing.T) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(bin, "bulwark-1.tar"))
	if err != nil {
		t.Fatalf("make image: %v", err)
	}
	for n := range c.nodes {
		node := fmt.Sprintf("node-%d", n+1)
		const file = "/var/lib/bulwark-1.tar"
		if err := os.WriteFile(filepath.Join(stateDir, c.name, "machines", node, file), data, 0o600); err != nil {
			t.Fatal(err)
		}
		if r := c.enter(t, node, "ctr", "--namespace", "k8s.io", "images", "import", file); r.code != 0 {
			t.Fatalf("%s: %s", node, r.all())
		}
	}
}

// scratch lists what asking nodes has left in the cluster.
func (c *cluster) scratch(t *testing.T) string {
	t.Helper()
	return c.must(t, "get", "namespaces", "-l", "bulwark.dev/purpose=node-facts", "-o", `jsonpath={.items[*].metadata.name}`)
}

// TestNodesAreAsked: a scan with --nodes knows of every node what a scan on the
// machine itself knows, tainted or not, and leaves nothing behind.
func TestNodesAreAsked(t *testing.T) {
	c := hardened.get(t)
	c.loadImage(t)
	c.must(t, "taint", "node", "node-2", "e2e=away:NoExecute")
	t.Cleanup(func() { c.kubectl(t, "taint", "node", "node-2", "e2e-") })
	args := []string{"--nodes", "--nodes-image", nodesImage, "--yes"}
	r, res := c.scanReport(t, args...)
	if strings.Contains(res.stderr, "did not answer") {
		t.Fatal(res.stderr)
	}
	for id, want := range map[string]string{
		"file.privatekey": "holds", "file.kubeconfig": "holds", "listener.oldtls": "holds",
	} {
		if got := r.outcome(id); got != want {
			t.Errorf("%s is %q, want %s\n%s", id, got, want, r.with("unknown"))
		}
	}
	// The same subjects as from the machine that they run on, less the control
	// plane, which is no node here.
	counts := func(r report, id string) int {
		for _, control := range r.Controls {
			if control.ID == id {
				return control.Counts["held"]
			}
		}
		return 0
	}
	local, _ := c.scanReport(t, "--host")
	if asked, seen := counts(r, "listener.oldtls"), counts(local, "listener.oldtls"); asked == 0 || asked >= seen {
		t.Errorf("%d ports by asking nodes, %d by looking at all machines", asked, seen)
	}
	eventually(t, time.Minute, func() string { return c.scratch(t) })

	t.Run("no image", func(t *testing.T) {
		r, res := c.scanReport(t, "--nodes", "--nodes-image", "lab.bulwark.test/none:1", "--yes", "--nodes-timeout", "20s")
		for _, node := range []string{"node-1", "node-2"} {
			if !strings.Contains(res.stderr, "node "+node+" did not answer") {
				t.Errorf("%s is not named:\n%s", node, res.stderr)
			}
		}
		if got := r.outcome("file.privatekey"); got != "unknown" {
			t.Errorf("file.privatekey is %q, want unknown", got)
		}
		if res.code != 4 {
			t.Errorf("exit code %d, want 4\n%s", res.code, r.with("broken"))
		}
		eventually(t, time.Minute, func() string { return c.scratch(t) })
	})
	t.Run("nobody to ask", func(t *testing.T) {
		if r := c.scan(t, "--nodes", "--nodes-image", nodesImage); r.code != 2 || !strings.Contains(r.stderr, "nobody to ask") {
			t.Errorf("exit code %d\n%s", r.code, r.all())
		}
	})
	t.Run("interrupted", func(t *testing.T) {
		cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "bulwark"), "scan", "--kubeconfig", c.kubeconfig, "--nodes", "--nodes-image", "lab.bulwark.test/none:1", "--yes")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, 20*time.Second, func() string {
			if c.scratch(t) == "" {
				return "no namespace yet"
			}
			return ""
		})
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != 1 {
			t.Errorf("interrupted: %v", err)
		}
		eventually(t, time.Minute, func() string { return c.scratch(t) })
	})
	t.Run("may not", func(t *testing.T) {
		c.namespace(t, "e2e-nodes")
		c.must(t, "-n", "e2e-nodes", "create", "serviceaccount", "reader")
		c.must(t, "create", "clusterrole", "e2e-nodes", "--verb=get,list", "--resource=nodes,namespaces")
		c.must(t, "create", "clusterrolebinding", "e2e-nodes", "--clusterrole=e2e-nodes", "--serviceaccount=e2e-nodes:reader")
		t.Cleanup(func() {
			c.kubectl(t, "delete", "clusterrole,clusterrolebinding", "e2e-nodes")
		})
		r := c.scan(t, "--nodes", "--nodes-image", nodesImage, "--yes", "--as", "system:serviceaccount:e2e-nodes:reader")
		if r.code != 1 || !strings.Contains(r.stderr, "creating a namespace") {
			t.Errorf("exit code %d\n%s", r.code, r.all())
		}
	})
}
