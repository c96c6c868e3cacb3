package packages

import (
	"bytes"
	"compress/zlib"
	"debug/elf"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/image/layer"
)

// A program with a module that is replaced by a folder, a function that is always
// inlined, a generic one, and a method.
var shop = map[string]string{
	"go.mod": "module example.org/shop\n\ngo 1.21\n\nrequire example.org/cart v0.1.0\n\nreplace example.org/cart v0.1.0 => ./cart\n",
	"main.go": `package main

import (
	"os"

	"example.org/cart/sum.up"
)

func main() { println(sum.Inlined(len(os.Args)), sum.Generic[int](3), (&sum.Cart[string]{}).Total()) }
`,
	"cart/go.mod": "module example.org/cart\n\ngo 1.21\n",
	"cart/sum.up/sum.go": `package sum

import "sort"

func Inlined(i int) int { return i*i + 1 }

//go:noinline
func Generic[T int | string](t T) T { return t }

type Cart[T any] struct{ prices []int }

//go:noinline
func (c *Cart[T]) Total() int { sort.Ints(c.prices); return len(c.prices) }

func Unused() {}
`,
}

func build(t testing.TB, flags ...string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range shop {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(dir, "shop")
	c := exec.CommandContext(t.Context(), "go", append(append([]string{"build", "-o", out}, flags...), ".")...)
	c.Dir = dir
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false", "GOWORK=off", "GOPROXY=off")
	if b, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", c.Args, err, b)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestGoBinary(t *testing.T) {
	var first *image.GoBinary
	for _, tt := range []struct {
		name  string
		flags []string
	}{
		{"plain", nil},
		{"stripped, with a version that the linker was told", []string{"-trimpath", "-ldflags=-s -w -X main.version=v9.9.9"}},
		{"independent of its position", []string{"-buildmode=pie", "-ldflags=-s -w"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			found := read(t, file("usr/bin/shop", build(t, tt.flags...)))
			sameAs(t, image.Go, "shop", []image.Package{
				want("stdlib", goRelease(runtime.Version())), want("example.org/shop", ""), want("example.org/cart", ""),
			}, found.Packages)
			b := found.Packages[0].Go
			if b == nil || b.GOOS != runtime.GOOS || b.GOARCH != runtime.GOARCH || b.Main != "example.org/shop" || b.Path != "usr/bin/shop" || b.Functions == nil {
				t.Fatalf("%+v", b)
			}
			for _, p := range found.Packages {
				if p.Go != b {
					t.Errorf("%s does not share what is known of the binary", p.Name)
				}
			}
			for _, f := range [][2]string{{"example.org/cart/sum.up", "Inlined"}, {"example.org/cart/sum.up", "Generic"}, {"example.org/cart/sum.up", "Cart.Total"}, {"example.org/shop", "main"}, {"runtime", "mallocgc"}, {"sort", "Ints"}} {
				if !b.Functions.Has(f[0], f[1]) {
					t.Errorf("%s %s is missing", f[0], f[1])
				}
			}
			if b.Functions.Has("example.org/cart/sum.up", "Unused") {
				t.Error("a function that is not linked is found")
			}
			if !slices.IsSorted(b.Packages) || !slices.Contains(b.Packages, "example.org/cart/sum.up") || slices.Contains(b.Packages, "net/http") || slices.Contains(b.Packages, "main") {
				t.Errorf("packages: %v", b.Packages)
			}
			if first == nil {
				first = b
			}
			if diff := cmp.Diff(first.Packages, b.Packages); diff != "" {
				t.Errorf("packages differ from those of the plain one (-plain +this):\n%s", diff)
			}
		})
	}
}

func TestGoBinaryThatSaysLittle(t *testing.T) {
	whole := build(t)
	f, err := elf.NewFile(strings.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	erased := func(section string) string {
		b := []byte(whole)
		s := f.Section(section)
		clear(b[s.Offset:][:s.FileSize])
		return string(b)
	}
	found := read(t, file("shop", erased(".go.buildinfo")))
	if len(found.Packages) != 0 || len(found.Gaps) != 1 || !strings.Contains(found.Gaps[0].Reason, "without build information") {
		t.Errorf("without build information: %+v", found)
	}
	found = read(t, file("shop", erased(".gopclntab")))
	if len(found.Packages) != 3 || found.Packages[0].Go.Packages != nil || found.Packages[0].Go.Functions != nil {
		t.Errorf("without a function table: %+v", found)
	}
	found = read(t, file("shop", strings.Replace(whole, "\npath\texample.org/shop\nmod\t", "\nhtap\texample.org/shop\ndom\t", 1)))
	if len(found.Packages) == 0 || found.Packages[0].Name != "stdlib" {
		t.Errorf("without a main module: %+v", found)
	}
	found = read(t, file("shop", whole[:0x100]+"UPX!"+whole[0x104:]))
	if len(found.Packages) != 0 || len(found.Gaps) != 1 || !strings.Contains(found.Gaps[0].Reason, "UPX") {
		t.Errorf("packed: %+v", found)
	}
	bare := []byte(whole) // as sstrip leaves it
	clear(bare[0x28:0x30])
	clear(bare[0x3a:0x40])
	found = read(t, file("shop", string(bare)))
	if len(found.Packages) != 3 || found.Packages[0].Go.Functions == nil || !found.Packages[0].Go.Functions.Has("example.org/cart/sum.up", "Inlined") {
		t.Errorf("without sections: %+v", found)
	}
}

func TestGoRelease(t *testing.T) {
	for v, want := range map[string]string{
		"go1.22.3": "1.22.3", "go1.22": "1.22.0", "go1.21rc2": "1.21.0-rc.2", "go1.20beta1": "1.20.0-beta.1", "go1.26.8 X:nodwarf5": "1.26.8",
		"go1.18.5b7": "1.18.5", "go1.21.13 (Red Hat 1.21.13-4.el9_4)": "1.21.13", "go1.22.3-1": "1.22.3",
		"go1.25-20250209-RC00 cl/724":   "",
		"devel go1.23-abcdef Mon Jan 1": "", "": "", "go1": "", "go1.x": "", "1.22.3": "",
	} {
		if got := goRelease(v); got != want {
			t.Errorf("%q: got %q, want %q", v, got, want)
		}
	}
}

func TestGoName(t *testing.T) {
	for name, want := range map[string][2]string{
		"net/http.(*Client).Do":                          {"net/http", "Client.Do"},
		"net/http.HandlerFunc.ServeHTTP":                 {"net/http", "HandlerFunc.ServeHTTP"},
		"net/http.(*Client).do.func2.1":                  {"net/http", "Client.do.func2.1"},
		"gopkg.in/yaml%2ev3.Unmarshal":                   {"gopkg.in/yaml.v3", "Unmarshal"},
		"go.uber.org/zap.(*Logger).Info":                 {"go.uber.org/zap", "Logger.Info"},
		"slices.Sort[go.shape.[]a/b.C,go.shape.int]":     {"slices", "Sort"},
		"sync/atomic.(*Pointer[go.shape.struct{}]).Load": {"sync/atomic", "Pointer.Load"},
		"x.F[a/b.T].func1":                               {"x", "F.func1"},
		"vendor/golang.org/x/net/http2/hpack.init":       {"vendor/golang.org/x/net/http2/hpack", "init"},
		"main.main":                {"main", "main"},
		"_rt0_amd64_linux":         {"", ""},
		"type:.eq.net/http.Client": {"", ""},
		"go:buildid":               {"", ""},
		"x%zz.F":                   {"", ""},
	} {
		if pkg, function := goName(name, true); pkg != want[0] || function != want[1] {
			t.Errorf("%s: got %s %s, want %s %s", name, pkg, function, want[0], want[1])
		}
	}
	for _, name := range []string{"type..eq.net/http.Client", "go.(*struct { sync.Mutex; x int }).Lock", "go.buildid"} {
		if pkg, _ := goName(name, false); pkg != "" {
			t.Errorf("%s, which Go 1.19's compiler made, is of package %s", name, pkg)
		}
	}
}

// withSection makes an ELF file that has one section.
func withSection(name string, content []byte) string {
	names := "\x00" + name + "\x00.shstrtab\x00"
	var b bytes.Buffer
	at := uint64(64)
	sections := []elf.Section64{
		{},
		{Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: at, Size: uint64(len(content))},
		{Name: uint32(len(name)) + 2, Type: uint32(elf.SHT_STRTAB), Off: at + uint64(len(content)), Size: uint64(len(names))},
	}
	h := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1},
		Type:  uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: 1, Ehsize: 64, Phentsize: 56,
		Shoff: at + uint64(len(content)+len(names)), Shentsize: 64, Shnum: 3, Shstrndx: 2,
	}
	for _, part := range []any{h, content, []byte(names), sections} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			panic(err)
		}
	}
	return b.String()
}

func packedCrates(content string) []byte {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	if _, err := w.Write([]byte(content)); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

const crates = `{"packages":[{"name":"bytes","version":"1.1.0","source":"crates.io","features":["std"]},
{"name":"shop","version":"0.1.0","source":"local","dependencies":[0,2],"root":true},
{"name":"syn","version":"2.0.1","source":"crates.io","kind":"build"}]}`

func TestCargo(t *testing.T) {
	syn := want("syn", "2.0.1")
	syn.Dev = true
	found := read(t, file("usr/bin/shop", withSection(".dep-v0", packedCrates(crates))))
	sameAs(t, image.Cargo, "shop", []image.Package{want("bytes", "1.1.0"), want("shop", "0.1.0"), syn}, found.Packages)
	for name, content := range map[string][]byte{
		"no list": packedCrates("[]"), "not packed": []byte(crates), "a bomb": packedCrates(strings.Repeat(" ", maxCrates+1)),
	} {
		if _, err := tryRead(t, file("usr/bin/shop", withSection(".dep-v0", content))); err == nil {
			t.Errorf("%s is read without an error", name)
		}
	}
}

func TestExecutablesOfOthers(t *testing.T) {
	for name, content := range map[string]string{
		"an ELF file of C": withSection(".comment", []byte("GCC")), "a program of DOS": "MZ" + strings.Repeat("\x00", 100),
	} {
		if found := read(t, file("x", content)); len(found.Packages) > 0 || len(found.Gaps) > 0 {
			t.Errorf("%s: %+v", name, found)
		}
	}
	for name, content := range map[string]string{
		"a class of Java": "\xca\xfe\xba\xbe\x00\x00\x00\x34" + strings.Repeat("\x00", 100), "an object": "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 9) + "\x01" + strings.Repeat("\x00", 100),
		"a few bytes": "\x7fELF", "text": strings.Repeat("MIT ", 100),
	} {
		if !nobodys(file("x", content)) {
			t.Errorf("%s is wanted", name)
		}
	}
}

// FuzzBinary: whatever an executable says of itself, what is found has a name, and either
// all or nothing is known of its functions. Wants never lies: what it refuses is read as
// nothing, too.
func FuzzBinary(f *testing.F) {
	f.Add([]byte(withSection(".dep-v0", packedCrates(crates))))
	f.Add([]byte(withSection(".go.buildinfo", []byte("\xff Go buildinf:\x08\x02"+strings.Repeat("\x00", 16)+"\x08go1.22.3\x00"))))
	f.Add([]byte("MZ" + strings.Repeat("\x00", 58) + "\x40\x00\x00\x00PE\x00\x00\x64\x86\x01\x00" + strings.Repeat("\x00", 100)))
	f.Add([]byte("\xcf\xfa\xed\xfe" + strings.Repeat("\x01\x00\x00\x00", 30)))
	f.Fuzz(func(t *testing.T, b []byte) {
		in := file("x", string(b))
		found, err := binaries.Read(t.Context(), in)
		if err != nil || found == nil {
			return
		}
		if !binaries.Wants(in) && len(found.Packages) > 0 {
			t.Errorf("not wanted, but read: %+v", found)
		}
		for _, p := range found.Packages {
			if p.Name == "" || p.Go != nil && (p.Go.Packages == nil) != (p.Go.Functions == nil) {
				t.Errorf("%+v", p)
			}
		}
	})
}

// BenchmarkGoBinary is the function table of Go's own compiler: 25 MB, 22,000 functions.
func BenchmarkGoBinary(b *testing.B) {
	out, err := exec.CommandContext(b.Context(), "go", "env", "GOTOOLDIR").Output()
	if err != nil {
		b.Fatal(err)
	}
	r, err := os.Open(filepath.Join(strings.TrimSpace(string(out)), "compile"))
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		b.Fatal(err)
	}
	f := &layer.File{Path: "compile", Size: info.Size(), Content: r}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := binaries.Read(b.Context(), f); err != nil {
			b.Fatal(err)
		}
	}
}
