package packages

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/vuln/scan"

	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/image/layer"
	finders "github.com/bulwark-k8s/bulwark/internal/image/packages"
)

// TestGoFunctions: of every binary, the functions are those that govulncheck finds in it,
// or, where it was stripped, in the same one that was not: govulncheck needs a symbol
// table to find what was inlined.
func TestGoFunctions(t *testing.T) {
	const vuln = "golang.org/x/vuln/cmd/govulncheck"
	for _, tt := range []struct {
		name, pkg, platform string
		stripped            []string // flags of the one that is compared with it
	}{
		{"for Linux", vuln, "linux/amd64", []string{"-ldflags=-s -w", "-trimpath"}},
		{"with many modules", "github.com/bulwark-k8s/bulwark/lab/cmd/lab-images", "linux/amd64", []string{"-ldflags=-s -w"}},
		{"independent of its position", vuln, "linux/amd64", []string{"-buildmode=pie", "-ldflags=-s -w"}},
		{"for big endian", vuln, "linux/s390x", []string{"-ldflags=-s -w"}},
		{"for 32 bits", vuln, "linux/386", []string{"-ldflags=-s -w"}},
		{"for Windows", vuln, "windows/amd64", []string{"-ldflags=-s -w"}},
		{"for Apple", vuln, "darwin/arm64", []string{"-ldflags=-s -w"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			plain, stripped := filepath.Join(dir, "plain"), filepath.Join(dir, "stripped")
			goBuild(t, tt.platform, plain, tt.pkg)
			goBuild(t, tt.platform, stripped, tt.pkg, tt.stripped...)
			want := extract(t, plain)
			same(t, want, found(t, plain))
			same(t, want, found(t, stripped))
		})
	}
	for _, tool := range []string{"asm", "compile", "vet"} {
		t.Run("of Go itself, "+tool, func(t *testing.T) {
			out, err := exec.CommandContext(t.Context(), "go", "env", "GOTOOLDIR").Output()
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(strings.TrimSpace(string(out)), tool)
			same(t, extract(t, path), found(t, path))
		})
	}
}

func goBuild(t *testing.T, platform, out, pkg string, flags ...string) {
	t.Helper()
	goos, goarch, _ := strings.Cut(platform, "/")
	c := exec.CommandContext(t.Context(), "go", append(append([]string{"build", "-buildvcs=false", "-o", out}, flags...), pkg)...)
	c.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0")
	if b, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", c.Args, err, b)
	}
}

// A goBinary is what govulncheck takes out of one.
type goBinary struct {
	Path      string
	Main      struct{ Path, Version string }
	Modules   []goModule
	GoVersion string
	GOOS      string
	GOARCH    string

	PkgSymbols []struct{ Pkg, Name string }
}

type goModule struct {
	Path, Version string
	Replace       *goModule
}

func extract(t *testing.T, path string) *goBinary {
	t.Helper()
	var out, errs bytes.Buffer
	c := scan.Command(t.Context(), "-mode=extract", path)
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	d := json.NewDecoder(&out)
	var header any
	b := &goBinary{}
	if err := cmp.Or(d.Decode(&header), d.Decode(b)); err != nil {
		t.Fatal(err)
	}
	return b
}

func found(t *testing.T, path string) []image.Package {
	t.Helper()
	r, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		t.Fatal(err)
	}
	f := layerFile(path, info, r)
	var all []image.Package
	for _, finder := range finders.Finders() {
		if !finder.Wants(f) {
			continue
		}
		got, err := finder.Read(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if got == nil {
			continue
		}
		for _, g := range got.Gaps {
			t.Errorf("gap: %+v", g)
		}
		all = append(all, got.Packages...)
	}
	return all
}

// layerFile is a file as a layer gives it to finders.
func layerFile(path string, info fs.FileInfo, r io.ReaderAt) *layer.File {
	f := &layer.File{Path: strings.TrimPrefix(path, "/"), Mode: info.Mode(), Size: info.Size(), Head: make([]byte, 512), Content: r}
	n, _ := r.ReadAt(f.Head, 0)
	f.Head = f.Head[:n]
	return f
}

var (
	brackets = regexp.MustCompile(`\[[^\[\]]*\]`)
	closure  = regexp.MustCompile(`^([^(]*)\)\.`)
)

// same holds what was found against what govulncheck says, but for what it does otherwise
// and what no advisory can mean: it leaves the brackets of generics, half of them where
// there are closures in them, half of a pointer's where a closure is in a method, and the
// names of what has no package. One thing is a fault of it: functions that are inlined
// only, of packages whose path begins with "go.", have no package for it.
func same(t *testing.T, want *goBinary, got []image.Package) {
	t.Helper()
	if len(got) == 0 || got[0].Go == nil || got[0].Go.Functions == nil {
		t.Fatalf("the functions are not known: %+v", got)
	}
	b := got[0].Go
	lost, garbled := 0, 0
	names := map[[2]string]bool{}
	for _, s := range want.PkgSymbols {
		pkg, name := s.Pkg, s.Name
		for brackets.MatchString(name) {
			name = brackets.ReplaceAllString(name, "")
		}
		name = closure.ReplaceAllString(name, "$1.")
		if strings.ContainsAny(name, "[]") {
			garbled++
			continue
		}
		if pkg == "" {
			lost++
			continue
		}
		if pkg == "main" && want.Path != "" {
			pkg = want.Path
		}
		names[[2]string{pkg, name}] = true
	}
	missing, wanted := 0, map[string]bool{}
	for n := range names {
		wanted[n[0]] = true
		if !b.Functions.Has(n[0], n[1]) {
			if missing++; missing < 10 {
				t.Errorf("%s %s is missing", n[0], n[1])
			}
		}
	}
	for _, p := range b.Packages {
		if strings.HasPrefix(p, "go.") {
			garbled += lost
			lost = 0
		}
		if !wanted[p] && !strings.HasPrefix(p, "go.") {
			t.Errorf("package %s is one too many", p)
		}
		delete(wanted, p)
	}
	for p := range wanted {
		t.Errorf("package %s is missing", p)
	}
	theirs := image.NewFunctions(func(yield func(pkg, name string) bool) {
		for n := range names {
			if !yield(n[0], n[1]) {
				return
			}
		}
	})
	t.Logf("%d functions in %d packages, %d of them with names that govulncheck garbles", b.Functions.Len(), len(b.Packages), garbled)
	if more := b.Functions.Len() - theirs.Len(); more < 0 || more > garbled {
		t.Errorf("%d functions, want %d", b.Functions.Len(), theirs.Len())
	}
	if b.Functions.Len() < 1000 {
		t.Errorf("%d functions, want more: the comparison says nothing", b.Functions.Len())
	}
	if b.GOOS != want.GOOS || b.GOARCH != want.GOARCH || b.Main != want.Main.Path {
		t.Errorf("binary of %s for %s/%s, want %s for %s/%s", b.Main, b.GOOS, b.GOARCH, want.Main.Path, want.GOOS, want.GOARCH)
	}

	wantModules := map[string]string{"stdlib": strings.TrimPrefix(want.GoVersion, "go")}
	if want.Main.Path != "" {
		wantModules[want.Main.Path] = strings.TrimPrefix(strings.TrimPrefix(want.Main.Version, "v"), "(devel)")
	}
	for _, m := range want.Modules {
		switch {
		case m.Replace == nil:
			wantModules[m.Path] = strings.TrimPrefix(m.Version, "v")
		case m.Replace.Version == "":
			wantModules[m.Path] = ""
		default:
			wantModules[m.Replace.Path] = strings.TrimPrefix(m.Replace.Version, "v")
		}
	}
	modules := map[string]string{}
	for _, p := range got {
		modules[p.Name] = p.Version
	}
	if diff := gocmp.Diff(wantModules, modules); diff != "" {
		t.Errorf("modules (-want +got):\n%s", diff)
	}
}
