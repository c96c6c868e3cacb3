package packages

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/bulwark-k8s/bulwark/internal/image"
)

// debs are packages as lines: name, version, source, its version, architecture.
func debs(packages []image.Package) []string {
	var lines []string
	for _, p := range packages {
		lines = append(lines, strings.Join([]string{p.Name, p.Version, p.Source, p.SourceVersion, p.Arch}, "|"))
	}
	return lines
}

func TestDpkgStatus(t *testing.T) {
	for _, c := range []struct {
		name, path, in string
		want           []string
		gaps           int
	}{
		{
			name: "a binary's own version is not its source's",
			in: "Package: bsdutils\nEssential: yes\nStatus: install ok installed\nArchitecture: amd64\n" +
				"Source: util-linux (2.38.1-5+deb12u3)\nVersion: 1:2.38.1-5+deb12u3\nDescription: basic utilities\n more\n .\n Package: inner\n\n" +
				"Package: util-linux\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.38.1-5+deb12u3\n",
			want: []string{"bsdutils|1:2.38.1-5+deb12u3|util-linux|2.38.1-5+deb12u3|amd64", "util-linux|2.38.1-5+deb12u3|||amd64"},
		},
		{
			name: "what is wanted does not say what there is",
			in: "Package: held\nStatus: hold ok installed\nVersion: 1\n\n" +
				"Package: leaving\nStatus: deinstall ok installed\nVersion: 1\n\n" +
				"Package: broken\nStatus: install reinstreq half-configured\nVersion: 1\n\n" +
				"Package: waiting\nStatus: install ok triggers-awaited\nVersion: 1\n\n" +
				"Package: pending\nStatus: install ok triggers-pending\nVersion: 1\n\n" +
				"Package: new\nStatus: install ok unpacked\nVersion: 1\n\n" +
				"Package: half\nStatus: install reinstreq half-installed\nVersion: 1\n\n" +
				"Package: removed\nStatus: deinstall ok config-files\nVersion: 1\n\n" +
				"Package: purged\nStatus: purge ok not-installed\n\n" +
				"Package: heard-of\nVersion: 1\n\n",
			want: []string{"held|1|||", "leaving|1|||", "broken|1|||", "waiting|1|||", "pending|1|||", "new|1|||", "half|1|||"},
		},
		{
			name: "a status that dpkg does not have is counted and told",
			in:   "Package: odd\nStatus: install ok perhaps\nVersion: 1\n\nPackage: short\nStatus: installed\nVersion: 2\n",
			want: []string{"odd|1|||", "short|2|||"},
			gaps: 2,
		},
		{
			name: "two architectures are two packages",
			in:   "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2\n\nPackage: libc6\nStatus: install ok installed\nArchitecture: i386\nVersion: 2\n",
			want: []string{"libc6|2|||amd64", "libc6|2|||i386"},
		},
		{
			name: "a record without a version is of unknown version",
			in:   "Package: x\nStatus: install ok installed\n",
			want: []string{"x||||"},
		},
		{
			name: "names of fields in any case, spaces, carriage returns, several empty lines",
			in:   "\n\n\nPACKAGE:  x \r\nstatus : install  ok installed\r\nVersion:1\r\n\r\n \t\n\nPackage: y\nStatus: install ok installed\nVersion: 2",
			want: []string{"x|1|||", "y|2|||"},
		},
		{
			name: "the first of two fields counts",
			in:   "Package: x\nPackage: y\nStatus: install ok installed\nVersion: 1\nVersion: 2\n",
			want: []string{"x|1|||"},
		},
		{
			name: "a source that is not closed is one all the same",
			in:   "Package: x\nStatus: install ok installed\nVersion: 1\nSource: y (2\n\nPackage: z\nStatus: install ok installed\nVersion: 1\nSource: z (1)\n",
			want: []string{"x|1|y|2|", "z|1|||"},
		},
		{
			name: "lines longer than anything and bytes that are no text",
			in:   "Package: x\nStatus: install ok installed\nMaintainer: " + strings.Repeat("\xff", 3*maxLine) + "\nVersion: 1\xff\x1b[31m\n",
			want: []string{"x|1\uFFFD\uFFFD[31m|||"},
		},
		{
			name: "distroless says no status",
			path: "var/lib/dpkg/status.d/libssl3",
			in:   "Package: libssl3\nSource: openssl\nVersion: 3.0.11-1~deb12u2\nArchitecture: amd64\n",
			want: []string{"libssl3|3.0.11-1~deb12u2|openssl||amd64"},
		},
		{
			name: "a status in status.d counts",
			path: "var/lib/dpkg/status.d/x",
			in:   "Package: x\nVersion: 1\nStatus: deinstall ok config-files\n\nPackage: y\nVersion: 1\n",
			want: []string{"y|1|||"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.path == "" {
				c.path = "var/lib/dpkg/status"
			}
			found := read(t, file(c.path, c.in))
			if diff := cmp.Diff(c.want, debs(found.Packages)); diff != "" {
				t.Errorf("packages (-want +got):\n%s", diff)
			}
			if len(found.Gaps) != c.gaps {
				t.Errorf("gaps %v, want %d", found.Gaps, c.gaps)
			}
		})
	}
}

func TestDpkgOwnsFiles(t *testing.T) {
	for _, c := range []struct {
		name, path, in string
		want           map[string][]string
	}{
		{
			name: "a list of one architecture",
			path: "var/lib/dpkg/info/libc6:amd64.list",
			in:   "/.\n/lib\n/lib/x86_64-linux-gnu\n/lib/x86_64-linux-gnu/libc.so.6\n/usr\n/usr/share\n/usr/share/doc/libc6\n/usr/share/doc/libc6/copyright\n/usr/share/empty\n",
			want: map[string][]string{"deb:libc6": {"lib/x86_64-linux-gnu/libc.so.6", "usr/share/doc/libc6/copyright", "usr/share/empty"}},
		},
		{
			name: "distroless' sums",
			path: "var/lib/dpkg/status.d/tzdata.md5sums",
			in:   "d41d8cd98f00b204e9800998ecf8427e  usr/sbin/tzconfig\n0f  usr/share/zone info/UTC\n",
			want: map[string][]string{"deb:tzdata": {"usr/sbin/tzconfig", "usr/share/zone info/UTC"}},
		},
		{name: "a list of nothing", path: "var/lib/dpkg/info/meta.list", in: ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, read(t, file(c.path, c.in)).Owned); diff != "" {
				t.Errorf("owned (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDpkgIsNotAskedOfWhatIsNoDatabase(t *testing.T) {
	for path, want := range map[string]bool{
		"var/lib/dpkg/status": true, "var/lib/dpkg/status-old": false, "var/lib/dpkg/available": false,
		"var/lib/dpkg/status.d/x": true, "var/lib/dpkg/info/x.list": true, "var/lib/dpkg/info/x.md5sums": false,
		"var/lib/dpkg/updates/0001": true, "var/lib/dpkg/updates/tmp.i": false, "srv/var/lib/dpkg/status": false,
	} {
		if got := dpkg.Wants(file(path, "")); got != want {
			t.Errorf("%s: wanted %t, want %t", path, got, want)
		}
	}
}

func TestDpkgTellsOfItsJournal(t *testing.T) {
	if found := read(t, file("var/lib/dpkg/updates/0000", "Package: x\n")); len(found.Gaps) != 1 || found.Gaps[0].Type != image.Deb {
		t.Errorf("gaps %v, want one", found.Gaps)
	}
}

func TestDpkgIsBounded(t *testing.T) {
	var b strings.Builder
	for i := range maxPackages + 1 {
		fmt.Fprintf(&b, "Package: p%d\nStatus: install ok installed\nVersion: 1\n\n", i)
	}
	found := read(t, file("var/lib/dpkg/status", b.String()))
	if len(found.Packages) != maxPackages || len(found.Gaps) != 1 {
		t.Errorf("%d packages and gaps %v, want %d and one", len(found.Packages), found.Gaps, maxPackages)
	}
	f := file("var/lib/dpkg/status", "")
	f.Size = maxDpkg + 1
	if _, err := tryRead(t, f); err == nil {
		t.Error("a status larger than any is read")
	}
}

func TestChisel(t *testing.T) {
	wall := `{"jsonwall":"1.0","schema":"1.0","count":6}
{"kind":"content","slice":"libssl3t64_libs","path":"/usr/lib/x86_64-linux-gnu/libssl.so.3"}
{"kind":"content","slice":"base-files_base","path":"/tmp/"}
{"kind":"package","name":"libssl3t64","version":"3.0.13-0ubuntu3.5","sha256":"ab","arch":"amd64"}
{"kind":"path","path":"/usr/lib/x86_64-linux-gnu/libssl.so.3","mode":"0644","slices":["libssl3t64_libs"],"size":1}
{"kind":"slice","name":"libssl3t64_libs"}
`
	found := read(t, file(chiselWall, compressed(t, wall)))
	if diff := cmp.Diff([]string{"libssl3t64|3.0.13-0ubuntu3.5|||amd64"}, debs(found.Packages)); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string][]string{"deb:libssl3t64": {"usr/lib/x86_64-linux-gnu/libssl.so.3"}}, found.Owned); diff != "" {
		t.Errorf("owned (-want +got):\n%s", diff)
	}
	if len(found.Gaps) != 1 {
		t.Errorf("gaps %v, want the one on sources", found.Gaps)
	}
	if found := read(t, file(chiselWall, compressed(t, wall)[:60])); len(found.Gaps) != 2 {
		t.Errorf("cut short: gaps %v, want two", found.Gaps)
	}
}

func compressed(t *testing.T, s string) string {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
