package rpmdb

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sample is one of the databases that testdata/make.sh made.
func sample(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// say writes a package as testdata/make.sh has rpm write it.
func say(p *Package) (string, error) {
	none := func(s string) string {
		if s == "" {
			return "(none)"
		}
		return s
	}
	var files strings.Builder
	err := p.Files(func(dir, base string) { files.WriteString(dir + base + ":0,") })
	return strings.Join([]string{
		p.Name, fmt.Sprint(p.Epoch), p.Version, p.Release, p.Arch, none(p.SourceRPM), none(p.License), none(p.Module), files.String(),
	}, "|"), err
}

func TestDatabasesSayWhatRPMSays(t *testing.T) {
	b, err := os.ReadFile("testdata/want.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSpace(string(b)), "\n")
	for _, name := range []string{"sqlite", "ndb", "bdb-little", "bdb-big"} {
		t.Run(name, func(t *testing.T) {
			db := sample(t, name+".gz")
			var got []string
			for blob, err := range Headers(bytes.NewReader(db), int64(len(db))) {
				if err != nil {
					t.Fatal(err)
				}
				p, err := Parse(blob)
				if err != nil {
					t.Fatal(err)
				}
				line, err := say(p)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, line)
			}
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("packages (-rpm +got):\n%s", diff)
			}
		})
	}
}

func TestStoppingStops(t *testing.T) {
	for _, name := range []string{"sqlite", "ndb", "bdb-little"} {
		db := sample(t, name+".gz")
		for range Headers(bytes.NewReader(db), int64(len(db))) {
			break // which panics if more is yielded
		}
	}
}

// TestOneDamagedPackage: the others are read all the same.
func TestOneDamagedPackage(t *testing.T) {
	for _, c := range []struct {
		name  string
		find  string
		with  string
		times int
	}{
		{"ndb", "BlbS", "Blbs", 1},
		{"sqlite", "nodejs\x00", "\x00odejs\x00", -1}, // the name of a package is empty
		{"bdb-big", "nodejs\x00", "\x00odejs\x00", -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := bytes.Replace(sample(t, c.name+".gz"), []byte(c.find), []byte(c.with), c.times)
			good, bad := 0, 0
			for blob, err := range Headers(bytes.NewReader(db), int64(len(db))) {
				if err == nil {
					_, err = Parse(blob)
				}
				if err != nil {
					bad++
				} else {
					good++
				}
			}
			if good != 3 || bad != 1 {
				t.Errorf("%d packages are read and %d are not, want 3 and 1", good, bad)
			}
		})
	}
}

func TestWhatIsNoDatabase(t *testing.T) {
	for _, in := range []string{
		"", "short", strings.Repeat("x", 4096), "SQLite format 3\x00", "SQLite format 3\x00" + strings.Repeat("\x00", 4096),
		"RpmP" + strings.Repeat("\xff", 100), "RpmP\x00\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00" + strings.Repeat("\x00", 5000),
	} {
		errs := 0
		for _, err := range Headers(strings.NewReader(in), int64(len(in))) {
			if err == nil {
				t.Errorf("%.20q: a header is found", in)
			}
			errs++
		}
		if errs != 1 {
			t.Errorf("%.20q: %d errors, want one", in, errs)
		}
	}
}

// TestCirclesEnd: a tree, and a chain, that lead back to themselves.
func TestCirclesEnd(t *testing.T) {
	db := sample(t, "sqlite.gz")
	page := int(binary.BigEndian.Uint16(db[16:]))
	for n := 1; n < len(db)/page; n++ { // every page is a root whose last child is itself, and itself an overflow
		b := db[n*page:]
		b[0] = interiorTable
		binary.BigEndian.PutUint16(b[3:], 0)
		binary.BigEndian.PutUint32(b[8:], uint32(n+1))
	}
	n := 0
	for _, err := range Headers(bytes.NewReader(db), int64(len(db))) {
		if err == nil {
			t.Error("a header is found")
		}
		n++
	}
	if n != 1 {
		t.Errorf("%d errors, want one", n)
	}
	db = sample(t, "bdb-little.gz")
	for n := 1; n < len(db)/4096; n++ {
		if b := db[n*4096:]; b[25] == pageOverflow {
			binary.LittleEndian.PutUint32(b[16:], uint32(n))
		}
	}
	n = 0
	for _, err := range Headers(bytes.NewReader(db), int64(len(db))) {
		if err != nil {
			n++
		}
	}
	if n == 0 {
		t.Error("no error, although headers of several pages are there")
	}
}

// header makes one of tags with a type, a count and data each.
func header(tags ...any) []byte {
	var index, data []byte
	be := binary.BigEndian
	for i := 0; i < len(tags); i += 4 {
		for _, n := range []int{tags[i].(int), tags[i+1].(int), len(data), tags[i+2].(int)} {
			index = be.AppendUint32(index, uint32(n))
		}
		data = append(data, tags[i+3].(string)...)
	}
	b := be.AppendUint32(nil, uint32(len(tags)/4))
	b = be.AppendUint32(b, uint32(len(data)))
	return append(append(b, index...), data...)
}

func TestHeader(t *testing.T) {
	name := []any{tagName, typeString, 1, "x\x00"}
	with := func(more ...any) []byte { return header(append(slices.Clone(name), more...)...) }
	for _, c := range []struct {
		name string
		in   []byte
		want string // name, epoch, version; empty: refused
	}{
		{"a name alone", with(), "x|0|||(none)"},
		{"what came later counts", with(tagVersion, typeString, 1, "1\x00", tagVersion, typeString, 1, "2\x00"), "x|0|2||(none)"},
		{"a translated text", with(tagLicense, typeTranslated, 2, "MIT\x00MIT-Lizenz\x00"), "x|0|||MIT"},
		{"an epoch", with(tagEpoch, typeInt32, 1, "\x00\x00\x00\x02"), "x|2|||(none)"},
		{"no name", header(tagVersion, typeString, 1, "1\x00"), ""},
		{"a name without an end", header(tagName, typeString, 1, "x"), ""},
		{"a name that is a number", header(tagName, typeInt32, 1, "\x00\x00\x00\x02"), ""},
		{"an epoch that is a text", with(tagEpoch, typeString, 1, "2\x00"), ""},
		{"an epoch that is cut off", with(tagEpoch, typeInt32, 1, "\x00\x00"), ""},
		{"less than it says", with()[:20], ""},
		{"nothing", nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := Parse(c.in)
			if err != nil {
				if c.want != "" {
					t.Fatal(err)
				}
				return
			}
			got, _ := say(p)
			f := strings.Split(got, "|")
			if got := strings.Join([]string{f[0], f[1], f[2], f[4], f[6]}, "|"); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestFilesThatAreNotThere(t *testing.T) {
	files := []any{
		tagName, typeString, 1, "x\x00",
		tagBases, typeStrings, 5, "a\x00b\x00c\x00d\x00e\x00",
		tagDirs, typeStrings, 2, "/usr/bin/\x00/etc/\x00",
		tagIndexes, typeInt32, 5, "\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00",
		tagStates, typeChar, 5, "\x00\x01\x02\x03\x04",
	}
	list := func(tags []any) ([]string, error) {
		p, err := Parse(header(tags...))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		err = p.Files(func(dir, base string) { got = append(got, dir+base) })
		return got, err
	}
	got, err := list(files)
	if want := []string{"/usr/bin/a", "/etc/d"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	got, err = list(files[:16])
	if want := []string{"/usr/bin/a", "/etc/b", "/usr/bin/c", "/etc/d", "/usr/bin/e"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("without states: got %q, %v, want %q", got, err, want)
	}
	if _, err := list(files[:12]); err == nil {
		t.Error("without folders' numbers: no error")
	}
	for i, bad := range map[int]any{6: maxFiles + 1, 15: "\x00\x00\x00\x09\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00"} {
		damaged := slices.Clone(files[:16])
		damaged[i] = bad
		if _, err := list(damaged); err == nil {
			t.Errorf("damaged at %d: no error", i)
		}
	}
	got, err = list([]any{tagName, typeString, 1, "x\x00", tagOldNames, typeStrings, 2, "/a\x00/b/c\x00"})
	if want := []string{"/a", "/b/c"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("before rpm 4: got %q, %v, want %q", got, err, want)
	}
}

func TestSource(t *testing.T) {
	for in, want := range map[string]string{
		"util-linux-2.37.4-18.el9.src.rpm": "util-linux 2.37.4-18.el9",
		"kernel-5.14.0-1.nosrc.rpm":        "kernel 5.14.0-1",
		"(none)":                           "", "": "", "x.rpm": "", "x-1.src.rpm": "", "--.src.rpm": "", "a-1-2.rpm": "a 1-2",
	} {
		name, version, ok := (&Package{SourceRPM: in}).Source()
		if got := strings.TrimSpace(name + " " + version); got != want || ok != (want != "") {
			t.Errorf("%q: got %q, %t, want %q", in, got, ok, want)
		}
	}
}

// FuzzHeaders: whatever of a database is written over, and wherever it is cut off,
// reading ends; no more is handed out than three times what is there; and each package
// that is read has a name. Inputs are changes, not databases: those are large, and what
// is random is soon refused.
func FuzzHeaders(f *testing.F) {
	var whole [][]byte
	for _, name := range []string{"sqlite", "ndb", "bdb-little", "bdb-big"} {
		whole = append(whole, sample(f, name+".gz"))
	}
	for which := range whole {
		f.Add(byte(which), uint32(16), []byte{2, 0}, uint32(4096), []byte{5}, uint32(0))
		f.Add(byte(which), uint32(4099), []byte{0, 1}, uint32(2*4096), []byte{5, 0, 0}, uint32(100))
		f.Add(byte(which), uint32(20), []byte{0, 2}, uint32(8192+26), []byte{0, 1}, uint32(5000))
	}
	f.Fuzz(func(t *testing.T, which byte, at uint32, change []byte, at2 uint32, change2 []byte, cut uint32) {
		db := slices.Clone(whole[int(which)%len(whole)])
		copy(db[int(at)%len(db):], change)
		copy(db[int(at2)%len(db):], change2)
		db = db[:len(db)-int(cut)%len(db)]
		total, failed := 0, 0
		for blob, err := range Headers(bytes.NewReader(db), int64(len(db))) {
			if err != nil && blob != nil {
				t.Fatal("a header and an error")
			}
			if err != nil {
				failed++
				continue
			}
			total += len(blob)
			if p, err := Parse(blob); err == nil {
				if p.Name == "" {
					t.Error("a package without a name")
				}
				_ = p.Files(func(dir, base string) {})
			}
		}
		if total > 3*len(db) || failed > len(db)+1 {
			t.Errorf("%d bytes of headers and %d errors in %d bytes", total, failed, len(db))
		}
	})
}

// FuzzParse: a header that is read has a name, and says no more of files than it holds.
func FuzzParse(f *testing.F) {
	f.Add(header(
		tagName, typeString, 1, "x\x00", tagVersion, typeString, 1, "1\x00", tagEpoch, typeInt32, 1, "\x00\x00\x00\x01",
		tagBases, typeStrings, 2, "a\x00b\x00", tagDirs, typeStrings, 1, "/\x00",
		tagIndexes, typeInt32, 2, "\x00\x00\x00\x00\x00\x00\x00\x00", tagStates, typeChar, 2, "\x00\x01",
	))
	f.Add(header(tagName, typeString, 1, "x\x00", tagOldNames, typeStrings, 2, "/a\x00/b\x00"))
	f.Fuzz(func(t *testing.T, blob []byte) {
		p, err := Parse(blob)
		if err != nil {
			return
		}
		if p.Name == "" || len(p.Name)+len(p.Version) > 2*len(blob) {
			t.Errorf("name %q, version %q", p.Name, p.Version)
		}
		n := 0
		_ = p.Files(func(dir, base string) {
			n++
			if len(dir) > len(blob) || len(base) > len(blob) {
				t.Error("a path longer than the header")
			}
		})
		if n > len(blob) {
			t.Errorf("%d files in %d bytes", n, len(blob))
		}
	})
}
