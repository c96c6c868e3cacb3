package store_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
	"github.com/bulwark-k8s/bulwark/internal/advisory/feed"
	"github.com/bulwark-k8s/bulwark/internal/advisory/store"
)

// publicFeeds is the environment variable that names a folder with real feeds, in osv/,
// secdb/ and kev/, for the benchmarks to run on instead of those that they make.
const publicFeeds = "BULWARK_ADVISORIES"

// madeFeeds makes feeds of the size of some public ones: 4,300 records of Go modules,
// 5,700 errata with 71,000 packages, and 2,700 records of PyPI with 150,000 versions.
func madeFeeds(tb testing.TB) []store.Input {
	tb.Helper()
	if root := os.Getenv(publicFeeds); root != "" {
		return realFeeds(tb, root)
	}
	r := rand.New(rand.NewPCG(1, 2))
	dir := tb.TempDir()
	write := func(ecosystem string, n int, record func(i int) string) {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		for i := range n {
			f, err := w.Create(fmt.Sprintf("%d.json", i))
			if err != nil {
				tb.Fatal(err)
			}
			fmt.Fprint(f, record(i))
		}
		if err := w.Close(); err != nil {
			tb.Fatal(err)
		}
		path := filepath.Join(dir, ecosystem, "all.zip")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	prose := func(words int) string {
		var b strings.Builder
		for range words {
			fmt.Fprintf(&b, "%s ", []string{"an", "attacker", "can", "overflow", "a", "buffer", "in", "the", "parser", "of", "headers"}[r.IntN(11)])
		}
		return b.String()
	}
	links := func(n int) string {
		var all []string
		for range n {
			all = append(all, fmt.Sprintf(`{"type": "REPORT", "url": "https://bugzilla.example.com/%d"}`, r.IntN(1<<22)))
		}
		return strings.Join(all, ",")
	}
	span := func(fixed string) string {
		return fmt.Sprintf(`"ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": %q}]}]`, fixed)
	}
	write("Go", 4300, func(i int) string {
		return fmt.Sprintf(`{"id": "GO-2026-%d", "modified": "2026-08-01T00:00:00Z", "aliases": ["CVE-2026-%d"], "summary": %q, "details": %q, "references": [%s],
			"affected": [{"package": {"ecosystem": "Go", "name": "example.com/org/module-%d"}, %s, "ecosystem_specific": {"imports": [{"path": "example.com/org/module/pkg", "symbols": ["Parse", "Reader.Read"]}]}}]}`,
			i, i, prose(12), prose(120), links(4), r.IntN(2000), span(fmt.Sprintf("1.%d.%d", r.IntN(30), r.IntN(9))))
	})
	write("AlmaLinux", 5700, func(i int) string {
		var affected, related []string
		release := 8 + r.IntN(3)
		for range 12 + r.IntN(2) {
			affected = append(affected, fmt.Sprintf(`{"package": {"ecosystem": "AlmaLinux:%d", "name": "package-%d"}, %s}`, release, r.IntN(6000), span(fmt.Sprintf("1:2.%d.%d-%d.el%d_%d", r.IntN(40), r.IntN(9), r.IntN(99), release, r.IntN(10)))))
		}
		for range 1 + r.IntN(4) {
			related = append(related, fmt.Sprintf(`"CVE-2026-%d"`, r.IntN(20000)))
		}
		return fmt.Sprintf(`{"id": "ALSA-2026:%d", "modified": "2026-08-01T00:00:00Z", "summary": "Important: package security update", "details": %q, "related": [%s], "references": [%s], "affected": [%s]}`,
			i, prose(300), strings.Join(related, ","), links(8), strings.Join(affected, ","))
	})
	write("PyPI", 2700, func(i int) string {
		var versions []string
		major := 1 + r.IntN(5)
		for v := range 55 {
			versions = append(versions, fmt.Sprintf(`"%d.%d.%d"`, v%major, v/major, v%7), fmt.Sprintf(`"%d.%drc1"`, v%major, v/major))
		}
		return fmt.Sprintf(`{"id": "PYSEC-2026-%d", "modified": "2026-08-01T00:00:00Z", "aliases": ["CVE-2026-%d", "GHSA-%d"], "details": %q, "references": [%s],
			"affected": [{"package": {"ecosystem": "PyPI", "name": "project-%d"}, %s, "versions": [%s]}]}`,
			i, r.IntN(20000), i, prose(80), links(4), r.IntN(1200), span(fmt.Sprintf("%d.20", major)), strings.Join(versions, ","))
	})
	inputs, err := store.OSVInputs(dir)
	if err != nil {
		tb.Fatal(err)
	}
	return inputs
}

func realFeeds(tb testing.TB, root string) []store.Input {
	tb.Helper()
	inputs, err := store.OSVInputs(filepath.Join(root, "osv"))
	if err != nil {
		tb.Fatal(err)
	}
	return append(inputs,
		store.Input{Name: "secdb", Kind: feed.KindSecDB, Path: filepath.Join(root, "secdb")},
		store.Input{Name: "kev", Kind: feed.KindKEV, Path: filepath.Join(root, "kev", "known_exploited_vulnerabilities.json")})
}

// BenchmarkBuild makes a database and tells its size.
func BenchmarkBuild(b *testing.B) {
	inputs := madeFeeds(b)
	dir := b.TempDir()
	var m *store.Manifest
	for b.Loop() {
		var err error
		if m, err = store.Build(b.Context(), dir, inputs, store.Options{Now: now}); err != nil {
			b.Fatal(err)
		}
	}
	size, records := int64(0), 0
	for _, t := range m.Tables {
		size += t.Size
		if t.Info != nil {
			records += t.Info.Records
		}
	}
	b.ReportMetric(float64(size)/(1<<20), "MB")
	b.ReportMetric(float64(records), "records")
	if limit := int64(10 << 20); size > limit {
		b.Errorf("the database has %d bytes, want at most %d", size, limit)
	}
}

// BenchmarkLookup opens a database and asks it for 500 packages, half of them unknown to
// it, which is what a scan does.
func BenchmarkLookup(b *testing.B) {
	dir := b.TempDir()
	m, err := store.Build(b.Context(), dir, madeFeeds(b), store.Options{Now: now})
	if err != nil {
		b.Fatal(err)
	}
	names := map[advisory.Key][]string{}
	db, err := store.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	count := 0
	for _, t := range m.Tables {
		if t.Info == nil {
			continue
		}
		s, _, err := db.Shard(t.Key)
		if err != nil {
			b.Fatal(err)
		}
		named, ok := s.(interface {
			Names(func(string, error) bool)
		})
		if !ok {
			b.Fatalf("%T has no names", s)
		}
		n := 0
		for name, err := range named.Names {
			if err != nil {
				b.Fatal(err)
			}
			if n++; n%7 == 0 && len(names[t.Key]) < 120 && count < 500 {
				names[t.Key] = append(names[t.Key], name, name+"-unknown")
				count += 2
			}
		}
	}
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
	records := 0
	for b.Loop() {
		db, err := store.Open(dir)
		if err != nil {
			b.Fatal(err)
		}
		records = 0
		for key, list := range names {
			s, _, err := db.Shard(key)
			if err != nil {
				b.Fatal(err)
			}
			for _, name := range list {
				r, err := s.Lookup(name)
				if err != nil {
					b.Fatal(err)
				}
				records += len(r)
			}
		}
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(count), "packages")
	b.ReportMetric(float64(records), "records")
}
