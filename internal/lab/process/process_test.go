//go:build linux

package process

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func start(t *testing.T, env ...string) (ID, <-chan error) {
	t.Helper()
	cmd := exec.Command("/bin/sleep", "60")
	cmd.Env = env
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	id, err := Identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return id, ended
}

func TestAnIDIsMoreThanANumber(t *testing.T) {
	id, ended := start(t)
	if !id.Alive() {
		t.Fatal("just started, and dead")
	}
	other := id
	other.Start++
	if other.Alive() {
		t.Error("another process with that number passes for it")
	}
	if err := other.Signal(unix.SIGKILL); err != nil {
		t.Error(err)
	}
	if !id.Alive() {
		t.Fatal("a signal for another process reached it")
	}
	if err := id.Signal(unix.SIGKILL); err != nil {
		t.Error(err)
	}
	<-ended
	if id.Alive() {
		t.Error("dead, and alive")
	}
	if err := id.Signal(unix.SIGKILL); err != nil {
		t.Errorf("signalling the dead: %v, want no error", err)
	}
}

func TestOnlyMarkedProcessesEnd(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	uid := uint32(os.Geteuid())
	marked, _ := start(t, "A=b", Mark(dir))
	longer, _ := start(t, Mark(dir+"/x"))
	value, _ := start(t, "X="+Mark(dir))
	killed, err := EndMarked(dir, uid, 5*time.Second)
	if err != nil || killed != 1 {
		t.Errorf("killed %d, %v; want 1", killed, err)
	}
	if marked.Alive() {
		t.Error("the marked process lives")
	}
	if !longer.Alive() || !value.Alive() {
		t.Error("a process without the mark was killed")
	}
}

func TestAnotherUsersProcessesAreNotTaken(t *testing.T) {
	dir := t.TempDir()
	id, _ := start(t, Mark(dir))
	if killed, err := EndMarked(dir, uint32(os.Geteuid())+1, time.Second); err != nil || killed != 0 {
		t.Errorf("killed %d, %v; want none", killed, err)
	}
	if !id.Alive() {
		t.Error("it was killed")
	}
}

func TestInsideKnowsItself(t *testing.T) {
	if got := Inside(os.Getpid())[os.Getpid()]; got != os.Getpid() {
		t.Errorf("process %d is %d to the host, in one and the same namespace", os.Getpid(), got)
	}
}
