package cli

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestFilesAreReplacedOnlyWhereTheyAreFiles: a device stays one, a link leads on, and a
// report to a pipe comes out at its other end.
func TestFilesAreReplacedOnlyWhereTheyAreFiles(t *testing.T) {
	dir := t.TempDir()
	text := func(w io.Writer) error {
		_, err := io.WriteString(w, "report")
		return err
	}
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := os.WriteFile(target, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("target", link); err != nil {
		t.Fatal(err)
	}
	if err := replaceFile(link, text); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(target); err != nil || string(got) != "report" {
		t.Errorf("behind the link is %q, %v", got, err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Error("the link is gone")
	}

	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	got := make(chan []byte)
	go func() {
		var b bytes.Buffer
		if f, err := os.Open(pipe); err == nil {
			_, _ = b.ReadFrom(f)
		}
		got <- b.Bytes()
	}()
	if err := replaceFile(pipe, text); err != nil {
		t.Fatal(err)
	}
	if read := <-got; string(read) != "report" {
		t.Errorf("the pipe carried %q", read)
	}
	if info, err := os.Lstat(pipe); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		t.Error("the pipe is gone")
	}

	if err := replaceFile(dir, text); err == nil {
		t.Error("a folder was written to")
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 3 {
		t.Errorf("%d entries are in the folder, want 3", len(entries))
	}
}
