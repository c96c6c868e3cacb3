//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestUp: up says what it did and how long it took, what it listens on, and where the
// kubeconfig is; a second up leaves the first alone; status finds everything healthy.
func TestUp(t *testing.T) {
	before := listening()
	c := hardened.get(t)
	for _, want := range []string{"etcd", "kube-apiserver", "is ready after", "it listens only on 127.0.0.1:", "export KUBECONFIG=" + c.kubeconfig} {
		if !strings.Contains(c.up.all(), want) {
			t.Errorf("up does not say %q:\n%s", want, c.up.all())
		}
	}
	again := bulwark(t, "up", "--name", c.name, "--state-dir", stateDir)
	if again.code != 1 || !strings.Contains(again.stderr, "already running (profile hardened, 2 nodes)") {
		t.Errorf("second up: exit code %d\n%s", again.code, again.all())
	}

	for _, address := range listening() {
		if slices.Contains(before, address) {
			continue
		}
		host, _, _ := strings.Cut(address, ":")
		if host != "0100007F" && host != "00000000000000000000000001000000" {
			t.Errorf("the host listens on %s: a lab cluster may only listen on loopback", address)
		}
	}

	var status struct {
		Phase      string
		Components []struct {
			Machine, Name string
			Healthy       bool
		}
	}
	r := bulwark(t, "status", "--name", c.name, "--state-dir", stateDir, "-o", "json")
	if err := json.Unmarshal([]byte(r.stdout), &status); err != nil || r.code != 0 {
		t.Fatalf("status: exit code %d, %v\n%s", r.code, err, r.all())
	}
	if status.Phase != "ready" || len(status.Components) < 4+2*4 {
		t.Errorf("status: %+v", status)
	}
	for _, comp := range status.Components {
		if !comp.Healthy {
			t.Errorf("%s on %s is not healthy", comp.Name, comp.Machine)
		}
	}
}

// TestSideBySide: two profiles run at once and are two clusters.
func TestSideBySide(t *testing.T) {
	a, b := hardened.get(t), weak.get(t)
	uid := func(c *cluster) string {
		return c.must(t, "get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}")
	}
	if uid(a) == uid(b) {
		t.Error("two names, one cluster")
	}
}

// TestOwnerKilled: the cluster dies with its owner, says so, and down removes the rest.
func TestOwnerKilled(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("nodes need root: run as root")
	}
	const name = "e2e-killed"
	up := bulwark(t, "up", "--name", name, "--profile", "kubeadm", "--nodes", "1", "--state-dir", stateDir)
	if up.code != 0 {
		t.Fatalf("up: %s", up.all())
	}
	var status struct{ OwnerPID int }
	r := bulwark(t, "status", "--name", name, "--state-dir", stateDir, "-o", "json")
	if err := json.Unmarshal([]byte(r.stdout), &status); err != nil {
		t.Fatalf("status: %v\n%s", err, r.all())
	}
	if err := syscall.Kill(status.OwnerPID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, func() string {
		if left := processes(name); len(left) > 0 {
			return fmt.Sprintf("still running: %v", left)
		}
		return ""
	})
	if r := bulwark(t, "up", "--name", name, "--state-dir", stateDir); r.code != 1 || !strings.Contains(r.stderr, "has died") {
		t.Errorf("up of a dead cluster: exit code %d\n%s", r.code, r.all())
	}
	if r := bulwark(t, "down", "--name", name, "--state-dir", stateDir); r.code != 0 {
		t.Errorf("down: %s", r.all())
	}
	if _, err := os.Stat(filepath.Join(stateDir, name)); !os.IsNotExist(err) {
		t.Errorf("its folder stayed: %v", err)
	}
	if r := bulwark(t, "down", "--name", name, "--state-dir", stateDir); r.code != 1 {
		t.Errorf("down of nothing: exit code %d\n%s", r.code, r.all())
	}
}

// TestInterruptedUp: Ctrl-C in the middle removes what was made.
func TestInterruptedUp(t *testing.T) {
	const name = "e2e-interrupted"
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "bulwark"), "up", "--name", name, "--nodes", "0", "--state-dir", stateDir)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Errorf("an interrupted up ended with 0:\n%s", out.String())
	}
	if !strings.Contains(out.String(), "interrupted") {
		t.Errorf("it does not say that it was interrupted:\n%s", out.String())
	}
	if left := processes(name); len(left) > 0 {
		t.Errorf("still running: %v", left)
	}
	if _, err := os.Stat(filepath.Join(stateDir, name)); !os.IsNotExist(err) {
		t.Errorf("its folder stayed: %v", err)
	}
}

// TestThreeControlPlanes: three etcd members, and the API survives the loss of one machine.
func TestThreeControlPlanes(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("several machines need root: run as root")
	}
	c := &cluster{name: "e2e-three", profile: "hardened", kubeconfig: filepath.Join(stateDir, "e2e-three", "kubeconfig")}
	up := bulwark(t, "up", "--name", c.name, "--control-planes", "3", "--nodes", "0", "--state-dir", stateDir)
	if up.code != 0 {
		t.Fatalf("up: %s", up.all())
	}
	defer bulwark(t, "down", "--name", c.name, "--state-dir", stateDir)
	var status struct {
		Machines []struct {
			Name string
			PID  int
		}
		Components []struct{ Name string }
	}
	r := bulwark(t, "status", "--name", c.name, "--state-dir", stateDir, "-o", "json")
	if err := json.Unmarshal([]byte(r.stdout), &status); err != nil || len(status.Machines) != 3 {
		t.Fatalf("status: %v\n%s", err, r.all())
	}
	c.must(t, "create", "configmap", "before", "--from-literal=a=b")
	if err := syscall.Kill(status.Machines[1].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, func() string {
		r := c.kubectl(t, "create", "configmap", "after", "--from-literal=a=b", "--request-timeout=5s")
		if r.code != 0 && !strings.Contains(r.stderr, "already exists") {
			return r.all()
		}
		return ""
	})
	// The machine boots again meanwhile. An apiserver that has just become ready has
	// been seen to refuse one request; what was written must be there all the same.
	eventually(t, 10*time.Second, func() string {
		if r := c.kubectl(t, "get", "configmap", "before", "after"); r.code != 0 {
			t.Logf("not yet: %s", r.all())
			return r.all()
		}
		return ""
	})
}

// TestWithoutRoot: an ordinary user gets the control plane alone, on loopback.
func TestWithoutRoot(t *testing.T) {
	dir, err := os.MkdirTemp("", "bulwark-e2e-user-") //nolint:usetesting // what t.TempDir makes, another user cannot enter
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	prefix := []string{}
	if os.Geteuid() == 0 {
		if err := os.Chown(dir, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		// The binaries may lie below a folder that only root can enter.
		copied := filepath.Join(dir, "bin")
		if out, err := exec.Command("cp", "-r", bin, copied).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		prefix = []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--", filepath.Join(copied, "bulwark")}
	} else {
		prefix = []string{filepath.Join(bin, "bulwark")}
	}
	user := func(args ...string) result {
		return command(t.Context(), "", []string{"HOME=" + dir, "XDG_STATE_HOME=" + dir}, prefix[0], append(prefix[1:], args...)...)
	}
	if r := user("up", "--nodes", "1"); r.code != 2 && r.code != 1 || !strings.Contains(r.stderr, "root") {
		t.Errorf("nodes without root: exit code %d\n%s", r.code, r.all())
	}
	r := user("up")
	if r.code != 0 {
		t.Fatalf("up: %s", r.all())
	}
	kubeconfig := ""
	for line := range strings.Lines(r.all()) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "export KUBECONFIG="); ok {
			kubeconfig = v
		}
	}
	scan := user("scan", "--kubeconfig", kubeconfig, "--host", "--controls", "etcd,apiserver,controllermanager,scheduler")
	if scan.code != 0 {
		t.Errorf("scan of the hardened control plane: exit code %d\n%s", scan.code, scan.all())
	}
	if r := user("down"); r.code != 0 {
		t.Errorf("down: %s", r.all())
	}
}
