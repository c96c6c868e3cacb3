package packages

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/image/layer"
)

// sane holds of every finder: packages have a name and a type and are fit to be
// written, and no more is said of files than twice what was read.
func sane(t *testing.T, in string, found *layer.Found, kind image.Type) {
	t.Helper()
	for _, p := range found.Packages {
		if p.Name == "" || p.Type != kind || p.Path == "" {
			t.Errorf("package %+v: want a name, a path and the type %s", p, kind)
		}
		for _, s := range []string{p.Name, p.Version, p.Source, p.SourceVersion, p.Arch, p.Module, strings.Join(p.Licenses, "")} {
			if !utf8.ValidString(s) || strings.IndexFunc(s, unprinted) >= 0 {
				t.Errorf("package %+v: %q is not fit to be written", p, s)
			}
		}
		if p.Source == p.Name && p.Source != "" || p.SourceVersion == p.Version && p.Version != "" {
			t.Errorf("package %+v: its source is said twice", p)
		}
	}
	if len(found.Packages) > len(in) {
		t.Errorf("%d packages in %d bytes", len(found.Packages), len(in))
	}
	for owner, paths := range found.Owned {
		for _, p := range paths {
			if p == "" || p[0] == '/' || len(p) > maxPath {
				t.Errorf("%s owns %q", owner, p)
			}
		}
	}
}

// FuzzDpkgStatus: what is read is sane, and the order of records does not matter.
func FuzzDpkgStatus(f *testing.F) {
	f.Add("Package: x\nStatus: install ok installed\nSource: y (1)\nVersion: 2\n\nPackage: z\nStatus: hold ok half-installed\n continued\n\n", false)
	f.Add("Package:x\r\n\r\nStatus:\n\xff\x00: 1\n", true)
	f.Fuzz(func(t *testing.T, in string, distroless bool) {
		path := "var/lib/dpkg/status"
		if distroless {
			path = dpkgStatusD + "x"
		}
		of := func(in string) []string {
			found, err := tryRead(t, file(path, in))
			if err != nil {
				return nil
			}
			sane(t, in, found, image.Deb)
			all := debs(found.Packages)
			slices.Sort(all)
			return all
		}
		records := strings.Split(in, "\n\n")
		slices.Reverse(records)
		if a, b := of(in+"\n"), of(strings.Join(records, "\n\n")+"\n"); !slices.Equal(a, b) {
			t.Errorf("in order: %q, backwards: %q", a, b)
		}
	})
}

// FuzzApk: what is read is sane, and a package that is appended is read beside the rest.
func FuzzApk(f *testing.F) {
	f.Add("P:x\nV:1-r0\no:y\nL:MIT\nF:bin\nR:x\nF:\nR:y\n\nP:z\nV:2\n")
	f.Add("P:\nR:../../etc\nF:/\n\nV\xff\x00:1\n\n\n")
	f.Fuzz(func(t *testing.T, in string) {
		found := read(t, file("lib/apk/db/installed", in))
		sane(t, in, found, image.Apk)
		more := read(t, file("lib/apk/db/installed", in+"\n\nP:one-more\nV:1\n"))
		if len(more.Packages) != len(found.Packages)+1 || more.Packages[len(found.Packages)].Name != "one-more" {
			t.Errorf("%d packages, with one more %d", len(found.Packages), len(more.Packages))
		}
	})
}

// FuzzDpkgFiles: what is owned is a path from the root, and nothing is added.
func FuzzDpkgFiles(f *testing.F) {
	f.Add("/.\n/usr\n/usr/bin\n/usr/bin/x\n")
	f.Add("//x\n./\n..\n\n/\n")
	f.Fuzz(func(t *testing.T, in string) {
		found := read(t, file("var/lib/dpkg/info/x:amd64.list", in))
		sane(t, in, found, image.Deb)
		for owner, paths := range found.Owned {
			for _, p := range paths {
				if owner != "deb:x" || !strings.Contains(in, p) {
					t.Errorf("%s owns %q, which is not in the list", owner, p)
				}
			}
		}
	})
}

// FuzzOSRelease: an OS that is found has an ID, its words are fit to be written, and
// quoting a value changes nothing.
func FuzzOSRelease(f *testing.F) {
	f.Add("ID=debian\nVERSION_ID=\"12\"\n", "12")
	f.Add("ID='a\\b'\nPRETTY_NAME=\"a\\\"b\"", "a \"b\" $c \\d `e`")
	f.Fuzz(func(t *testing.T, in, value string) {
		for _, path := range releases {
			found, err := tryRead(t, file(path, in))
			if err != nil || found.OS == nil {
				continue
			}
			os := *found.OS
			if os.ID == "" {
				t.Errorf("%s: an OS without an ID: %+v", path, os)
			}
			for _, s := range append([]string{os.ID, os.Version, os.Point, os.Codename, os.Name}, os.Like...) {
				if !utf8.ValidString(s) || strings.IndexFunc(s, unprinted) >= 0 {
					t.Errorf("%s: %q is not fit to be written", path, s)
				}
			}
			EndOfLife(os)
		}
		quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "`", "\\`").Replace(value)
		if got := unquote(`"` + quoted + `"`); got != value {
			t.Errorf("%q is read as %q", value, got)
		}
	})
}

// FuzzRPMList: what is read is sane, and each line is a package, a gap or neither.
func FuzzRPMList(f *testing.F) {
	f.Add("a\t1-1\t1\t1\tv\t(none)\t1\tx86_64\t2\ta-1-1.src.rpm\nb\n")
	f.Fuzz(func(t *testing.T, in string) {
		found := read(t, file(rpmManifest, in))
		sane(t, in, found, image.RPM)
		if n := strings.Count(in, "\n") + 1; len(found.Packages)+len(found.Gaps) > n {
			t.Errorf("%d packages and %d gaps in %d lines", len(found.Packages), len(found.Gaps), n)
		}
	})
}
