package inspect_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bulwark-k8s/bulwark/internal/image/layer"
	"github.com/bulwark-k8s/bulwark/internal/image/packages"
)

// stack reads layers with the finders of packages and lays them on each other. Each file
// is a name and its content; names may be "a -> b", a symbolic link, "a => b", a hard
// link, "a/", a folder, "a +x", a program, and "a +s", one with the set-user-id bit.
func stack(t *testing.T, layers ...[]string) *layer.Merged {
	t.Helper()
	var results []*layer.Result
	for _, files := range layers {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for i := 0; i < len(files); i += 2 {
			name, mode, isMode := strings.Cut(files[i], " +")
			h := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(files[i+1]))}
			switch {
			case isMode && mode == "x":
				h.Mode = 0o755
			case isMode:
				h.Mode = 0o4755
			case strings.HasSuffix(name, "/"):
				h.Typeflag = tar.TypeDir
			}
			if from, to, ok := strings.Cut(name, " -> "); ok {
				h.Name, h.Linkname, h.Typeflag = from, to, tar.TypeSymlink
			} else if from, to, ok := strings.Cut(name, " => "); ok {
				h.Name, h.Linkname, h.Typeflag = from, to, tar.TypeLink
			}
			if err := w.WriteHeader(h); err != nil {
				t.Fatal(err)
			}
			io.WriteString(w, files[i+1])
		}
		w.Close()
		r, err := layer.Read(t.Context(), func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil }, packages.OS(), layer.Options{})
		if err != nil {
			t.Fatal(err)
		}
		results = append(results, r)
	}
	return layer.Merge(results)
}

// deb makes records of a status file from words "name=version"; a name with a "-" behind
// it was removed and left its configuration.
func deb(packages string) string {
	var b strings.Builder
	for p := range strings.FieldsSeq(packages) {
		name, version, _ := strings.Cut(p, "=")
		state := "install ok installed"
		if n, ok := strings.CutSuffix(name, "-"); ok {
			name, state = n, "deinstall ok config-files"
		}
		fmt.Fprintf(&b, "Package: %s\nStatus: %s\nVersion: %s\n\n", name, state, version)
	}
	return b.String()
}

// TestSystemsInLayers: what distributions' databases say, when layers write them anew.
func TestSystemsInLayers(t *testing.T) {
	const status, apk = "var/lib/dpkg/status", "lib/apk/db/installed"
	for _, c := range []struct {
		name   string
		layers [][]string
		want   string // lines
	}{
		{
			name:   "an upgraded package is of the layer that did it, others stay where they were",
			layers: [][]string{{status, deb("libc6=1 bash=1")}, {status, deb("libc6=2 bash=1 curl=1")}, {status, deb("libc6=2 bash=1 curl=2")}},
			want:   "bash 1 of 0\ncurl 2 of 2\nlibc6 2 of 1\n",
		},
		{
			name:   "one that comes back is of the layer that brought it back",
			layers: [][]string{{status, deb("curl=1 x=1")}, {status, deb("x=1")}, {status, deb("curl=1 x=1")}},
			want:   "curl 1 of 2\nx 1 of 0\n",
		},
		{
			name:   "one that is removed and leaves its configuration is gone",
			layers: [][]string{{status, deb("curl=1 x=1")}, {status, deb("curl-=1 x=1")}},
			want:   "x 1 of 0\n",
		},
		{
			name:   "a folder that is made anew with what was in it",
			layers: [][]string{{"var/lib/dpkg/", "", status, deb("x=1")}, {"var/lib/dpkg/.wh..wh..opq", "", status, deb("x=1 y=1")}},
			want:   "x 1 of 0\ny 1 of 1\n",
		},
		{
			name: "a record of status.d that a layer takes away",
			layers: [][]string{
				{"var/lib/dpkg/status.d/a", "Package: a\nVersion: 1\n", "var/lib/dpkg/status.d/b", "Package: b\nVersion: 1\n"},
				{"var/lib/dpkg/status.d/.wh.a", "", "var/lib/dpkg/status.d/c", "Package: c\nVersion: 1\n"},
				{"var/lib/dpkg/status.d/b", "Package: b\nVersion: 2\n"},
			},
			want: "b 2 of 2\nc 1 of 1\n",
		},
		{
			name: "Alpine's database is followed through a merged /lib",
			layers: [][]string{
				{"usr/lib/apk/db/installed", "P:musl\nV:1\n\nP:zlib\nV:1\n", "lib -> usr/lib", ""},
				{apk, "P:musl\nV:1\n\nP:zlib\nV:2\n"},
			},
			want: "musl 1 of 0\nzlib 2 of 1\n",
		},
		{
			name:   "a database that is taken away leaves a gap, not a clean image",
			layers: [][]string{{status, deb("libc6=1 bash=1")}, {"app", "x"}, {"var/lib/.wh.dpkg", ""}},
			want:   "gap of 2 in " + status + ": the list of installed packages was taken away: the 2 that it named may still be there\n",
		},
		{
			name:   "so does one that is emptied",
			layers: [][]string{{apk, "P:musl\nV:1\n"}, {apk, ""}},
			want:   "gap of 1 in " + apk + ": the list of installed packages was taken away: the 1 that it named may still be there\n",
		},
		{
			name:   "and one that a link is put in place of",
			layers: [][]string{{status, deb("libc6=1")}, {"tmp/status", deb(""), status + " -> ../../../tmp/status", ""}},
			want:   "gap of 1 in " + status + ": the list of installed packages was taken away: the 1 that it named may still be there\n",
		},
		{
			name: "files are found where /bin leads, and belong to who says so by the old name",
			layers: [][]string{
				{"bin -> usr/bin", "", "usr/bin/su +s", "x", "usr/bin/mine +s", "x", "var/lib/dpkg/info/login.list", "/bin\n/bin/su\n"},
			},
			want: "set-id usr/bin/mine of \nset-id usr/bin/su of deb:login\n",
		},
		{
			name: "what no longer owns a file does not",
			layers: [][]string{
				{"usr/bin/su +s", "x", apk, "P:shadow\nV:1\nF:usr/bin\nR:su\n"},
				{apk, "P:other\nV:1\nF:usr/bin\nR:nothing\n"},
			},
			want: "other 1 of 1\nset-id usr/bin/su of \n",
		},
		{
			name: "an upgrade of the release, the point release from its own file",
			layers: [][]string{
				{"etc/os-release -> ../usr/lib/os-release", "", "usr/lib/os-release", "ID=debian\nVERSION_ID=11\n", "etc/debian_version", "11.9\n"},
				{"usr/lib/os-release", "ID=debian\nVERSION_ID=12\n", "etc/debian_version", "12.5\n"},
			},
			want: "debian 12 12.5 until 2028-06-30\n",
		},
		{
			name:   "busybox, of which all names are hard links to one that is none",
			layers: [][]string{{"bin/[ +x", "x", "bin/busybox => bin/[", "", "bin/sh => bin/[", "", "bin/ls => bin/[", ""}},
			want:   "shell bin/busybox\nshell bin/sh\n",
		},
		{
			name:   "a shell that a layer takes away",
			layers: [][]string{{"bin/bash +x", "x", "usr/bin/apt +x", "x", "bin/sh -> bash", ""}, {"bin/.wh.bash", "", "usr/bin/.wh.apt", ""}},
			want:   "",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := stack(t, c.layers...)
			var b strings.Builder
			for _, p := range m.Packages {
				fmt.Fprintf(&b, "%s %s of %d\n", p.Name, p.Version, p.Layer)
			}
			for _, g := range m.Gaps {
				fmt.Fprintf(&b, "gap of %d in %s: %s\n", g.Layer, g.Path, g.Reason)
			}
			for _, f := range m.Files {
				fmt.Fprintf(&b, "set-id %s of %s\n", f.Path, f.Owner)
			}
			for _, s := range m.Shells {
				fmt.Fprintf(&b, "shell %s\n", s)
			}
			for _, s := range m.Managers {
				fmt.Fprintf(&b, "manager %s\n", s)
			}
			if os := packages.System(m.Systems); os.ID != "" {
				fmt.Fprintf(&b, "%s %s %s until %s\n", os.ID, os.Version, os.Point, os.EndOfLife.Format("2006-01-02"))
			}
			if diff := cmp.Diff(c.want, b.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
