package packages

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/image/layer"
)

const (
	// maxGoVersion and maxGoModules are bytes. The list of Kubernetes' modules has 20 kB.
	maxGoVersion = 1 << 10
	maxGoModules = 16 << 20
	// maxGoInfo is how far the build information is looked for where it has no section: the
	// linker puts it near the beginning of what can be written to.
	maxGoInfo = 16 << 20
)

var errGoInfo = errors.New("go build information: does not have the form that is known")

// golang adds what a Go binary says of itself.
//
// Modules are what the linker was given, whether or not anything of them was used; which
// packages and functions were is in image.GoBinary. Versions are taken from nowhere else:
// what -ldflags -X puts into a variable is a text by which a program calls itself, is
// seldom of the main module alone, and says nothing of what was checked out.
func golang(ctx context.Context, x *exe, path string, found *layer.Found) error {
	gap := func(reason string) {
		found.Gaps = append(found.Gaps, image.Gap{Path: path, Type: image.Go, Reason: reason})
	}
	version, modules, err := goInfo(x)
	if err != nil {
		return err
	}
	if version == "" {
		if _, ok := x.section(".gopclntab", "__gopclntab", ".note.go.buildid", ".data.rel.ro.gopclntab"); ok {
			gap("go binary without build information: its modules are not known")
		}
		return nil
	}
	b := &image.GoBinary{Path: path}
	add := func(name, version string) {
		found.Packages = append(found.Packages, image.Package{Type: image.Go, Name: text(name), Version: text(version), Path: path, Go: b})
	}
	add("stdlib", goRelease(version))

	var info *debug.BuildInfo
	if modules != "" {
		if info, err = debug.ParseBuildInfo(modules); err != nil {
			return fmt.Errorf("go build information: %w", err)
		}
	}
	main := ""
	if info != nil {
		main, b.Main = info.Path, info.Main.Path
		for _, s := range info.Settings {
			switch s.Key {
			case "GOOS":
				b.GOOS = s.Value
			case "GOARCH":
				b.GOARCH = s.Value
			}
		}
		if len(info.Deps) > maxPackages {
			return fmt.Errorf("go build information: more than %d modules", maxPackages)
		}
		if info.Main.Path != "" {
			add(info.Main.Path, mainVersion(&info.Main))
		}
		for _, m := range info.Deps {
			if m != nil && m.Path != "" {
				add(goModule(m))
				if p := &found.Packages[len(found.Packages)-1]; p.Name != m.Path {
					p.Source = text(m.Path)
				}
			}
		}
	}
	packages, functions, err := goFunctions(ctx, x, main)
	if err := ctx.Err(); err != nil {
		return err
	}
	if err == nil {
		b.Packages, b.Functions = packages, functions
	}
	bare := info == nil || info.Main.Path == "" && len(info.Deps) == 0
	if bare && !strings.HasPrefix(main, "cmd/") && (err != nil || slices.ContainsFunc(packages, fromModule)) {
		gap("go binary built without modules: which it contains is not known")
	}
	return nil
}

// fromModule reports whether a package is none of Go's own: those have no dot in the
// first element of their path.
func fromModule(pkg string) bool {
	first, _, _ := strings.Cut(pkg, "/")
	return strings.Contains(first, ".")
}

// goModule returns what was linked. A module that was replaced by a folder has the name
// that it is imported by, and no version: the folder may hold anything.
func goModule(m *debug.Module) (name, version string) {
	if m.Replace == nil {
		v := strings.TrimPrefix(m.Version, "v")
		if v == "(devel)" { // of the same workspace as the main module
			v = ""
		}
		return m.Path, v
	}
	if r := m.Replace; r.Version != "" && !strings.HasPrefix(r.Path, ".") && !strings.HasPrefix(r.Path, "/") {
		return r.Path, strings.TrimPrefix(r.Version, "v")
	}
	return m.Path, ""
}

// mainVersion is the main module's. Go writes "(devel)", or since 1.24 what the version
// control system says: a version that begins with v0.0.0- only means that no tag was
// there (a shallow clone has none), and is no version to compare.
func mainVersion(m *debug.Module) string {
	v := strings.TrimPrefix(m.Version, "v")
	if v == "(devel)" || strings.HasPrefix(v, "0.0.0-") || v == "0.0.0" {
		return ""
	}
	v, _, _ = strings.Cut(v, "+dirty")
	return v
}

var goReleases = regexp.MustCompile(`^go([0-9]+)\.([0-9]+)(\.[0-9]+)?(?:(rc|beta)([0-9]+))?(?:$|[-+ ]|b[0-9])`)

// goRelease makes a version of Go one that is compared as all others: "1.22.0" of
// "go1.22", "1.21.0-rc.2" of "go1.21rc2", "1.18.5" of "go1.18.5b7" (BoringCrypto) and of
// "go1.18.5 X:unified". A version between releases has none.
func goRelease(v string) string {
	m := goReleases.FindStringSubmatch(v)
	if m == nil {
		return ""
	}
	patch := m[3]
	if patch == "" {
		if rest := v[len(m[0]):]; m[4] == "" && rest != "" && strings.HasSuffix(m[0], "-") {
			return "" // "go1.25-20250209-RC00" comes before go1.25
		}
		patch = ".0"
	}
	if m[4] != "" {
		patch += "-" + m[4] + "." + m[5]
	}
	return m[1] + "." + m[2] + patch
}

// goInfo reads the build information as debug/buildinfo does, but bounded: the toolchain's
// version and the text of the modules. The version is empty where there is none.
func goInfo(x *exe) (version, modules string, err error) {
	at, ok := x.section(".go.buildinfo", "__go_buildinfo")
	if !ok {
		if x.elf && len(x.sections) > 0 {
			return "", "", nil
		}
		for _, s := range x.loads {
			if s.writable {
				at, ok = s, true
				break
			}
		}
		if !ok {
			return "", "", nil
		}
	}
	const headerSize = 32
	var header []byte
	var start uint64
	x.search(at, maxGoInfo, []byte("\xff Go buildinf:"), func(addr uint64) bool {
		if addr%16 != 0 {
			return false
		}
		r, ok := x.from(addr)
		if !ok {
			return false
		}
		b := make([]byte, headerSize)
		if n, _ := r.ReadAt(b, 0); n == headerSize {
			header, start = b, addr
		}
		return header != nil
	})
	if header == nil {
		return "", "", nil
	}
	if header[15]&2 != 0 { // since Go 1.18: lengths and texts follow
		version, n, err := x.counted(start+headerSize, maxGoVersion)
		if err != nil {
			return "", "", err
		}
		modules, _, err := x.counted(start+headerSize+n, maxGoModules)
		if err != nil {
			return "", "", err
		}
		return version, unframed(modules), nil
	}
	// Before, pointers to strings of Go.
	if uint64(header[14]) != x.word {
		return "", "", errGoInfo
	}
	if version, err = x.goString(x.pointer(header[16:]), maxGoVersion); err != nil {
		return "", "", err
	}
	if modules, err = x.goString(x.pointer(header[16+x.word:]), maxGoModules); err != nil {
		return "", "", err
	}
	return version, unframed(modules), nil
}

// unframed removes the sixteen bytes before and after the list of modules by which the
// linker's text can be found in memory.
func unframed(s string) string {
	if len(s) < 33 || s[len(s)-17] != '\n' {
		return ""
	}
	return s[16 : len(s)-16]
}

// counted reads a text after its length, and says how many bytes both have.
func (x *exe) counted(addr, limit uint64) (string, uint64, error) {
	r, ok := x.from(addr)
	if !ok {
		return "", 0, errGoInfo
	}
	b := make([]byte, binary.MaxVarintLen64)
	got, _ := r.ReadAt(b, 0)
	length, n := binary.Uvarint(b[:got])
	if n <= 0 || length > limit {
		return "", 0, errGoInfo
	}
	s, err := x.text(addr+uint64(n), length)
	return s, uint64(n) + length, err
}

// goString reads what a string's header at an address points to.
func (x *exe) goString(addr, limit uint64) (string, error) {
	if addr == 0 {
		return "", nil
	}
	h, ok := x.words(addr, 2, nil)
	if !ok || h[1] > limit {
		return "", errGoInfo
	}
	return x.text(h[0], h[1])
}

func (x *exe) text(addr, length uint64) (string, error) {
	if length == 0 {
		return "", nil
	}
	r, ok := x.from(addr)
	if !ok || length > uint64(r.Size()) {
		return "", errGoInfo
	}
	b := make([]byte, length)
	if _, err := r.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("go build information: %w", err)
	}
	return string(b), nil
}
