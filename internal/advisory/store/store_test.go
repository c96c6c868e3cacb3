package store_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
	"github.com/bulwark-k8s/bulwark/internal/advisory/store"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// files writes a folder.
func files(tb testing.TB, content map[string]string) string {
	tb.Helper()
	dir := tb.TempDir()
	for name, text := range content {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	return dir
}

// zipped is an all.zip.
func zipped(tb testing.TB, content map[string]string) string {
	tb.Helper()
	var names []string
	for name := range content {
		names = append(names, name)
	}
	slices.Sort(names)
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range names {
		f, err := w.Create(name)
		if err != nil {
			tb.Fatal(err)
		}
		fmt.Fprint(f, content[name])
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.String()
}

const goRecord = `{"id": "GO-2026-5024", "modified": "2026-08-01T00:00:00Z", "aliases": ["CVE-2026-39824"], "summary": "overflow in x/sys/windows",
  "affected": [{"package": {"ecosystem": "Go", "name": "golang.org/x/sys"}, "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "0.44.0"}]}],
    "ecosystem_specific": {"imports": [{"path": "golang.org/x/sys/windows", "goos": ["windows"], "symbols": ["NewNTUnicodeString"]}]}}]}`

const ghsaRecord = `{"id": "GHSA-aaaa-bbbb-cccc", "modified": "2026-08-02T00:00:00Z", "aliases": ["CVE-2026-39824"], "summary": "overflow",
  "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}], "database_specific": {"severity": "HIGH"},
  "affected": [{"package": {"ecosystem": "npm", "name": "left-pad"}, "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "2.0.0"}]}]}]}`

const almaRecord = `{"id": "ALSA-2026:1", "modified": "2026-08-03T00:00:00Z", "summary": "Important: nodejs:12 security update", "related": ["CVE-2026-39824", "CVE-2026-2"],
  "affected": [{"package": {"ecosystem": "AlmaLinux:8", "name": "nodejs"}, "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1:12.22.5-1.module_el8.5.0+1+abc"}]}]},
    {"package": {"ecosystem": "Hex", "name": "plug"}, "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}]}]}]}`

// bucket has the layout of the OSV bucket.
func bucket(tb testing.TB) string {
	tb.Helper()
	return files(tb, map[string]string{
		"Go/all.zip":        zipped(tb, map[string]string{"GO-2026-5024.json": goRecord}),
		"npm/all.zip":       zipped(tb, map[string]string{"GHSA-aaaa-bbbb-cccc.json": ghsaRecord, "broken.json": "{"}),
		"AlmaLinux/all.zip": zipped(tb, map[string]string{"ALSA-2026:1.json": almaRecord}),
	})
}

func build(tb testing.TB, dir string, o store.Options) *store.Manifest {
	tb.Helper()
	inputs, err := store.OSVInputs(bucket(tb))
	if err != nil {
		tb.Fatal(err)
	}
	if o.Now.IsZero() {
		o.Now = now
	}
	m, err := store.Build(tb.Context(), dir, inputs, o)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

func open(tb testing.TB, dir string) *store.Database {
	tb.Helper()
	db, err := store.Open(dir)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	return db
}

func TestADatabaseIsBuiltOfABucketAndAsked(t *testing.T) {
	dir := t.TempDir()
	m := build(t, dir, store.Options{})
	db := open(t, dir)

	shard, ok, err := db.Shard("rpm/almalinux/8")
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	got, err := shard.Lookup("nodejs")
	if err != nil {
		t.Fatal(err)
	}
	want := []advisory.Record{{
		ID: "ALSA-2026:1", Source: "almalinux", State: advisory.Fixed, Severity: advisory.High,
		// The aliases that other feeds have are joined.
		IDs:    [][]string{{"CVE-2026-2"}, {"CVE-2026-39824", "GHSA-aaaa-bbbb-cccc", "GO-2026-5024"}},
		Ranges: []advisory.Range{{Fixed: "1:12.22.5-1.module_el8.5.0+1+abc"}},
		Only:   advisory.Qualifiers{Module: "nodejs:12"},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if _, ok, err := db.Shard("deb/debian/12"); ok || err != nil {
		t.Errorf("a shard that nobody fed: %v, %v", ok, err)
	}
	if e, err := db.Enrichment("CVE-2026-39824"); err != nil || len(e.CVSS) != 1 {
		t.Errorf("the vector of one source is known for all: %v, %v", e, err)
	}
	if d, err := db.Detail("GO-2026-5024"); err != nil || d.Summary != "overflow in x/sys/windows" {
		t.Errorf("details: %v, %v", d, err)
	}

	var skipped []string
	for _, s := range m.Sources {
		for _, k := range s.Skipped {
			skipped = append(skipped, fmt.Sprintf("%s: %d %s (%s)", s.Name, k.Count, k.What, k.Example))
		}
	}
	wantSkipped := []string{
		`osv AlmaLinux: 1 ecosystem "Hex" (ALSA-2026:1)`,
		`osv npm: 1 no OSV record: unexpected end of JSON input (broken.json)`,
	}
	if diff := cmp.Diff(wantSkipped, skipped); diff != "" {
		t.Errorf("skipped (-want +got):\n%s", diff)
	}
}

func TestWithoutADatabaseTheNextStepIsTold(t *testing.T) {
	_, err := store.Open(t.TempDir())
	var hint *store.Error
	if !errors.Is(err, store.ErrNone) || !errors.As(err, &hint) {
		t.Errorf("got %v", err)
	}
}
