package oracle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	vuln "golang.org/x/vuln/scan"

	"github.com/bulwark-k8s/bulwark/internal/advisory/feed"
	"github.com/bulwark-k8s/bulwark/internal/advisory/store"
	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/image/inspect"
	"github.com/bulwark-k8s/bulwark/internal/image/packages"
	"github.com/bulwark-k8s/bulwark/internal/image/source"
	"github.com/bulwark-k8s/bulwark/internal/match"
)

// A goProgram is a module of its own, with libraries that have had vulnerabilities.
type goProgram struct {
	mod, main string
	env       []string
	flags     []string
}

const goLibraries = `
require (
	github.com/dgrijalva/jwt-go v3.2.0+incompatible
	golang.org/x/net v0.0.0-20210405180319-a5a99cb37ef4
	golang.org/x/text v0.3.3
)
`

const goMain = `package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/dgrijalva/jwt-go"
	"golang.org/x/net/html"
	"golang.org/x/text/language"
)

func main() {
	n, err := html.Parse(strings.NewReader(os.Args[1]))
	tag, err2 := language.Parse(os.Args[2])
	fmt.Println(n, err, tag, err2, jwt.MapClaims{}.VerifyAudience(os.Args[3], true))
}
`

var goPrograms = map[string]goProgram{
	"linux":           {mod: goLibraries, main: goMain},
	"windows":         {mod: goLibraries, main: goMain, env: []string{"GOOS=windows", "GOARCH=arm64"}},
	"replaced":        {mod: goLibraries + "replace golang.org/x/text => golang.org/x/text v0.3.5\n", main: goMain, flags: []string{"-gcflags=-l"}},
	"no dependencies": {main: "package main\n\nimport (\n\t\"fmt\"\n\t\"net/http\"\n)\n\nfunc main() { fmt.Println(http.ListenAndServe(\":0\", nil)) }\n"},
}

// build makes the binary of a program; strip takes its symbol table away.
func (p goProgram) build(t *testing.T, strip bool) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module example.com/program\n\ngo 1.21\n" + p.mod, "main.go": p.main} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(t.TempDir(), "program")
	args := append([]string{"build", "-mod=mod", "-o", out}, p.flags...)
	if strip {
		args = append(args, "-ldflags=-s -w")
	}
	cmd := exec.CommandContext(t.Context(), "go", append(args, ".")...)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off"), p.env...)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	return out
}

// An osvRecord is what the Go vulnerability database has of one vulnerability.
type osvRecord struct {
	ID       string        `json:"id"`
	Modified string        `json:"modified"`
	Affected []osvAffected `json:"affected"`
}

type osvAffected struct {
	Package struct {
		Name      string `json:"name"`
		Ecosystem string `json:"ecosystem"`
	} `json:"package"`
	Ranges   []osvRange `json:"ranges"`
	Specific struct {
		Imports []osvImport `json:"imports,omitempty"`
	} `json:"ecosystem_specific"`
}

type osvRange struct {
	Type   string              `json:"type"`
	Events []map[string]string `json:"events"`
}

type osvImport struct {
	Path    string   `json:"path"`
	GOOS    []string `json:"goos,omitempty"`
	GOARCH  []string `json:"goarch,omitempty"`
	Symbols []string `json:"symbols,omitempty"`
}

// vulnerabilitiesOf makes records about what a binary has, and about what it nearly has:
// versions around its own, packages and functions that are in it and that are not,
// platforms that are its own and that are not.
func vulnerabilitiesOf(img *image.Image, n int) []osvRecord {
	g := rand.New(rand.NewPCG(uint64(n), 1))
	one := func(of ...string) string { return of[g.IntN(len(of))] }
	versions := map[string][]string{
		"stdlib":                       {"1.18.5", "1.22.0-0", "1.26.0-rc.1", "1.26.0", "1.99.0"},
		"golang.org/x/net":             {"0.0.0-20210405180318-000000000000", "0.0.0-20210405180319-a5a99cb37ef4", "0.0.0-20210520170846-37e1c6afe023", "0.1.0"},
		"golang.org/x/text":            {"0.3.2", "0.3.3", "0.3.5", "0.3.8-0.20211004125949-5bd84dd9b33b", "0.3.8"},
		"github.com/dgrijalva/jwt-go":  {"3.1.0", "3.2.0+incompatible", "3.2.1", "4.0.0-preview1"},
		"golang.org/x/crypto":          {"0.1.0"},
		"github.com/dgrijalva/jwt-go2": {"1.0.0"},
	}
	functions := []string{"Parse", "ParseFragment", "Render", "Tag.String", "Make", "MapClaims.VerifyAudience", "Server.Serve", "ListenAndServe", "Println", "Nothing", "Node.AppendChild", "parser.parse"}
	modules := slices.Sorted(maps.Keys(versions))
	var paths []string
	for i := range img.Packages {
		if b := img.Packages[i].Go; b != nil {
			paths = b.Packages
		}
	}
	paths = append(slices.Clone(paths), "golang.org/x/net/http2", "golang.org/x/text/nothing", "net/http/nothing", "golang.org/x/crypto/ssh")
	var all []osvRecord
	for i := range n {
		r := osvRecord{ID: fmt.Sprintf("GO-2026-%04d", i), Modified: "2026-01-01T00:00:00Z"}
		for range 1 + g.IntN(2) {
			var a osvAffected
			a.Package.Name, a.Package.Ecosystem = modules[g.IntN(len(modules))], "Go"
			of := versions[a.Package.Name]
			at := g.IntN(len(of))
			events := []map[string]string{{"introduced": one("0", "0", of[0], of[at])}}
			if g.IntN(4) > 0 {
				events = append(events, map[string]string{"fixed": of[at+g.IntN(len(of)-at)]})
			}
			a.Ranges = []osvRange{{"SEMVER", events}}
			for range g.IntN(4) {
				imp := osvImport{Path: paths[g.IntN(len(paths))]}
				switch g.IntN(3) {
				case 0:
					imp.Path = a.Package.Name + "/absent"
				case 1: // most packages are of another module
					var own []string
					for _, p := range paths {
						first, _, _ := strings.Cut(p, "/")
						if strings.HasPrefix(p, a.Package.Name+"/") || p == a.Package.Name || a.Package.Name == "stdlib" && !strings.Contains(first, ".") {
							own = append(own, p)
						}
					}
					if len(own) > 0 {
						imp.Path = own[g.IntN(len(own))]
					}
				}
				for range g.IntN(3) {
					imp.Symbols = append(imp.Symbols, one(functions...))
				}
				if g.IntN(4) == 0 {
					imp.GOOS = []string{one("windows", "linux", "plan9")}
				}
				if g.IntN(4) == 0 {
					imp.GOARCH = []string{one("amd64", "arm64")}
				}
				a.Specific.Imports = append(a.Specific.Imports, imp)
			}
			if !slices.ContainsFunc(r.Affected, func(b osvAffected) bool { return b.Package.Name == a.Package.Name }) {
				r.Affected = append(r.Affected, a)
			}
		}
		all = append(all, r)
	}
	return all
}

// goDatabase writes records as the Go vulnerability database does
// (https://go.dev/doc/security/vuln/database), of which ours is built too.
func goDatabase(t *testing.T, records []osvRecord) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, v any) {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	type vulnerability struct {
		ID       string `json:"id"`
		Modified string `json:"modified"`
	}
	type module struct {
		Path  string          `json:"path"`
		Vulns []vulnerability `json:"vulns"`
	}
	modules := map[string]*module{}
	for _, r := range records {
		write("ID/"+r.ID+".json", r)
		for _, a := range r.Affected {
			m := modules[a.Package.Name]
			if m == nil {
				m = &module{Path: a.Package.Name}
				modules[a.Package.Name] = m
			}
			m.Vulns = append(m.Vulns, vulnerability{r.ID, r.Modified})
		}
	}
	var index []*module
	for _, k := range slices.Sorted(maps.Keys(modules)) {
		index = append(index, modules[k])
	}
	write("index/db.json", map[string]string{"modified": "2026-01-01T00:00:00Z"})
	write("index/modules.json", index)
	return dir
}

// levels are the vulnerabilities whose module, package and function are in a binary.
type levels struct{ Module, Package, Symbol []string }

func govulncheck(t *testing.T, db, binary string) levels {
	t.Helper()
	var out, said bytes.Buffer
	cmd := vuln.Command(t.Context(), "-mode=binary", "-format=json", "-db=file://"+db, binary)
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	module, pkg, symbol := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for d := json.NewDecoder(&out); ; {
		var m struct {
			Finding *struct {
				OSV   string
				Trace []struct{ Module, Package, Function string }
			}
		}
		if err := d.Decode(&m); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if f := m.Finding; f != nil {
			module[f.OSV] = true
			if f.Trace[0].Package != "" {
				pkg[f.OSV] = true
			}
			if f.Trace[0].Function != "" {
				symbol[f.OSV] = true
			}
		}
	}
	return levels{slices.Sorted(maps.Keys(module)), slices.Sorted(maps.Keys(pkg)), slices.Sorted(maps.Keys(symbol))}
}

func readProgram(t *testing.T, binary string) *image.Image {
	t.Helper()
	dir := t.TempDir()
	if err := os.Link(binary, filepath.Join(dir, "program")); err != nil {
		t.Fatal(err)
	}
	src, err := source.Open(t.Context(), "dir:"+dir, source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	img, err := inspect.Image(t.Context(), src, packages.Finders(), inspect.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func matched(t *testing.T, db string, img *image.Image) levels {
	t.Helper()
	dir := t.TempDir()
	now := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	if _, err := store.Build(t.Context(), dir, []store.Input{{Name: "go", Kind: feed.KindOSV, Path: filepath.Join(db, "ID")}}, store.Options{Now: now}); err != nil {
		t.Fatal(err)
	}
	built, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer built.Close()
	r, err := match.Image(built, img, match.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	module, pkg, symbol := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, f := range append(slices.Clone(r.Findings), r.SetAside...) {
		by := match.By("")
		if f.Aside != nil {
			by = f.Aside.By
		}
		if by == match.ByPlatform {
			continue
		}
		module[f.ID] = true
		pkg[f.ID] = pkg[f.ID] || by != match.ByPackage
		symbol[f.ID] = symbol[f.ID] || by == ""
	}
	for _, m := range []map[string]bool{pkg, symbol} {
		maps.DeleteFunc(m, func(_ string, in bool) bool { return !in })
	}
	return levels{slices.Sorted(maps.Keys(module)), slices.Sorted(maps.Keys(pkg)), slices.Sorted(maps.Keys(symbol))}
}

// TestGovulncheck: of a thousand vulnerabilities, ours finds the same in a binary as
// govulncheck does in it, at the level of modules, of packages and of functions. In a
// binary without a symbol table ours finds what it does in the same with one.
func TestGovulncheck(t *testing.T) {
	for name, p := range goPrograms {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			binary := p.build(t, false)
			img := readProgram(t, binary)
			records := vulnerabilitiesOf(img, 1000)
			db := goDatabase(t, records)
			want, got := govulncheck(t, db, binary), matched(t, db, img)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-govulncheck +ours)\n%s", diff)
				for _, r := range records {
					if slices.Contains(want.Symbol, r.ID) != slices.Contains(got.Symbol, r.ID) {
						text, _ := json.Marshal(r)
						t.Errorf("govulncheck %v: %s", slices.Contains(want.Symbol, r.ID), text)
					}
				}
			}
			t.Logf("%d in modules, %d in packages, %d in functions", len(got.Module), len(got.Package), len(got.Symbol))
			if len(got.Symbol) < 20 || len(got.Package) < len(got.Symbol)+10 || len(got.Module) < len(got.Package)+10 {
				t.Error("too few to tell the levels apart")
			}
			if diff := cmp.Diff(got, matched(t, db, readProgram(t, p.build(t, true)))); diff != "" {
				t.Errorf("without a symbol table (-with +without)\n%s", diff)
			}
		})
	}
}
