//go:build system

package oracle

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bulwark-k8s/bulwark/internal/image/layer"
	"github.com/bulwark-k8s/bulwark/internal/image/packages"
)

// These tests ask the package managers themselves, which `make image-oracle` installs.

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, stderr.String())
	}
	return string(out)
}

func sorted(text string) []string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	slices.Sort(lines)
	return lines
}

// TestRPMItself: a database that rpm has written and rewritten says to us what it says
// to rpm: dozens of packages, epochs, modules, two
// versions of one, headers of every length, packages that were removed and replaced.
func TestRPMItself(t *testing.T) {
	dir := t.TempDir()
	const count = 60
	var spec strings.Builder
	spec.WriteString("Name: many\nVersion: 1.0\nRelease: 1%{?rev}\nSummary: s\nLicense: MIT\nBuildArch: noarch\n%description\nd\n")
	files := func(i int) int { return (i * i) % 150 }
	var filelists strings.Builder
	for i := range count {
		fmt.Fprintf(&spec, "%%package -n p%d\nSummary: s\nLicense: GPL-%d\n", i, i%3)
		if i%5 == 0 {
			fmt.Fprintf(&spec, "Epoch: %d\n", i%4)
		}
		if i%7 == 0 {
			fmt.Fprintf(&spec, "Version: %d.%d~rc1\n", i, i)
		}
		if i%11 == 0 {
			fmt.Fprintf(&spec, "ModularityLabel: nodejs:%d:8060020220523160029:ad008a3a\n", i)
		}
		fmt.Fprintf(&spec, "%%description -n p%d\nd\n", i)
		fmt.Fprintf(&filelists, "%%files -n p%d\n", i)
		for f := range files(i) {
			fmt.Fprintf(&filelists, "%%ghost /usr/lib/p%d/some/folder/file-%d\n", i, f)
		}
	}
	spec.WriteString("%install\nmkdir -p %{buildroot}\n")
	for i := range count {
		if n := files(i); n > 0 {
			fmt.Fprintf(&spec, "mkdir -p %%{buildroot}/usr/lib/p%d/some/folder; cd %%{buildroot}/usr/lib/p%d/some/folder; touch $(seq -f file-%%%%g 0 %d)\n", i, i, n-1)
		}
	}
	spec.WriteString(filelists.String())
	name := filepath.Join(dir, "many.spec")
	if err := os.WriteFile(name, []byte(spec.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	build := func(rev string) []string {
		top := filepath.Join(dir, "top"+rev)
		output(t, "rpmbuild", "-bb", "--quiet", "--define", "_topdir "+top, "--define", "rev "+rev, "--define", "_binary_payload w0.gzdio", name)
		rpms, err := filepath.Glob(filepath.Join(top, "RPMS/noarch/*.rpm"))
		if err != nil || len(rpms) < count {
			t.Fatalf("%d packages were built, %v", len(rpms), err)
		}
		return rpms
	}
	first, second := build(".1"), build(".2")
	path := filepath.Join(dir, "db")
	rpm := func(args ...string) string {
		return output(t, "rpm", append([]string{"--dbpath", path, "--define", "_db_backend sqlite", "--nosignature"}, args...)...)
	}
	install := func(how string, files []string) {
		rpm(append([]string{how, "--force-debian", "--justdb", "--nodeps", "--noscripts"}, files...)...)
	}
	check := func(step string) {
		t.Helper()
		want := sorted(rpm("-qa", "--qf", `%{NAME}|%|EPOCH?{%{EPOCH}:}||%{VERSION}-%{RELEASE}|%{ARCH}|%|MODULARITYLABEL?{%{MODULARITYLABEL}}||%{LICENSE}|[%{FILENAMES},]\n`))
		for i := range want {
			want[i] = strings.Replace(want[i], "|0:|", "||", 1) // an epoch of 0 is none
		}
		f, err := os.Open(filepath.Join(path, "rpmdb.sqlite"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		found := foundIn(t, "var/lib/rpm/rpmdb.sqlite", f)
		if len(found.Gaps) > 0 {
			t.Errorf("%s: gaps %v", step, found.Gaps)
		}
		// Of one name there may be several; files are compared where there is one alone.
		count := map[string]int{}
		for _, p := range found.Packages {
			count[p.Name]++
		}
		var got []string
		for _, p := range found.Packages {
			epoch, version, ok := strings.Cut(p.Version, ":")
			if ok {
				epoch += ":"
			} else {
				epoch, version = "", p.Version
			}
			owned := ""
			if files := found.Owned["rpm:"+p.Name]; count[p.Name] == 1 && len(files) > 0 {
				owned = "/" + strings.Join(files, ",/") + ","
			}
			got = append(got, strings.Join([]string{p.Name, epoch, version, p.Arch, p.Module, strings.Join(p.Licenses, ""), owned}, "|"))
		}
		slices.Sort(got)
		for i, w := range want {
			if name, _, _ := strings.Cut(w, "|"); count[name] > 1 {
				want[i] = w[:strings.LastIndexByte(w, '|')+1]
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: packages (-rpm +got):\n%.4000s", step, diff)
		}
	}
	install("-i", first)
	check("installed")
	install("-U", second[:count/2])
	check("half of them upgraded")
	var erase []string
	for i := 0; i < count; i += 3 {
		erase = append(erase, fmt.Sprintf("p%d", i))
	}
	rpm(append([]string{"-e", "--force-debian", "--justdb", "--nodeps", "--noscripts"}, erase...)...)
	check("a third removed")
	install("-i", append(slices.Clone(second), "--oldpackage", "--replacepkgs", "--force"))
	check("two versions of some")
	rpm("--rebuilddb")
	check("rebuilt")
}

// TestDpkgItself: the database of the machine that this runs on.
func TestDpkgItself(t *testing.T) { compareDpkg(t, "/") }

// TestDebootstrap: a Debian that is as new as the archive, with what is not of packages:
// the release, shells and managers.
func TestDebootstrap(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	output(t, "debootstrap", "--variant=minbase", "bookworm", root)
	compareDpkg(t, root)

	r, err := os.OpenRoot(root)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	result, err := layer.ReadFolder(t.Context(), r, packages.OS(), layer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m := layer.Merge([]*layer.Result{result})
	system := packages.System(m.Systems)
	if system.ID != "debian" || system.Version != "12" || !strings.HasPrefix(system.Point, "12.") || system.Codename != "bookworm" || system.EndOfLife.IsZero() {
		t.Errorf("system %+v", system)
	}
	if len(m.Gaps) > 0 {
		t.Errorf("gaps %v", m.Gaps)
	}
	for _, want := range []string{"usr/bin/bash", "usr/bin/dash"} {
		if !slices.Contains(m.Shells, want) {
			t.Errorf("shells %q, want %s", m.Shells, want)
		}
	}
	for _, want := range []string{"usr/bin/apt", "usr/bin/apt-get", "usr/bin/dpkg"} {
		if !slices.Contains(m.Managers, want) {
			t.Errorf("managers %q, want %s", m.Managers, want)
		}
	}
	// Every set-id file of a new Debian is some package's, although lists say /bin/su of
	// what is usr/bin/su.
	for _, f := range m.Files {
		out := output(t, "dpkg-query", "--admindir", filepath.Join(root, "var/lib/dpkg"), "-S", "*/"+filepath.Base(f.Path))
		if owner := strings.TrimPrefix(f.Owner, "deb:"); owner == "" || !strings.Contains(out, owner+":") {
			t.Errorf("%s is of %q, dpkg says %s", f.Path, f.Owner, out)
		}
	}
	if len(m.Files) < 5 {
		t.Errorf("set-id files %v, want su, mount and others", m.Files)
	}
}

// compareDpkg holds what is read of a root's database against dpkg-query.
func compareDpkg(t *testing.T, root string) {
	t.Helper()
	admin := filepath.Join(root, "var/lib/dpkg")
	var want []string
	for _, l := range sorted(output(t, "dpkg-query", "--admindir", admin, "-W", "-f", `${Package}|${Version}|${source:Package}|${source:Version}|${Architecture}|${db:Status-Status}\n`)) {
		at := strings.LastIndexByte(l, '|')
		if state := l[at+1:]; state != "config-files" && state != "not-installed" {
			want = append(want, l[:at])
		}
	}
	f, err := os.Open(filepath.Join(admin, "status"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	found := foundIn(t, "var/lib/dpkg/status", f)
	if diff := cmp.Diff(want, known(found.Packages)); diff != "" {
		t.Errorf("packages (-dpkg +got):\n%.4000s", diff)
	}
	if len(found.Gaps) > 0 {
		t.Errorf("gaps %v", found.Gaps)
	}
	if len(want) < 50 {
		t.Errorf("%d packages, want a whole system", len(want))
	}
	// Every file that dpkg lists and that is there, and is no folder, is the package's.
	for _, p := range found.Packages {
		lists, err := filepath.Glob(filepath.Join(admin, "info", p.Name+"*.list"))
		if err != nil {
			t.Fatal(err)
		}
		for _, list := range lists {
			if name, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(list), ".list"), ":"); name != p.Name {
				continue
			}
			f, err := os.Open(list)
			if err != nil {
				t.Fatal(err)
			}
			owned := foundIn(t, "var/lib/dpkg/info/"+filepath.Base(list), f).Owned["deb:"+p.Name]
			f.Close()
			b, err := os.ReadFile(list)
			if err != nil {
				t.Fatal(err)
			}
			has := map[string]bool{}
			for _, path := range owned {
				has["/"+path] = true
			}
			for line := range strings.Lines(string(b)) {
				line = strings.TrimSuffix(line, "\n")
				if info, err := os.Stat(filepath.Join(root, line)); err == nil && !info.IsDir() && !has[line] { // /lib is a link to a folder
					t.Errorf("%s does not own %s", p.Name, line)
				}
			}
		}
	}
}
