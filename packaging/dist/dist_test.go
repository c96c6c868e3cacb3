package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"

	"github.com/bulwark-k8s/bulwark/internal/cli"
)

var at = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// TestManPages: every command that help shows has a page, and every flag is on it.
func TestManPages(t *testing.T) {
	dir := t.TempDir()
	if err := manPages(dir, "1.2.3", at); err != nil {
		t.Fatal(err)
	}
	pages := 0
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		page, err := os.ReadFile(filepath.Join(dir, strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".1"))
		if err != nil {
			t.Error(err)
			return
		}
		pages++
		text := strings.ReplaceAll(string(page), `\-`, "-")
		for _, want := range []string{".TH", "Bulwark 1.2.3", cmd.Short} {
			if !strings.Contains(text, want) {
				t.Errorf("the page of %s lacks %q", cmd.CommandPath(), want)
			}
		}
		if strings.Contains(text, "Auto generated") {
			t.Errorf("the page of %s says by what it was made", cmd.CommandPath())
		}
		cmd.NonInheritedFlags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && !strings.Contains(text, "--"+f.Name) {
				t.Errorf("the page of %s lacks --%s", cmd.CommandPath(), f.Name)
			}
		})
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() && !c.IsAdditionalHelpTopicCommand() {
				visit(c)
			}
		}
	}
	visit(cli.Command())
	if files, _ := os.ReadDir(dir); len(files) != pages || pages < 15 {
		t.Errorf("%d pages of %d commands", len(files), pages)
	}
}

// TestBashCompletion: what is written is loaded by bash and asks the program what comes next.
func TestBashCompletion(t *testing.T) {
	dir := t.TempDir()
	if err := completions(dir); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"_bulwark": "#compdef bulwark", "bulwark.fish": "complete -c bulwark", "bulwark.ps1": "Register-ArgumentCompleter -CommandName 'bulwark'"} {
		if text, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s lacks %q, error %v", name, want, err)
		}
	}
	program := filepath.Join(dir, "bulwark")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho \"asked: $*\" >&2\nprintf 'scan\\nsnapshot\\n:4\\n'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	// _get_comp_words_by_ref is bash-completion's; the words are given here.
	script := `_get_comp_words_by_ref() { words=(bulwark s); cword=1; cur=s; prev=bulwark; }
		source "$1/bulwark.bash"; complete -p bulwark
		COMP_TYPE=9 COMP_WORDS=(bulwark s) COMP_CWORD=1 COMP_LINE="bulwark s" COMP_POINT=9
		__start_bulwark; printf '<%s>' "${COMPREPLY[@]}"`
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script, "-", dir)
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	out, err := cmd.Output()
	if err != nil || !strings.Contains(string(out), "-F __start_bulwark bulwark") || !strings.Contains(string(out), "<scan") {
		t.Errorf("bash says %q, error %v", out, err)
	}
}

// TestRelease builds for this machine: the archive holds a program of that version, and
// checksums and krew's manifest are of this archive.
func TestRelease(t *testing.T) {
	here := platform{runtime.GOOS, runtime.GOARCH}
	o := options{archives: t.TempDir(), source: "../..", version: "v1.2.3", platforms: []platform{here}, url: "https://example.com/r", time: at}
	if err := release(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(o.archives, here.archive()))
	if err != nil {
		t.Fatal(err)
	}
	files := unpack(t, data)
	program := filepath.Join(t.TempDir(), "bulwark")
	if err := os.WriteFile(program, files[here.binary()], 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), program, "version").Output(); err != nil || !strings.HasPrefix(string(out), "bulwark 1.2.3 ") {
		t.Errorf("the program says %q, error %v", out, err)
	}
	if !bytes.Contains(files["LICENSE"], []byte("Apache License")) {
		t.Error("the archive lacks the licence")
	}
	raw := sha256.Sum256(data)
	sum := hex.EncodeToString(raw[:])
	for name, want := range map[string]string{
		"checksums.txt": sum + "  " + here.archive() + "\n",
		"bulwark.yaml":  "    sha256: " + sum + "\n",
	} {
		if text, err := os.ReadFile(filepath.Join(o.archives, name)); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s lacks %q, error %v", name, want, err)
		}
	}
}

func unpack(t *testing.T, data []byte) map[string][]byte {
	t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for r := tar.NewReader(zip); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if out[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPackIsReproducible: the same files and time are the same bytes.
func TestPackIsReproducible(t *testing.T) {
	files := []file{{"bulwark", 0o755, []byte("program")}, {"LICENSE", 0o644, []byte("text")}}
	one, err := pack(files, at)
	if err != nil {
		t.Fatal(err)
	}
	two, _ := pack(files, at)
	later, _ := pack(files, at.Add(time.Hour))
	if !bytes.Equal(one, two) || bytes.Equal(one, later) {
		t.Error("the bytes do not follow from files and time alone")
	}
}

func TestNotARelease(t *testing.T) {
	for _, version := range []string{"", "devel", "1.2.3", "v1.2", "v01.2.3", "v1.2.3+meta", "abc123"} {
		if err := release(t.Context(), options{archives: t.TempDir(), version: version}); err == nil || !strings.Contains(err.Error(), "want a release") {
			t.Errorf("version %q: error is %v", version, err)
		}
	}
}

// TestKrewTakesIt asks krew's own validator, which krew's index asks as well.
func TestKrewTakesIt(t *testing.T) {
	platforms := []platform{{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}}
	sums := map[platform]string{}
	for _, p := range platforms {
		sums[p] = strings.Repeat("a", 64)
	}
	good, err := krewManifest("v1.2.3", "https://example.com/r", platforms, sums)
	if err != nil {
		t.Fatal(err)
	}
	var parsed struct {
		Spec struct {
			Platforms []struct{ URI string }
		}
	}
	if err := yaml.UnmarshalStrict(good, &struct {
		APIVersion, Kind string
		Metadata, Spec   map[string]any
	}{}); err != nil {
		t.Error(err)
	}
	if err := yaml.Unmarshal(good, &parsed); err != nil || parsed.Spec.Platforms[3].URI != "https://example.com/r/v1.2.3/bulwark_darwin_arm64.tar.gz" {
		t.Errorf("the addresses are %v, error %v", parsed.Spec.Platforms, err)
	}
	if out, err := validate(t, good); err != nil {
		t.Errorf("krew refuses it: %v\n%s", err, out)
	}
	bad := bytes.Replace(good, []byte("sha256: a"), []byte("sha256: "), 1)
	if out, err := validate(t, bad); err == nil || !strings.Contains(out, "sha256") {
		t.Errorf("krew takes a checksum that is too short: %s", out)
	}
}

func validate(t *testing.T, manifest []byte) (string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bulwark.yaml")
	if err := os.WriteFile(path, manifest, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "tool", "-modfile=../krew/go.mod", "validate-krew-manifest", "-skip-install", "-manifest", path)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
