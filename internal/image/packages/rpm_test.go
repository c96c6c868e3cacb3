package packages

import (
	"compress/gzip"
	"encoding/binary"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bulwark-k8s/bulwark/internal/image"
)

// rpms are packages as lines: name, version, source, its version, architecture, module,
// licence.
func rpms(packages []image.Package) []string {
	var lines []string
	for _, p := range packages {
		lines = append(lines, strings.Join([]string{p.Name, p.Version, p.Source, p.SourceVersion, p.Arch, p.Module, strings.Join(p.Licenses, ",")}, "|"))
	}
	slices.Sort(lines)
	return lines
}

func TestRPMDatabase(t *testing.T) {
	for name, path := range map[string]string{
		"sqlite": "usr/lib/sysimage/rpm/rpmdb.sqlite", "ndb": "var/lib/rpm/Packages.db", "bdb-big": "var/lib/rpm/Packages",
	} {
		t.Run(name, func(t *testing.T) {
			f, err := os.Open("rpmdb/testdata/" + name + ".gz")
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			z, err := gzip.NewReader(f)
			if err != nil {
				t.Fatal(err)
			}
			db, err := io.ReadAll(z)
			if err != nil {
				t.Fatal(err)
			}
			found := read(t, file(path, string(db)))
			want := []string{
				"kernel-core|5.14.0-1.el9|||x86_64||GPLv2",
				"kernel-core|5.14.0-2.el9|||x86_64||GPLv2",
				"nodejs|1:12.22.12-1.module_el8.6.0+2904+f7a2fd0c|||x86_64|nodejs:12:8060020220523160029:ad008a3a|MIT and ASL 2.0",
				"plain|1.0-1|||noarch||MIT",
			}
			if diff := cmp.Diff(want, rpms(found.Packages)); diff != "" {
				t.Errorf("packages (-want +got):\n%s", diff)
			}
			if len(found.Gaps) > 0 {
				t.Errorf("gaps %v", found.Gaps)
			}
			for _, path := range []string{"lib/nodejs.so", "usr/lib/nodejs/deep/a-file-with-a-long-name-2"} {
				if !slices.Contains(found.Owned["rpm:nodejs"], path) {
					t.Errorf("nodejs does not own %s", path)
				}
			}
		})
	}
}

func TestRPMWithoutADatabase(t *testing.T) {
	if found := read(t, file("var/lib/rpm/Packages", "")); len(found.Packages)+len(found.Gaps) > 0 {
		t.Errorf("an empty file says %v", found)
	}
	if found := read(t, file("var/lib/rpm/Packages", strings.Repeat("x", 1000))); len(found.Gaps) != 1 || found.Gaps[0].Type != image.RPM {
		t.Errorf("gaps %v, want one of rpm", found.Gaps)
	}
	if found := read(t, file("var/lib/rpm/rpmdb.sqlite-wal", "x")); len(found.Gaps) != 1 {
		t.Errorf("a log that is not empty: gaps %v, want one", found.Gaps)
	}
	if rpm.Wants(file("var/lib/rpm/rpmdb.sqlite-wal", "")) || rpm.Wants(file("var/lib/rpm/__db.001", "x")) || rpm.Wants(file("srv/Packages", "x")) {
		t.Error("a file that says nothing is wanted")
	}
}

func TestRPMList(t *testing.T) {
	in := "openssl-libs\t1.1.1k-21.cm2\t1670000000\t1669000000\tMicrosoft Corporation\t(none)\t1\tx86_64\t0\topenssl-1.1.1k-21.cm2.src.rpm\n" +
		"bind-libs\t9.16-1.cm2\t1\t1\tMicrosoft\t32\t1\tx86_64\t32\tbind-9.16-2.cm2.src.rpm\n" +
		"gpg-pubkey\t1-1\t1\t1\t(none)\t(none)\t1\t(none)\t0\t(none)\n\n" +
		"half a line\n"
	found := read(t, file(rpmManifest, in))
	want := []string{
		"bind-libs|32:9.16-1.cm2|bind|9.16-2.cm2|x86_64||",
		"openssl-libs|1.1.1k-21.cm2|openssl||x86_64||",
	}
	if diff := cmp.Diff(want, rpms(found.Packages)); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
	if len(found.Gaps) != 1 {
		t.Errorf("gaps %v, want one", found.Gaps)
	}
}

// TestRPMIsBounded: packages whose every word is the same long one.
func TestRPMIsBounded(t *testing.T) {
	be, le := binary.BigEndian, binary.LittleEndian
	const size = 1 << 20
	var header []byte
	header = be.AppendUint32(be.AppendUint32(header, 7), size)
	for _, tag := range []uint32{1000, 1001, 1002, 1014, 1022, 1044, 5096} {
		for _, n := range []uint32{tag, 6, 0, 1} {
			header = be.AppendUint32(header, n)
		}
	}
	header = append(append(header, strings.Repeat("x", size-1)...), 0)
	db := append([]byte("RpmP"), make([]byte, 4096-4)...)
	le.PutUint32(db[12:], 1)
	const blocks = (16 + 8 + 7*16 + size + 12 + 15) / 16
	for i := range uint32(254) {
		slot := db[32+16*i:]
		copy(slot, "Slot")
		if i >= 20 {
			continue
		}
		le.PutUint32(slot[4:], i+1)
		le.PutUint32(slot[8:], uint32(len(db)/16))
		le.PutUint32(slot[12:], blocks)
		blob := make([]byte, blocks*16)
		copy(blob, "BlbS")
		le.PutUint32(blob[4:], i+1)
		le.PutUint32(blob[12:], uint32(len(header)))
		copy(blob[16:], header)
		db = append(db, blob...)
	}
	found := read(t, file("var/lib/rpm/Packages.db", string(db)))
	if n := len(found.Packages); n != maxWords/(7*size) || len(found.Gaps) != 1 {
		t.Errorf("%d packages and gaps %v, want %d and one", n, found.Gaps, maxWords/(7*size))
	}
}
