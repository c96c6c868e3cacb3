package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A screen is a terminal with bulwark at it. What testscript's ttyin types is there, and
// echoed, before the program runs; a person types after the prompt.
type screen struct {
	*testing.T
	control *os.File
	cmd     *exec.Cmd
	ended   chan error
	drained chan struct{} // closed when the last program has left the terminal

	mu   sync.Mutex
	seen bytes.Buffer
}

// atTerminal starts bulwark in dir at a terminal of its own.
func atTerminal(t *testing.T, dir string, args ...string) *screen {
	t.Helper()
	control, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("there are no pseudo-terminals: %v", err)
	}
	t.Cleanup(func() { _ = control.Close() })
	number, err := unix.IoctlGetInt(int(control.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(control.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()

	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &screen{T: t, control: control, ended: make(chan error, 1), drained: make(chan struct{})}
	s.cmd = exec.CommandContext(t.Context(), self)
	s.cmd.Args = append([]string{"bulwark"}, args...) // TestMain runs the program under this name
	s.cmd.Dir, s.cmd.Env = dir, append(os.Environ(), "HOME="+dir, "KUBECONFIG=", "NO_COLOR=1")
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = tty, tty, tty
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.ended <- s.cmd.Wait() }()
	go func() {
		defer close(s.drained)
		buf := make([]byte, 4096)
		for {
			n, err := control.Read(buf)
			s.mu.Lock()
			s.seen.Write(buf[:n])
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return s
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen.String()
}

// echoes reports whether the terminal shows what is typed.
func (s *screen) echoes() bool {
	s.Helper()
	state, err := unix.IoctlGetTermios(int(s.control.Fd()), unix.TCGETS)
	if err != nil {
		s.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

const patienceAtTerminal = 60 * time.Second

func (s *screen) until(what string, ok func() bool) {
	s.Helper()
	for deadline := time.Now().Add(patienceAtTerminal); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.Fatalf("no %s; the screen shows\n%s", what, s.text())
		}
	}
}

// answer waits for a prompt and types after it.
func (s *screen) answer(prompt, keys string) {
	s.Helper()
	s.until("prompt "+prompt, func() bool { return strings.HasSuffix(s.text(), prompt) && !s.echoes() })
	if _, err := s.control.WriteString(keys); err != nil {
		s.Fatal(err)
	}
}

// end waits for the program, and returns what the screen shows.
func (s *screen) end(code int) string {
	s.Helper()
	select {
	case err := <-s.ended:
		got := 0
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			got = exit.ExitCode()
		}
		if got != code {
			s.Errorf("exit code %d, want %d; the screen shows\n%s", got, code, s.text())
		}
	case <-time.After(patienceAtTerminal):
		_ = s.cmd.Process.Kill()
		s.Fatalf("it does not end; the screen shows\n%s", s.text())
	}
	if !s.echoes() {
		s.Error("the terminal was left without echo")
	}
	<-s.drained
	return s.text()
}

// tree is every file below a folder with its content.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		fmt.Fprintf(&b, "%s\n%s\n", path, data)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return b.String()
}

const (
	passphrase = "correct horse battery staple"
	interrupt  = "\x03" // Ctrl-C
)

func clusterFile(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "cluster.yaml"), []byte("controlPlanes: [{name: cp, addresses: [10.0.0.1]}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestNewPassphraseAtTerminal: it is asked for twice, never shown, and until it was given
// nothing is written.
func TestNewPassphraseAtTerminal(t *testing.T) {
	const prompt = "new passphrase for the authorities' keys: "
	for name, tt := range map[string]struct {
		first, second string
		code          int
		want          string
	}{
		"two that differ":            {passphrase + "\n", "correct house battery staple\n", exitMisuse, "the two passphrases are not the same"},
		"one that is short":          {"abc\n", "abc\n", exitMisuse, "the passphrase is too short"},
		"an interrupt":               {interrupt, "", exitFailed, "bulwark: error: interrupted"},
		"an interrupt while typing":  {"correct horse" + interrupt, "", exitFailed, "bulwark: error: interrupted"},
		"an interrupt at the second": {passphrase + "\n", interrupt, exitFailed, "bulwark: error: interrupted"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := clusterFile(t)
			before := tree(t, dir)
			s := atTerminal(t, dir, "pki", "init", "-f", "cluster.yaml", "-d", "out", "--encrypt-ca", "passphrase")
			s.answer(prompt, tt.first)
			if tt.second != "" {
				s.answer("once more: ", tt.second)
			}
			shown := s.end(tt.code)
			if !strings.Contains(shown, tt.want) {
				t.Errorf("the screen shows\n%s\nwant %s", shown, tt.want)
			}
			if strings.Contains(shown, "horse") || strings.Contains(shown, "abc") {
				t.Error("the screen shows what was typed")
			}
			if after := tree(t, dir); after != before {
				t.Errorf("something was written:\n%s", after)
			}
		})
	}
}

// TestPassphraseAtTerminal: the right one opens the keys; a wrong one, or none, leaves
// every file as it was.
func TestPassphraseAtTerminal(t *testing.T) {
	if testing.Short() {
		t.Skip("deriving a key from a passphrase is slow on purpose")
	}
	dir := clusterFile(t)
	s := atTerminal(t, dir, "pki", "init", "-f", "cluster.yaml", "-d", "out", "--encrypt-ca", "passphrase")
	s.answer("new passphrase for the authorities' keys: ", passphrase+"\n")
	s.answer("once more: ", passphrase+"\n")
	if shown := s.end(exitClean); strings.Contains(shown, "horse") {
		t.Error("the screen shows the passphrase")
	}
	made := tree(t, dir)
	if !strings.Contains(made, filepath.Join(dir, "out", "ca", "ca.key.age")) {
		t.Fatalf("no encrypted key was made:\n%s", made)
	}

	for _, tt := range []struct {
		name, typed string
		code        int
		want        string
	}{
		{"wrong", "incorrect horse battery staple\n", exitFailed, "ca/identity.age: encrypted to somebody else, or with another passphrase"},
		{"interrupted", "correct horse" + interrupt, exitFailed, "bulwark: error: interrupted"},
		{"right", passphrase + "\n", exitClean, "renewed"},
	} {
		s := atTerminal(t, dir, "pki", "renew", "--all", "-d", "out")
		s.answer("passphrase of the authorities' keys: ", tt.typed)
		shown := s.end(tt.code)
		if !strings.Contains(shown, tt.want) || strings.Contains(shown, "horse") {
			t.Errorf("%s: the screen shows\n%s\nwant %s, and not what was typed", tt.name, shown, tt.want)
		}
		if changed := tree(t, dir) != made; changed != (tt.code == exitClean) {
			t.Errorf("%s: files changed is %t", tt.name, changed)
		}
	}
}
