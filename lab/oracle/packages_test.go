package oracle

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	scalibr "github.com/google/osv-scalibr/binary/proto/config_go_proto"
	"github.com/google/osv-scalibr/extractor"
	"github.com/google/osv-scalibr/extractor/filesystem"
	scalibrapk "github.com/google/osv-scalibr/extractor/filesystem/os/apk"
	apkmeta "github.com/google/osv-scalibr/extractor/filesystem/os/apk/metadata"
	scalibrdpkg "github.com/google/osv-scalibr/extractor/filesystem/os/dpkg"
	dpkgmeta "github.com/google/osv-scalibr/extractor/filesystem/os/dpkg/metadata"
	scalibrrpm "github.com/google/osv-scalibr/extractor/filesystem/os/rpm"
	rpmmeta "github.com/google/osv-scalibr/extractor/filesystem/os/rpm/metadata"
	scalibrfs "github.com/google/osv-scalibr/fs"
	"github.com/google/osv-scalibr/log"
	rpmdb "github.com/knqyf263/go-rpmdb/pkg"

	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/image/layer"
	"github.com/bulwark-k8s/bulwark/internal/image/packages"
)

// quiet is scalibr's log, of which there is a line for each oddity.
type quiet struct{}

func (quiet) Errorf(string, ...any) {}
func (quiet) Error(...any)          {}
func (quiet) Warnf(string, ...any)  {}
func (quiet) Warn(...any)           {}
func (quiet) Infof(string, ...any)  {}
func (quiet) Info(...any)           {}
func (quiet) Debugf(string, ...any) {}
func (quiet) Debug(...any)          {}

// foundIn has a file read by the finders that want it.
func foundIn(t testing.TB, path string, content *os.File) *layer.Found {
	t.Helper()
	info, err := content.Stat()
	if err != nil {
		t.Fatal(err)
	}
	f := &layer.File{Path: path, Mode: 0o644, Size: info.Size(), Content: content}
	all := &layer.Found{Owned: map[string][]string{}}
	for _, finder := range packages.OS() {
		if !finder.Wants(f) {
			continue
		}
		found, err := finder.Read(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		all.Packages = append(all.Packages, found.Packages...)
		all.Gaps = append(all.Gaps, found.Gaps...)
		for owner, paths := range found.Owned {
			all.Owned[owner] = append(all.Owned[owner], paths...)
		}
	}
	return all
}

// line is what both must say of a package. Source and its version are filled in where
// they are the package's own.
func line(name, version, source, sourceVersion, arch string) string {
	if source == "" {
		source = name
	}
	if sourceVersion == "" {
		sourceVersion = version
	}
	fields := []string{name, version, source, sourceVersion, arch}
	for i, f := range fields {
		fields[i] = strings.TrimSpace(f)
	}
	return strings.Join(fields, "|")
}

func known(all []image.Package) []string {
	var lines []string
	for _, p := range all {
		if p.Version != "" { // scalibr leaves out what has none
			lines = append(lines, line(p.Name, p.Version, p.Source, p.SourceVersion, p.Arch))
		}
	}
	slices.Sort(lines)
	return lines
}

// beQuiet is once for all: scalibr's log is the process's.
var beQuiet = sync.OnceFunc(func() { log.SetLogger(quiet{}) })

// scalibrs are the packages that scalibr's extractor finds in a file below a root; false
// where it gives up on it.
func scalibrs(t testing.TB, e filesystem.Extractor, root, path string) ([]string, bool) {
	t.Helper()
	beQuiet()
	f, err := os.Open(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	found, err := e.Extract(t.Context(), &filesystem.ScanInput{FS: scalibrfs.DirFS(root), Path: path, Root: root, Reader: f, Info: info})
	if err != nil {
		return nil, false
	}
	var lines []string
	for _, p := range found.Packages {
		lines = append(lines, theirLine(t, p))
	}
	slices.Sort(lines)
	return lines, true
}

func theirLine(t testing.TB, p *extractor.Package) string {
	switch m := p.Metadata.(type) {
	case *dpkgmeta.Metadata:
		return line(p.Name, p.Version, m.SourceName, m.SourceVersion, m.Architecture)
	case *apkmeta.Metadata:
		return line(p.Name, p.Version, m.OriginName, "", m.Architecture)
	case *rpmmeta.Metadata:
		version := p.Version
		if m.Epoch != 0 {
			version = fmt.Sprintf("%d:%s", m.Epoch, p.Version)
		}
		return line(p.Name, version, "", "", m.Architecture) // its metadata has the source's file name only
	}
	t.Fatalf("metadata %T", p.Metadata)
	return ""
}

// a database that is made up for one comparison: what records are like, and how lines of
// it are changed.
type database struct {
	name, path string
	extractor  func() (filesystem.Extractor, error)
	record     func(r *rand.Rand) []string
}

var databases = []database{
	{
		name: "dpkg", path: "var/lib/dpkg/status",
		extractor: func() (filesystem.Extractor, error) { return scalibrdpkg.New(&scalibr.PluginConfig{}) },
		record: func(r *rand.Rand) []string {
			lines := []string{
				"Package: " + oneOf(r, "libc6", "bsdutils", "x", "g++", "libstdc++6"),
				"Status: " + oneOf(r, "install ok installed", "hold ok installed", "deinstall ok config-files", "purge ok not-installed", "install ok installed"),
				"Architecture: " + oneOf(r, "amd64", "all", "i386"),
				"Version: " + oneOf(r, "1:2.38.1-5+deb12u3", "2.36-9", "0~rc1", "1"),
				"Maintainer: Müller <a@b.c>",
				"Description: words",
				" more words: with a colon",
				" .",
			}
			if r.IntN(2) == 0 {
				lines = append(lines, "Source: "+oneOf(r, "util-linux (2.38.1-5+deb12u3)", "glibc", "x", "gcc-12 (12.2.0-14)"))
			}
			return lines
		},
	},
	{
		name: "apk", path: "lib/apk/db/installed",
		extractor: func() (filesystem.Extractor, error) { return scalibrapk.New(&scalibr.PluginConfig{}) },
		record: func(r *rand.Rand) []string {
			return []string{
				"C:Q1abc=", "P:" + oneOf(r, "musl", "busybox", "so:x", ".build-deps"), "V:" + oneOf(r, "1.2.4-r0", "3.1_git20240101-r1"),
				"A:" + oneOf(r, "x86_64", "noarch"), "o:" + oneOf(r, "musl", "busybox"), "L:MIT", "F:lib", "R:a:b", "Z:Q1x=", "F:",
			}
		},
	},
}

func oneOf(r *rand.Rand, of ...string) string { return of[r.IntN(len(of))] }

// spoil changes lines as broken disks, editors and other writers do.
func spoil(r *rand.Rand, lines []string) []string {
	for range r.IntN(4) {
		if len(lines) < 2 {
			return lines
		}
		i := r.IntN(len(lines))
		switch r.IntN(7) {
		case 0:
			lines = slices.Delete(lines, i, i+1)
		case 1:
			lines = slices.Insert(lines, i, lines[i])
		case 2:
			j := r.IntN(len(lines))
			lines[i], lines[j] = lines[j], lines[i]
		case 3:
			lines[i] = lines[i][:r.IntN(len(lines[i])+1)]
		case 4:
			lines = slices.Insert(lines, i, "")
		case 5:
			lines[i] += "\r"
		case 6:
			key, value, _ := strings.Cut(lines[i], ":")
			lines[i] = oneOf(r, strings.ToLower(key), key) + ":" + oneOf(r, "", " ", "\t") + value
		}
	}
	return lines
}

// TestPackagesOfText: dpkg's and apk's databases, whole and spoilt, say the same to
// scalibr. Where they differ, it is for one of these reasons:
//
//   - scalibr gives up on a file with one line that it does not understand, and then has
//     nothing to compare; here the rest is read.
//   - It counts no package that has no version, and none of dpkg's that is not "installed"
//     (TestPackagesOnDisk); here the first is of unknown version.
//   - A value that goes on in a second line is one value for it, and here its first line.
//     dpkg has no such value among those that are read: the records that are made up here
//     have none either, but by being spoilt.
//   - A line of blanks goes on with what was before for it; here it ends a record, which
//     Debian's policy (5.1) leaves to parsers. dpkg writes none.
//   - Of a field that is there twice, the first counts for it even when it is empty, and
//     a version of blanks is one. dpkg refuses both.
//   - A status that is none of dpkg's is not installed for it. Here the package counts,
//     and there is a gap; where there is one, the rest of the file is not compared.
//   - It keeps blanks around apk's values, which apk has none of: line takes them off.
func TestPackagesOfText(t *testing.T) {
	for _, db := range databases {
		t.Run(db.name, func(t *testing.T) {
			e, err := db.extractor()
			if err != nil {
				t.Fatal(err)
			}
			root := t.TempDir()
			if err := os.MkdirAll(filepath.Join(root, filepath.Dir(db.path)), 0o755); err != nil {
				t.Fatal(err)
			}
			compared := 0
			tries := scaled(2000)
			for seed := range uint64(tries) {
				r := rand.New(rand.NewPCG(seed, 1))
				var lines []string
				for range 1 + r.IntN(4) {
					lines = append(append(lines, db.record(r)...), "")
				}
				in := strings.Join(spoil(r, lines), "\n") + "\n"
				if odd(in) {
					continue
				}
				name := filepath.Join(root, db.path)
				if err := os.WriteFile(name, []byte(in), 0o644); err != nil {
					t.Fatal(err)
				}
				want, ok := scalibrs(t, e, root, db.path)
				if !ok {
					continue
				}
				f, err := os.Open(name)
				if err != nil {
					t.Fatal(err)
				}
				found := foundIn(t, db.path, f)
				f.Close()
				if len(found.Gaps) > 0 {
					continue
				}
				got := known(found.Packages)
				compared++
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("seed %d (-scalibr +got):\n%s\nof:\n%s", seed, diff, in)
				}
			}
			if compared < tries/2 {
				t.Errorf("%d of %d are compared, want half", compared, tries)
			}
		})
	}
}

// odd reports whether a value of those that are read goes on in a second line, or is
// empty, or whether a line is of blanks alone: see TestPackagesOfText.
func odd(in string) bool {
	lines := strings.Split(in, "\n")
	for i, l := range lines {
		blank := l != "" && strings.Trim(l, " \t\r") == ""
		goesOn := strings.HasPrefix(l, " ") && (i == 0 || !strings.HasPrefix(lines[i-1], " ") && !strings.HasPrefix(lines[i-1], "Description:"))
		empty := strings.HasSuffix(strings.TrimSpace(l), ":") && l != "F:"
		if blank || goesOn || empty {
			return true
		}
	}
	return false
}

// TestPackagesOnDisk: the one difference that is meant. Packages that dpkg has unpacked
// and not configured are on the disk, and their faults with them.
func TestPackagesOnDisk(t *testing.T) {
	in := "Package: x\nStatus: install ok half-configured\nVersion: 1\n\nPackage: y\nStatus: install ok triggers-pending\nVersion: 1\n\nPackage: z\nStatus: install ok installed\nVersion: 1\n"
	root := t.TempDir()
	name := filepath.Join(root, "status")
	if err := os.WriteFile(name, []byte(in), 0o644); err != nil {
		t.Fatal(err)
	}
	e, err := scalibrdpkg.New(&scalibr.PluginConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if want, _ := scalibrs(t, e, root, "status"); !slices.Equal(want, []string{"z|1|z|1|"}) {
		t.Errorf("scalibr: %q: the comment here is out of date", want)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := known(foundIn(t, "var/lib/dpkg/status", f).Packages); len(got) != 3 {
		t.Errorf("got %q, want three", got)
	}
}

// TestPackagesOfRPM: real databases of fourteen systems, in SQLite, ndb, and Berkeley DB
// of both byte orders, say the same to another library, files and module labels included,
// and to scalibr.
func TestPackagesOfRPM(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/knqyf263/go-rpmdb").Output()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "pkg/testdata/*/*"))
	if err != nil {
		t.Fatal(err)
	}
	e, err := scalibrrpm.New(&scalibr.PluginConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 14 {
		t.Fatalf("databases %v, want 14 at least", files)
	}
	modules := 0
	for _, file := range files {
		t.Run(filepath.Base(filepath.Dir(file)), func(t *testing.T) {
			// SQLite is opened for writing by others, beside which it makes files.
			root := t.TempDir()
			path := "var/lib/rpm/" + filepath.Base(file)
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(filepath.Join(root, "var/lib/rpm"), 0o755); err != nil {
				t.Fatal(err)
			}
			name := filepath.Join(root, path)
			if err := os.WriteFile(name, b, 0o644); err != nil {
				t.Fatal(err)
			}
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			found := foundIn(t, path, f)
			if len(found.Gaps) > 0 {
				t.Errorf("gaps: %v", found.Gaps)
			}
			var got, short []string
			for _, p := range found.Packages {
				got = append(got, fmt.Sprintf("%s|%s|%s|%s|%s", p.Name, p.Version, p.Arch, p.Module, strings.Join(p.Licenses, "")))
				short = append(short, line(p.Name, p.Version, "", "", p.Arch))
				if p.Module != "" {
					modules++
				}
			}
			slices.Sort(got)
			slices.Sort(short)

			db, err := rpmdb.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			list, err := db.ListPackages()
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			files := map[string][]string{}
			for _, p := range list {
				if p.Name == "gpg-pubkey" {
					continue
				}
				version := p.Version + "-" + p.Release
				if p.EpochNum() != 0 {
					version = fmt.Sprintf("%d:%s", p.EpochNum(), version)
				}
				want = append(want, fmt.Sprintf("%s|%s|%s|%s|%s", p.Name, version, p.Arch, p.Modularitylabel, p.License))
				names, err := p.InstalledFileNames()
				if err != nil {
					t.Fatal(err)
				}
				for _, n := range names {
					if n = strings.Trim(n, "/"); n != "" {
						files["rpm:"+p.Name] = append(files["rpm:"+p.Name], n)
					}
				}
			}
			slices.Sort(want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("packages (-go-rpmdb +got):\n%s", diff)
			}
			// The library has also the files that rpm was told to leave out.
			for owner, paths := range found.Owned {
				of := map[string]bool{}
				for _, p := range files[owner] {
					of[p] = true
				}
				for _, p := range paths {
					if !of[p] {
						t.Errorf("%s does not own %s", owner, p)
					}
				}
			}
			pkgs, ok := scalibrs(t, e, root, path)
			pkgs = slices.DeleteFunc(pkgs, func(l string) bool { return strings.HasPrefix(l, "gpg-pubkey|") })
			if diff := cmp.Diff(pkgs, short); !ok || diff != "" {
				t.Errorf("packages (-scalibr +got):\n%s", diff)
			}
		})
	}
	if modules == 0 {
		t.Error("no package of a module among them")
	}
}
