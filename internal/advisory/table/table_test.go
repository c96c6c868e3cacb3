package table_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
	"github.com/bulwark-k8s/bulwark/internal/advisory/table"
)

type entry struct {
	name string
	advisory.Record
}

var sample = []entry{
	{"golang.org/x/sys", advisory.Record{
		ID: "GO-2026-5024", IDs: [][]string{{"CVE-2026-39824", "GO-2026-5024"}}, Source: "osv-go", State: advisory.Fixed,
		Ranges: []advisory.Range{{Fixed: "0.44.0"}},
		Only:   advisory.Qualifiers{Imports: []advisory.Import{{Path: "golang.org/x/sys/windows", GOOS: []string{"windows"}, Symbols: []string{"NewNTUnicodeString"}}}},
	}},
	{"golang.org/x/sys", advisory.Record{
		ID: "GO-2022-0493", IDs: [][]string{{"CVE-2022-29526"}}, Source: "osv-go", Severity: advisory.Medium,
		CVSS:   []string{"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:L/I:N/A:N"},
		Ranges: []advisory.Range{{Introduced: "0.1.0", Fixed: "0.2.0"}, {Introduced: "0.3.0", LastAffected: "0.3.5"}}, Versions: []string{"0.2.9-rc.1"},
	}},
	{"stdlib", advisory.Record{
		ID: "GO-2021-0001", IDs: [][]string{{"CVE-2021-1", "CVE-2021-3"}, {"CVE-2021-2"}}, Source: "osv-go", State: advisory.UnderInvestigation, Severity: advisory.Critical,
		Only: advisory.Qualifiers{Arch: []string{"x86_64", "aarch64"}, Module: "nodejs:12", Source: true},
	}},
	{"a", advisory.Record{ID: "X-1", Source: "s", State: advisory.NotAffected}},
}

func build(tb testing.TB, key advisory.Key, entries []entry) []byte {
	tb.Helper()
	b := table.NewBuilder(key)
	for _, e := range entries {
		b.Add(e.name, &e.Record)
	}
	data, err := b.Bytes(advisory.ShardInfo{Unfixed: true, AsOf: time.Date(2026, 8, 21, 0, 0, 0, 0, time.UTC), Sources: []string{"osv-go"}}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func TestWhatWasAddedIsFound(t *testing.T) {
	s, err := table.NewShard(build(t, "go", sample))
	if err != nil {
		t.Fatal(err)
	}
	want := advisory.ShardInfo{Key: "go", Unfixed: true, AsOf: time.Date(2026, 8, 21, 0, 0, 0, 0, time.UTC), Records: 4, Sources: []string{"osv-go"}}
	if diff := cmp.Diff(want, s.Info()); diff != "" {
		t.Errorf("info (-want +got):\n%s", diff)
	}
	for name, want := range map[string][]advisory.Record{
		"golang.org/x/sys": {sample[1].Record, sample[0].Record}, // by ID
		"stdlib":           {sample[2].Record},
		"a":                {sample[3].Record},
		"GO-2026-5024":     nil, // a string of the table that is no key
		"":                 nil,
		"zzz":              nil,
	} {
		got, err := s.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", name, diff)
		}
	}
}

func TestNamesAreFoundInAnySpellingTheEcosystemTakes(t *testing.T) {
	r := advisory.Record{ID: "X", Source: "s"}
	for key, names := range map[advisory.Key][2]string{
		"pypi":      {"Django_REST.framework", "django-rest--framework"},
		"nuget":     {"Newtonsoft.Json", "newtonsoft.json"},
		"packagist": {"Symfony/HTTP-kernel", "symfony/http-kernel"},
	} {
		s, err := table.NewShard(build(t, key, []entry{{names[0], r}}))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if got, err := s.Lookup(name); err != nil || len(got) != 1 {
				t.Errorf("%s: %s: %d records, %v", key, name, len(got), err)
			}
		}
	}
	s, err := table.NewShard(build(t, "npm", []entry{{"JSONStream", r}}))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Lookup("jsonstream"); err != nil || got != nil {
		t.Errorf("npm tells upper case from lower: %v, %v", got, err)
	}
}

// many makes entries that lean on one another as real ones do.
func many(n int) []entry {
	r := rand.New(rand.NewPCG(1, 2))
	var all []entry
	for i := range n {
		rec := advisory.Record{
			ID: fmt.Sprintf("GO-2026-%04d", i%(n/3+1)), Source: "osv-go",
			IDs:    [][]string{{fmt.Sprintf("CVE-2026-%05d", r.IntN(n)), "GHSA-xxxx"}},
			Ranges: []advisory.Range{{Fixed: fmt.Sprintf("1.%d.%d", r.IntN(40), r.IntN(9))}},
		}
		if i%7 == 0 {
			rec.Versions = []string{"0.9.1", "0.9.2"}
		}
		all = append(all, entry{fmt.Sprintf("example.com/module-%d", r.IntN(n/2+1)), rec})
	}
	return all
}

func TestTheSameContentMakesTheSameBytes(t *testing.T) {
	entries := many(2000)
	want := build(t, "go", entries)
	for seed := range uint64(5) {
		shuffled := slices.Clone(entries)
		r := rand.New(rand.NewPCG(seed, 0))
		r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		shuffled = append(shuffled, shuffled[:100]...) // what comes twice is there once
		if got := build(t, "go", shuffled); !slices.Equal(got, want) {
			t.Fatal("another order made other bytes")
		}
	}
}

func TestEveryNameOfALargeTableIsFound(t *testing.T) {
	entries := many(5000)
	data := build(t, "go", entries)
	if err := table.Check(data); err != nil {
		t.Fatal(err)
	}
	s, err := table.NewShard(data)
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for name, err := range s.Names {
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Lookup(name)
		if err != nil || len(got) == 0 {
			t.Fatalf("%s: %d records, %v", name, len(got), err)
		}
		if !slices.IsSortedFunc(got, func(a, b advisory.Record) int { return cmpString(a.ID, b.ID) }) {
			t.Fatalf("%s: records are not ordered by ID", name)
		}
		count += len(got)
	}
	if count != s.Info().Records {
		t.Errorf("%d records, info says %d", count, s.Info().Records)
	}
}

func cmpString(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func TestGroupsAreCompleted(t *testing.T) {
	b := table.NewBuilder("rpm/almalinux/8")
	b.Add("nodejs", &advisory.Record{ID: "ALSA-1", Source: "almalinux", IDs: [][]string{{"CVE-2"}, {"CVE-1"}, {"GHSA-2"}}})
	data, err := b.Bytes(advisory.ShardInfo{}, func(id string) []string {
		switch id {
		case "CVE-2", "GHSA-2":
			return []string{"CVE-2", "GHSA-2"}
		}
		return []string{id}
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := table.NewShard(data)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Lookup("nodejs")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]string{{"CVE-1"}, {"CVE-2", "GHSA-2"}}, got[0].IDs); diff != "" {
		t.Errorf("ids (-want +got):\n%s", diff)
	}
}

func TestDetailsAndEnrichments(t *testing.T) {
	day := time.Date(2025, 8, 25, 0, 0, 0, 0, time.UTC)
	details := map[string]advisory.Detail{
		"GO-1": {Summary: "a summary", Published: day, References: []string{"https://go.dev/issue/1", "https://go.dev/cl/2"}},
		"GO-2": {},
	}
	data, err := table.Details(details)
	if err != nil {
		t.Fatal(err)
	}
	book, err := table.NewBook(data)
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range details {
		got, err := book.Detail(id)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", id, diff)
		}
	}
	if got, err := book.Detail("GO-3"); err != nil || got.Summary != "" {
		t.Errorf("GO-3: %v, %v", got, err)
	}
	if _, err := book.Enrichment("GO-1"); !errors.Is(err, table.ErrCorrupt) {
		t.Errorf("details asked for enrichment: %v", err)
	}

	enrichments := map[string]advisory.Enrichment{
		"CVE-1": {Exploited: day, Ransomware: true, EPSS: 0.00043, Percentile: 0.1, CVSS: []string{"CVSS:4.0/x"}},
		"CVE-2": {EPSS: 1, Percentile: 1},
	}
	if data, err = table.Enrichments(enrichments); err != nil {
		t.Fatal(err)
	}
	if err := table.Check(data); err != nil {
		t.Fatal(err)
	}
	if book, err = table.NewBook(data); err != nil {
		t.Fatal(err)
	}
	for id, want := range enrichments {
		got, err := book.Enrichment(id)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", id, diff)
		}
	}
}

func TestAFileIsReadWhereItLies(t *testing.T) {
	path := filepath.Join(t.TempDir(), "go.table")
	if err := os.WriteFile(path, build(t, "go", sample), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := table.OpenShard(f)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	os.Remove(path) // whoever has it open keeps reading
	if got, err := s.Lookup("stdlib"); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestDamageIsNoticed(t *testing.T) {
	whole := build(t, "go", sample)
	for i := range whole {
		data := slices.Clone(whole)
		data[i] ^= 0x10
		if _, err := table.NewShard(data); err == nil {
			t.Fatalf("byte %d of %d was changed, and nobody noticed", i, len(whole))
		}
	}
	for _, n := range []int{0, 1, 63, 64, 96, len(whole) - 1} {
		if _, err := table.NewShard(whole[:n]); !errors.Is(err, table.ErrCorrupt) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}
