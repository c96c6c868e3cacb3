package store

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzManifest: a manifest that is accepted names only files of its own folder, each
// once, and is the same after it was written and read again.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"schema": 1, "built": "2026-11-21T12:00:00Z", "sources": [{"name": "osv Go", "kind": "osv", "records": 3}],
		"tables": [{"key": "deb/debian/12", "file": "deb_debian_12.table", "size": 99, "sha256": "` + strings.Repeat("a", 64) + `", "info": {"key": "deb/debian/12", "records": 1}},
			{"key": "details", "file": "details.table", "size": 9, "sha256": "` + strings.Repeat("0", 64) + `", "entries": 4}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseManifest(data)
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, x := range m.Tables {
			if filepath.Dir(filepath.Join("set", x.File)) != "set" || x.File == manifestFile || x.File == signatureFile || seen[x.File] {
				t.Fatalf("file %q", x.File)
			}
			seen[x.File] = true
		}
		first, err := m.encode()
		if err != nil {
			return // a time that JSON has no form for
		}
		again, err := parseManifest(first)
		if err != nil {
			t.Fatalf("written and not read: %v\n%s", err, first)
		}
		second, err := again.encode()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(first), string(second)); diff != "" {
			t.Fatalf("(-first +second):\n%s", diff)
		}
	})
}
