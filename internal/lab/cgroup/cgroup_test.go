//go:build linux

package cgroup

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

// Groups are made in every tree, take a process with all below it, and go with
// everything that was made in them.
func TestGroupsComeAndGo(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("control groups need root")
	}
	cluster := fmt.Sprintf("test-%d", os.Getpid())
	if err := Make(cluster, "m"); err != nil {
		t.Skipf("this host does not let us: %v", err)
	}
	defer func() {
		if err := Remove(cluster, "", time.Second); err != nil {
			t.Error(err)
		}
		if left := Exist(cluster); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}()
	cmd := exec.Command("/bin/sleep", "60")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := Enter(cluster, "m", cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(groups)) {
		if want := Path(cluster, "m") + "/" + System; !strings.HasSuffix(strings.TrimSpace(line), want) {
			t.Errorf("in %s, want %s", strings.TrimSpace(line), want)
		}
	}
	// What a runtime makes below.
	for _, root := range Exist(cluster) {
		if err := os.Mkdir(filepath.Join(root, "m", "pod"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := Remove(cluster, "m", 100*time.Millisecond); err == nil {
		t.Error("a group with a process in it was removed")
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}
