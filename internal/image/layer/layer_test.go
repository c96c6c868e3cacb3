package layer

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bulwark-k8s/bulwark/internal/image"
)

// capability makes what the kernel keeps of a file's capabilities.
func capability(version, effective uint32, permitted, inheritable uint64) []byte {
	var b []byte
	for _, w := range []uint32{version<<24 | effective, uint32(permitted), uint32(inheritable), uint32(permitted >> 32), uint32(inheritable >> 32)} {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	if version == 3 {
		b = append(b, 0, 0, 0, 0)
	}
	return b
}

// The right sides are what setcap takes to make such files.
func TestCapabilities(t *testing.T) {
	for _, tc := range []struct {
		b    []byte
		want string
	}{
		{capability(2, 1, 1<<13, 0), "cap_net_raw+ep"},
		{capability(3, 1, 1<<13|1<<10, 0), "cap_net_bind_service,cap_net_raw+ep"},
		{capability(2, 0, 1<<13, 1<<13), "cap_net_raw+ip"},
		{capability(2, 1, 1<<12|1<<13, 1<<13), "cap_net_admin+ep cap_net_raw+eip"},
		{capability(2, 1, 1<<39, 0), "cap_bpf+ep"},
		{capability(2, 1, 1<<60, 0), "cap_60+ep"},
		{capability(2, 0, 0, 0), ""},
		{capability(1, 0, 1, 0), "capabilities: version 0x1 with 20 bytes, want 2 with 20 or 3 with 24"},
		{capability(2, 0, 1, 0)[:12], "capabilities: version 0x2 with 12 bytes, want 2 with 20 or 3 with 24"},
		{[]byte{1}, "capabilities: shorter than their header"},
	} {
		got, err := decodeCapabilities(tc.b)
		if err != nil {
			got = err.Error()
		}
		if got != tc.want {
			t.Errorf("%x: %s, want %s", tc.b, got, tc.want)
		}
	}
}

func tarOf(t testing.TB, headers ...*tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, h.Size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestFilesThatGive(t *testing.T) {
	raw := string(capability(2, 1, 1<<13, 0))
	b := tarOf(
		t,
		&tar.Header{Name: "bin/su", Typeflag: tar.TypeReg, Mode: 0o4755},
		&tar.Header{Name: "bin/wall", Typeflag: tar.TypeReg, Mode: 0o2755, Gid: 5},
		&tar.Header{Name: "bin/ping", Typeflag: tar.TypeReg, Mode: 0o755, Uid: 7, Format: tar.FormatPAX, PAXRecords: map[string]string{"SCHILY.xattr.security.capability": raw}},
		&tar.Header{Name: "bin/ping4", Typeflag: tar.TypeLink, Linkname: "bin/ping"},
		&tar.Header{Name: "bin/ls", Typeflag: tar.TypeReg, Mode: 0o755},
		&tar.Header{Name: "var/mail", Typeflag: tar.TypeDir, Mode: 0o2775},
		&tar.Header{Name: "dev/null", Typeflag: tar.TypeChar, Mode: 0o666},
	)
	lower, err := Read(t.Context(), opener(b), nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	upper, err := Read(t.Context(), opener(tarOf(t, &tar.Header{Name: "bin/su", Typeflag: tar.TypeReg, Mode: 0o755}, &tar.Header{Name: "bin/chsh", Typeflag: tar.TypeReg, Mode: 0o4755})), nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := []image.File{
		{Path: "bin/chsh", Mode: fs.ModeSetuid | 0o755, Layer: 1},
		{Path: "bin/ping", Mode: 0o755, UID: 7, Capabilities: "cap_net_raw+ep"},
		{Path: "bin/ping4", Mode: 0o755, UID: 7, Capabilities: "cap_net_raw+ep"},
		{Path: "bin/wall", Mode: fs.ModeSetgid | 0o755, GID: 5},
	}
	if diff := cmp.Diff(want, Merge([]*Result{lower, upper}).Files); diff != "" {
		t.Error(diff)
	}
}

// TestHardLinksToWhatWasPassedOver: pnpm and others keep files in a store under names
// that mean nothing, and link them to names that do.
func TestHardLinksToWhatWasPassedOver(t *testing.T) {
	byName := lister{wants: func(f *File) bool { return strings.HasSuffix(f.Path, "package.json") }}
	opened := 0
	b := pack(t, []item{{"store/ab", "x 1"}, {"store/cd", "y 1"}, {"a/package.json => store/ab", ""}, {"b/package.json => store/ab", ""}, {"c => store/cd", ""}})
	r, err := Read(t.Context(), func() (io.ReadCloser, error) {
		opened++
		return opener(b)()
	}, []Finder{byName}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"x 1 a/package.json layer 0", "x 1 b/package.json layer 0"}, lines(Merge([]*Result{r}))); diff != "" {
		t.Error(diff)
	}
	if opened != 2 || r.Size != int64(len(b)) {
		t.Errorf("opened %d times, want 2; size %d, want %d", opened, r.Size, len(b))
	}
}

// panics is a finder of libraries that were not written for files of strangers.
type panics struct{ lister }

func (panics) Name() string { return "panics" }
func (panics) Read(context.Context, *File) (*Found, error) {
	var s []int
	return nil, fmt.Errorf("%d", s[1])
}

type fails struct{ lister }

func (fails) Name() string { return "fails" }
func (fails) Read(context.Context, *File) (*Found, error) {
	return nil, errors.New("is no file of mine")
}

func TestGaps(t *testing.T) {
	r := readItems(t, []item{{"a/f", "x 1"}, {"a/g", "y 1"}}, lister{}, panics{}, fails{})
	upper := readItems(t, []item{{"a/.wh.g", ""}}, lister{})
	m := Merge([]*Result{r, upper})
	want := []image.Gap{
		{Path: "a/f", Reason: "fails: is no file of mine"},
		{Path: "a/f", Reason: "panics: unreadable: runtime error: index out of range [1] with length 0"},
	}
	if diff := cmp.Diff(want, m.Gaps); diff != "" {
		t.Error(diff)
	}
	if len(m.Packages) != 1 {
		t.Errorf("%d packages, want the one of a/f", len(m.Packages))
	}
}

// TestContent: what finders read is the file, whether it is held in memory or not.
func TestContent(t *testing.T) {
	temp := t.TempDir()
	for _, size := range []int{0, 1, 511, 512, 513, blockSize, spoolMemory, spoolMemory + 1, 3 * spoolMemory} {
		content := make([]byte, size)
		rand.NewChaCha8([32]byte{1}).Read(content)
		b := pack(t, []item{{"large", strings.Repeat("x", 2*spoolMemory+7)}, {"f", string(content)}})
		checked := false
		check := finderFunc(func(f *File) (*Found, error) {
			if f.Path != "f" {
				return nil, nil //nolint:nilnil // nothing is found
			}
			checked = true
			got, err := io.ReadAll(io.NewSectionReader(f.Content, 0, 1<<40))
			if err != nil || !bytes.Equal(got, content) || f.Size != int64(size) || !bytes.Equal(f.Head, content[:min(size, 512)]) {
				t.Errorf("%d bytes: got %d and a head of %d, %v", size, len(got), len(f.Head), err)
			}
			if left, _ := os.ReadDir(temp); len(left) > 0 && runtime.GOOS != "windows" {
				t.Errorf("%v are seen in the folder for temporary files", left)
			}
			return nil, nil //nolint:nilnil // as above
		})
		if _, err := Read(t.Context(), opener(b), []Finder{check}, Options{TempDir: temp}); err != nil || !checked {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

type finderFunc func(*File) (*Found, error)

func (finderFunc) Name() string                                      { return "func" }
func (finderFunc) Version() int                                      { return 1 }
func (finderFunc) Wants(*File) bool                                  { return true }
func (f finderFunc) Read(_ context.Context, x *File) (*Found, error) { return f(x) }

func TestHostileLayers(t *testing.T) {
	plain := pack(t, []item{{"f", "x 1"}, {"g", strings.Repeat("y", 5000)}})
	sparse := sparseFile(t, 1<<50)
	for _, tc := range []struct {
		name   string
		layer  []byte
		limits Limits
		want   string
	}{
		{"too many bytes", plain, Limits{Bytes: 3000}, "is larger than the limit of 3000 bytes"},
		{"too many entries", plain, Limits{Entries: 1}, "more than 1 entries"},
		{"paths too long together", pack(t, []item{{strings.Repeat("a", 90), ""}, {strings.Repeat("b", 90), ""}, {"c", ""}}), Limits{Names: 100}, "the paths take more than 100 bytes"},
		{"cut short in a header", plain[:1200], Limits{}, "unexpected EOF"},
		{"cut short in a file", plain[:3000], Limits{}, "unexpected EOF"},
		{"no tar archive", bytes.Repeat([]byte("no tar archive "), 100), Limits{}, "invalid tar header"},
		{"a file larger than a disk", sparse, Limits{}, "gap f: 1125899906842624 bytes, over the limit of 2147483648 for one file"},
		{"a sparse file larger than the layer may be", sparseFile(t, 1<<20), Limits{Bytes: 1 << 19}, "the files are larger than the limit of 524288 bytes"},
		{"a path that no file system has", tarOf(t, &tar.Header{Name: strings.Repeat("a/", 3000) + "a", Typeflag: tar.TypeReg, Format: tar.FormatPAX}), Limits{}, "gap " + strings.Repeat("a/", 50) + ": a path of more than 4096 bytes, which no file system has"},
		{"capabilities of no known form", tarOf(t, &tar.Header{Name: "f", Typeflag: tar.TypeReg, Format: tar.FormatPAX, PAXRecords: map[string]string{"SCHILY.xattr.security.capability": "x"}}), Limits{}, "gap f: capabilities: shorter than their header"},
		{"a header of more than a megabyte", hugeHeader(t), Limits{}, "header field too long"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := Read(t.Context(), opener(tc.layer), []Finder{lister{}}, Options{Limits: tc.limits})
			var got strings.Builder
			if err != nil {
				fmt.Fprintln(&got, err)
			}
			for _, g := range Merge([]*Result{r}).Gaps {
				fmt.Fprintf(&got, "gap %s: %s\n", g.Path, g.Reason)
			}
			if !strings.Contains(got.String(), tc.want) {
				t.Errorf("got %s, want %s", got.String(), tc.want)
			}
		})
	}
}

// sparseFile is a file in GNU's old sparse form, of which the archive has one block.
func sparseFile(t testing.TB, size int64) []byte {
	t.Helper()
	var b bytes.Buffer
	h := make([]byte, 512)
	copy(h, "f")
	copy(h[100:], "0000644\x00")
	copy(h[124:], fmt.Sprintf("%011o\x00", 512))
	copy(h[136:], "00000000000\x00")
	h[156] = 'S'
	copy(h[257:], "ustar  \x00")
	number := func(at int, n int64) { // base 256
		binary.BigEndian.PutUint64(h[at+4:], uint64(n))
		h[at] = 0x80
	}
	number(386, size-512)
	number(398, 512)
	number(483, size)
	seal(h)
	b.Write(h)
	b.Write(make([]byte, 512+1024))
	return b.Bytes()
}

// hugeHeader is a PAX header of two megabytes.
func hugeHeader(t testing.TB) []byte {
	t.Helper()
	b := tarOf(t, &tar.Header{Name: "f", Typeflag: tar.TypeReg, Size: 2 << 20})
	b[156] = tar.TypeXHeader
	seal(b[:512])
	return b
}

// seal writes a header's checksum.
func seal(h []byte) {
	copy(h[148:], "        ")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
}

func TestBudget(t *testing.T) {
	b := pack(t, []item{{"f", strings.Repeat("x", 5000)}})
	budget := NewBudget(int64(len(b)) * 3 / 2)
	if _, err := Read(t.Context(), opener(b), nil, Options{Budget: budget}); err != nil {
		t.Error(err)
	}
	if _, err := Read(t.Context(), opener(b), nil, Options{Budget: budget}); err == nil || !strings.Contains(err.Error(), "makes the image larger than its limit") {
		t.Errorf("%v, want a limit", err)
	}
	short := NewBudget(0)
	short.left[ofFinds].Store(1)
	r, err := Read(t.Context(), opener(pack(t, []item{{"f", "x 1"}, {"g", "y 1"}})), []Finder{lister{}}, Options{Budget: short})
	if err == nil || len(r.Finds) != 1 {
		t.Errorf("%d finds and %v, want one and a limit", len(r.Finds), err)
	}
}

func TestEndOfContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	stop := finderFunc(func(*File) (*Found, error) { cancel(); return nil, ctx.Err() })
	_, err := Read(ctx, opener(pack(t, []item{{"f", "x 1"}, {"g", "y 1"}})), []Finder{stop}, Options{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the context's end", err)
	}
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "f"), []byte("outside 1"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"usr/lib/f": "x 1", "app/f": "y 1", "proc/f": "kernel 1"} {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	os.Symlink(outside, filepath.Join(dir, "escape"))
	os.Symlink(filepath.Join(outside, "f"), filepath.Join(dir, "app/escape"))
	os.Symlink("usr/lib", filepath.Join(dir, "lib"))
	os.Link(filepath.Join(dir, "app/f"), filepath.Join(dir, "app/g"))
	os.Chmod(filepath.Join(dir, "usr/lib/f"), 0o755|fs.ModeSetuid)
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	r, err := ReadFolder(t.Context(), root, []Finder{lister{}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	m := Merge([]*Result{r})
	if diff := cmp.Diff([]string{"x 1 usr/lib/f layer 0", "y 1 app/f layer 0"}, lines(m)); diff != "" {
		t.Error(diff)
	}
	if len(m.Files) != 1 || m.Files[0].Path != "usr/lib/f" || len(m.Gaps) > 0 {
		t.Errorf("files %v, gaps %v", m.Files, m.Gaps)
	}
}

// fill sets everything that v points to, however deep, to something that is not its zero
// value.
func fill(v reflect.Value, n *int) {
	*n++
	switch {
	case v.Type() == timeType:
		v.Set(reflect.ValueOf(time.Date(2024, 5, *n%28+1, 1, 2, 3, 4, time.UTC)))
		return
	case v.Type() == reflect.TypeFor[image.Functions]():
		v.Set(reflect.ValueOf(image.NewFunctions(func(yield func(string, string) bool) { yield("p", fmt.Sprint(*n)) })).Elem())
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(-*n))
	case reflect.Uint32, reflect.Uint8:
		v.SetUint(uint64(*n))
	case reflect.String:
		v.SetString(fmt.Sprint("s", *n))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		e := reflect.New(v.Type().Elem()).Elem()
		fill(e, n)
		v.SetMapIndex(reflect.ValueOf(fmt.Sprint("k", *n)).Convert(v.Type().Key()), e)
	case reflect.Struct:
		for _, f := range v.Fields() {
			fill(f, n)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	default:
		panic(v.Type().String() + ": not known to this test, nor to the codec")
	}
}

// TestEverythingIsKept: a field that is added to what layers hold is in the cache too.
func TestEverythingIsKept(t *testing.T) {
	want := &Result{}
	n := 0
	fill(reflect.ValueOf(want).Elem(), &n)
	// Two packages of one binary share what is known of it.
	p := want.Finds[0].Found.Packages
	p[1].Go = p[0].Go
	b, err := encode(want)
	if err != nil {
		t.Fatal(err)
	}
	got := &Result{}
	if err := decode(string(b), got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(want, got) {
		t.Error(cmp.Diff(want, got, cmp.AllowUnexported(image.Functions{})))
	}
	if q := got.Finds[0].Found.Packages; q[0].Go != q[1].Go {
		t.Error("what packages shared is there twice")
	}
	for cut := range b { // and nothing shorter is taken for a result
		if decode(string(b[:cut]), &Result{}) == nil {
			t.Errorf("the first %d of %d bytes are taken for all", cut, len(b))
		}
	}
}

func FuzzDecode(f *testing.F) {
	r := &Result{}
	n := 0
	fill(reflect.ValueOf(r).Elem(), &n)
	b, err := encode(r)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	// Whatever is read back is written as something that reads back as the same, and can
	// be merged.
	f.Fuzz(func(t *testing.T, b []byte) {
		r := &Result{}
		if decode(string(b), r) != nil {
			return
		}
		again, err := encode(r)
		if err != nil {
			t.Fatal(err)
		}
		same := &Result{}
		if err := decode(string(again), same); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(r, same) {
			t.Error("another result")
		}
		for range r.Entries.all() {
			continue
		}
	})
}

func TestCache(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	c := NewCache(dir, 0)
	r := readItems(t, []item{{"a/f", "x 1\nowns deb:p a/g"}, {"lib -> usr/lib", ""}, {"a/.wh.h", ""}}, lister{})
	key := Key("sha256:1", []Finder{lister{}}, Limits{})
	if c.Get(key) != nil {
		t.Error("something from nothing")
	}
	if err := c.Put(key, r); err != nil {
		t.Fatal(err)
	}
	if got := c.Get(key); !reflect.DeepEqual(got, r) {
		t.Errorf("got %+v, want %+v", got, r)
	}
	for name, other := range map[string]string{
		"another layer":  Key("sha256:2", []Finder{lister{}}, Limits{}),
		"other finders":  Key("sha256:1", []Finder{lister{}, fails{}}, Limits{}),
		"other limits":   Key("sha256:1", []Finder{lister{}}, Limits{Bytes: 1}),
		"another order?": Key("sha256:1", []Finder{fails{}, lister{}}, Limits{}),
	} {
		if c.Get(other) != nil {
			t.Errorf("%s has the same result", name)
		}
	}
	if runtime.GOOS != "windows" {
		for p, want := range map[string]fs.FileMode{dir: 0o700, c.file(key): 0o600} {
			if fi, err := os.Stat(p); err != nil || fi.Mode().Perm() != want {
				t.Errorf("%s: %v %v, want %v", p, fi, err, want)
			}
		}
	}
	whole, err := os.ReadFile(c.file(key))
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"torn": whole[:len(whole)-3], "empty": nil, "touched": append(slices.Clone(whole[:50]), append([]byte{whole[50] ^ 1}, whole[51:]...)...)} {
		if err := os.WriteFile(c.file(key), b, 0o600); err != nil {
			t.Fatal(err)
		}
		if c.Get(key) != nil {
			t.Errorf("a file that is %s is taken for whole", name)
		}
	}
	other := Key("sha256:2", nil, Limits{})
	if err := os.WriteFile(c.file(other), whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if c.Get(other) != nil {
		t.Error("another layer's file is taken for this one's")
	}
	var none *Cache
	if none.Get(key) != nil || none.Put(key, r) != nil || none.Trim() != nil {
		t.Error("no cache is not one that keeps nothing")
	}
}

func TestTrim(t *testing.T) {
	dir := t.TempDir()
	c := NewCache(dir, 1)
	r := readItems(t, []item{{"f", "x 1"}}, lister{})
	old, young := Key("1", nil, Limits{}), Key("2", nil, Limits{})
	for _, k := range []string{old, young} {
		if err := c.Put(k, r); err != nil {
			t.Fatal(err)
		}
	}
	past := time.Now().Add(-24 * time.Hour)
	os.Chtimes(c.file(old), past, past)
	left := filepath.Join(dir, temporary+"1")
	os.WriteFile(left, nil, 0o600)
	os.Chtimes(left, past, past)
	os.WriteFile(filepath.Join(dir, "somebody-else's"), nil, 0o600)
	fi, _ := os.Stat(c.file(young))
	c.max = fi.Size()
	if err := c.Trim(); err != nil {
		t.Fatal(err)
	}
	entries, _ := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	want := []string{young + suffix, "somebody-else's"}
	slices.Sort(want)
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
}

// TestManyAtOnce: whoever shares the folder gets a whole result or none.
func TestManyAtOnce(t *testing.T) {
	c := NewCache(t.TempDir(), 1000)
	r := readItems(t, []item{{"f", "x 1"}}, lister{})
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for j := range 40 {
				key := Key(fmt.Sprint(j%3), nil, Limits{})
				switch (i + j) % 3 {
				case 0:
					if err := c.Put(key, r); err != nil {
						t.Error(err)
					}
				case 1:
					if got := c.Get(key); got != nil && !reflect.DeepEqual(got, r) {
						t.Errorf("got %+v", got)
					}
				default:
					_ = c.Trim() // two may want to remove the same
				}
			}
		})
	}
	group.Wait()
}

// FuzzRead: whatever a layer is, reading it ends, its journal has as many entries as it
// says, what was found lies in it, the same comes of reading it again, and what is kept
// of it merges to the same.
func FuzzRead(f *testing.F) {
	f.Add(pack(f, []item{{"a/f", "x 1"}, {"lib -> usr/lib", ""}, {"a/.wh.h", ""}, {"g => a/f", ""}, {"a/.wh..wh..opq", ""}}))
	f.Add(sparseFile(f, 1<<40))
	f.Add(tarOf(f, &tar.Header{Name: "f", Typeflag: tar.TypeReg, Format: tar.FormatPAX, PAXRecords: map[string]string{"SCHILY.xattr.security.capability": string(capability(2, 1, 1, 1))}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		o := Options{Limits: Limits{Bytes: 1 << 22, File: 1 << 20, Entries: 1000, Names: 1 << 20}}
		r, err := Read(t.Context(), opener(b), []Finder{lister{}}, o)
		n := 0
		for i := range r.Entries.all() {
			if i != n {
				t.Fatalf("entry %d, want %d", i, n)
			}
			n++
		}
		if n != r.Entries.Count || n > 1001 {
			t.Errorf("%d entries, want %d", n, r.Entries.Count)
		}
		for _, x := range r.Finds {
			if x.Entry >= n || strings.HasPrefix(x.Path, "/") || strings.HasPrefix(x.Path, "../") {
				t.Errorf("a find at %d %q of %d", x.Entry, x.Path, n)
			}
		}
		again, err2 := Read(t.Context(), opener(b), []Finder{lister{}}, o)
		if fmt.Sprint(err) != fmt.Sprint(err2) || !reflect.DeepEqual(r, again) {
			t.Errorf("read twice: %v and %v", err, err2)
		}
		kept, err := encode(r)
		if err != nil {
			t.Fatal(err)
		}
		cached := &Result{}
		if err := decode(string(kept), cached); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(Merge([]*Result{r, r}), Merge([]*Result{cached, cached})); diff != "" {
			t.Error(diff)
		}
	})
}

// FuzzMerge: layers at random, laid on each other, are what unpacking them makes.
func FuzzMerge(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, a, b uint64) {
		compareWithNaive(t, stack(rand.New(rand.NewPCG(a, b))))
	})
}
