package lab

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulwark-k8s/bulwark/internal/lab/process"
)

func TestOneAtATime(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	first, err := lock(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(dir, true); err == nil || err.Error() != "cluster demo: another bulwark is at work on it" {
		t.Errorf("a second lock: %v", err)
	}
	first.Close()
	again, err := lock(dir, false)
	if err != nil {
		t.Fatalf("after the first let go: %v", err)
	}
	again.Close()
}

func TestLockOfWhatIsNotThere(t *testing.T) {
	_, err := lock(filepath.Join(t.TempDir(), "demo"), false)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want that it does not exist", err)
	}
}

func TestWhatIsThereIsNotBroken(t *testing.T) {
	self, err := process.Identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	write := func(t *testing.T, dir, name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		prepare func(t *testing.T, dir string)
		want    string
	}{
		"an empty folder": {func(*testing.T, string) {}, ""},
		"a folder with something in it": {func(t *testing.T, dir string) {
			write(t, dir, "kubeconfig", "")
		}, "is not empty"},
		"a running cluster": {func(t *testing.T, dir string) {
			if err := errors.Join(
				writeJSON(stateFile(dir), state{Name: "demo", Profile: "weak", Nodes: 1}),
				writeJSON(runtimeFile(dir), runtimeState{Owner: self}),
			); err != nil {
				t.Fatal(err)
			}
		}, "cluster demo: already running (profile weak, 1 node)"},
		"an owner whose number is another's now": {func(t *testing.T, dir string) {
			other := self
			other.Start++
			if err := errors.Join(
				writeJSON(stateFile(dir), state{Name: "demo", Profile: "weak"}),
				writeJSON(runtimeFile(dir), runtimeState{Owner: other}),
			); err != nil {
				t.Fatal(err)
			}
		}, "cluster demo: its owner process has died"},
		"half a state file": {func(t *testing.T, dir string) {
			write(t, dir, "state.json", `{"name": "de`)
		}, "cluster demo: its state is damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			tc.prepare(t, dir)
			err := refuseExisting(dir, "demo")
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// The files may be gone or nonsense; the processes are found all the same, and
// only they.
func TestDestroyNeedsNoFile(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "demo")
	if err := os.MkdirAll(filepath.Join(dir, "machines", "node-1", "etc"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"state.json", "runtime.json"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("\x00nonsense"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	start := func(mark string) *exec.Cmd {
		cmd := exec.Command("/bin/sleep", "60")
		cmd.Env = []string{mark}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		return cmd
	}
	ours, neighbour, stranger := start(process.Mark(dir)), start(process.Mark(dir+"2")), start("X="+dir)
	ended := make(chan error, 1)
	go func() { ended <- ours.Wait() }()
	if err := destroy(dir); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil || err.Error() != "signal: killed" {
		t.Errorf("our process: %v, want that it was killed", err)
	}
	for name, cmd := range map[string]*exec.Cmd{"a neighbour's": neighbour, "a stranger's": stranger} {
		if _, err := process.Identify(cmd.Process.Pid); err != nil {
			t.Errorf("%s process: %v, want that it runs", name, err)
		}
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder: %v, want that it is gone", err)
	}
	if _, err := os.Stat(root); err != nil {
		t.Errorf("the user's own folder: %v, want that it stays", err)
	}
}

func TestTwoFoldersNeverShareControlGroups(t *testing.T) {
	a, b := clusterKey("/a/demo"), clusterKey("/b/demo")
	if a == b {
		t.Errorf("both are %s", a)
	}
	if a != clusterKey("/a/demo") {
		t.Errorf("a second look gives another name")
	}
}

func TestTailIsShort(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.log")
	if got := tail(file); got != "" {
		t.Errorf("of no file: %q", got)
	}
	if err := os.WriteFile(file, []byte(strings.Repeat("line\n", 100000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(tail(file), "line"); got != tailLines {
		t.Errorf("%d lines, want %d", got, tailLines)
	}
}
