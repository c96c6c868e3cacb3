package packages

import (
	"slices"
	"strings"
	"testing"

	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/image/layer"
)

// file is a regular file of a layer.
func file(path, content string) *layer.File {
	return &layer.File{
		Path: path, Mode: 0o644, Size: int64(len(content)),
		Head: []byte(content[:min(len(content), 512)]), Content: strings.NewReader(content),
	}
}

// read has a file read by the finder that wants it, which has to be one alone.
func read(t testing.TB, f *layer.File) *layer.Found {
	t.Helper()
	found, err := tryRead(t, f)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func tryRead(t testing.TB, f *layer.File) (*layer.Found, error) {
	t.Helper()
	var by []layer.Finder
	for _, finder := range Finders() {
		if finder.Wants(f) {
			by = append(by, finder)
		}
	}
	if len(by) != 1 {
		t.Fatalf("%s is wanted by %d finders, want 1", f.Path, len(by))
	}
	found, err := by[0].Read(t.Context(), f)
	if found == nil {
		found = &layer.Found{}
	}
	return found, err
}

func TestFindersHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range Finders() {
		if f.Name() == "" || f.Version() < 1 || seen[f.Name()] {
			t.Errorf("finder %q, version %d: want a name that no other has, and a version from 1", f.Name(), f.Version())
		}
		seen[f.Name()] = true
	}
}

func TestOwnersAreBounded(t *testing.T) {
	var o owners
	for _, path := range []string{"/lib/x/libc.so.6", "./usr/bin/env", "/", "/.", strings.Repeat("/long", maxPath)} {
		o.add("deb:libc6", path)
	}
	want := []string{"lib/x/libc.so.6", "usr/bin/env"}
	if got := o.files["deb:libc6"]; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for len(o.gaps(image.Deb)) == 0 && o.bytes < 2*maxOwned {
		o.add("deb:many", strings.Repeat("x", maxPath))
	}
	if o.bytes > maxOwned+2*maxPath {
		t.Errorf("%d bytes of paths are kept, want %d at most", o.bytes, maxOwned)
	}
}
