package feed

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
	"github.com/bulwark-k8s/bulwark/internal/advisory/table"
)

// sound is what holds of every part, whatever was read: each entry names a shard that
// Shard knows, a package and an advisory, and has groups of names; no range is empty from
// the start; and a table takes all entries, and gives each of them back.
func sound(t *testing.T, p *Part) {
	t.Helper()
	builders := map[advisory.Key]*table.Builder{}
	for i := range p.Entries {
		e := &p.Entries[i]
		if e.Key == "" || e.Package == "" || e.Record.ID == "" || e.Record.Source == "" || len(e.Record.IDs) == 0 {
			t.Fatalf("an entry that says too little: %+v", e)
		}
		for _, g := range e.Record.IDs {
			if len(g) == 0 {
				t.Fatalf("a group without a name: %+v", e)
			}
		}
		for _, r := range e.Record.Ranges {
			if r.Fixed != "" && r.Fixed == r.Introduced {
				t.Fatalf("an empty range: %+v", e)
			}
		}
		if Shard(e.Key).Key != e.Key {
			t.Fatalf("no shard %q", e.Key)
		}
		if builders[e.Key] == nil {
			builders[e.Key] = table.NewBuilder(e.Key)
		}
		builders[e.Key].Add(e.Package, &e.Record)
	}
	for _, d := range p.Details {
		if len(d.Summary) > maxSummary+8 || len(d.References) > maxLinks {
			t.Fatalf("a detail of %d bytes and %d links", len(d.Summary), len(d.References))
		}
	}
	for _, e := range p.Enrichments {
		if e.EPSS < 0 || e.EPSS > 1 || e.Percentile < 0 || e.Percentile > 1 {
			t.Fatalf("no probability: %+v", e)
		}
	}
	for key, b := range builders {
		data, err := b.Bytes(advisory.ShardInfo{}, nil)
		if err != nil {
			continue // a string that is too long, which is said
		}
		s, err := table.NewShard(data)
		if err != nil {
			t.Fatal(err)
		}
		for i := range p.Entries {
			e := &p.Entries[i]
			if e.Key != key {
				continue
			}
			got, err := s.Lookup(e.Package)
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for j := range got {
				found = found || got[j].ID == e.Record.ID && got[j].State == e.Record.State && len(got[j].Ranges) == len(e.Record.Ranges)
			}
			if !found {
				t.Fatalf("%s %s: %+v went in, %+v came out", key, e.Package, e.Record, got)
			}
		}
	}
}

func FuzzOSV(f *testing.F) {
	f.Add([]byte(`{"id": "GHSA-1", "aliases": ["CVE-1"], "affected": [{"package": {"ecosystem": "PyPI", "name": "a"}, "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1"}, {"fixed": "2rc1"}]}], "versions": ["1", "1.1"]}]}`))
	f.Add([]byte(`{"id": "ALSA-1", "summary": "Low: a:b x", "related": ["CVE-1"], "affected": [{"package": {"ecosystem": "AlmaLinux:8", "name": "a"}, "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1-1.module_el8"}]}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) { sound(t, osvDocument("x", data)) })
}

func FuzzSecDB(f *testing.F) {
	f.Add([]byte(`{"distroversion": "v3.20", "packages": [{"pkg": {"name": "a", "secfixes": {"1-r0": ["CVE-1 CVE-2"], "0": ["CVE-3"]}}}]}`))
	f.Add([]byte("distroversion: v3.11\npackages:\n  - pkg:\n      name: a\n      secfixes:\n        1-r0:\n          - CVE-1\n"))
	f.Fuzz(func(t *testing.T, data []byte) { sound(t, secdbDocument("x", data)) })
}

// FuzzDebian: besides, what is cut off anywhere before its end is an error.
func FuzzDebian(f *testing.F) {
	whole := `{"a": {"CVE-1": {"description": "d", "releases": {"bookworm": {"status": "open", "urgency": "low", "nodsa": "x"}}}}}`
	f.Add([]byte(whole))
	f.Add([]byte(`{"0": {"": {"releases": {"bookworm": {"status": "open"}}}}}`))
	f.Add([]byte(`{"0": {}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		read := func(data []byte) error {
			return members(t.Context(), bytes.NewReader(data), func(name string, read func() ([]byte, error)) error {
				data, err := read()
				if err != nil {
					return err
				}
				sound(t, debianPackage(name, data))
				return nil
			})
		}
		if read(data) == nil {
			end := bytes.LastIndexByte(data, '}')
			if end < 0 || read(data[:end]) == nil {
				t.Fatal("its end is missing, and nobody noticed")
			}
		}
	})
}

func FuzzCSAF(f *testing.F) {
	f.Add([]byte(`{"document": {"publisher": {"namespace": "https://www.redhat.com"}}, "product_tree": {"branches": [
		{"product": {"product_id": "r", "product_identification_helper": {"cpe": "cpe:/o:redhat:enterprise_linux:9"}}},
		{"product": {"product_id": "a", "product_identification_helper": {"purl": "pkg:rpm/redhat/a@1-1?arch=x86_64&epoch=2&rpmmod=m:1"}}}],
		"relationships": [{"full_product_name": {"product_id": "r:a"}, "product_reference": "a", "relates_to_product_reference": "r"}]},
		"vulnerabilities": [{"cve": "CVE-1", "product_status": {"fixed": ["r:a"], "known_affected": ["r:a"]}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) { sound(t, csafDocument("x", data)) })
}

func FuzzKEV(f *testing.F) {
	f.Add([]byte(`{"vulnerabilities": [{"cveID": "CVE-1", "dateAdded": "2025-08-25", "knownRansomwareCampaignUse": "Known"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := kevCatalogue(data)
		if err != nil {
			return
		}
		sound(t, p)
		for _, e := range p.Enrichments {
			if e.Exploited.IsZero() || !strings.HasPrefix(e.ID, "CVE-") {
				t.Fatalf("an entry without a day: %+v", e)
			}
		}
	})
}

func FuzzEPSS(f *testing.F) {
	f.Add([]byte("#score_date:2025-08-25T00:00:00+0000\ncve,epss,percentile\nCVE-1999-0001,0.01,0.7\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_ = epssScores(t.Context(), bytes.NewReader(data), func(p *Part) error {
			sound(t, p)
			return nil
		})
	})
}

// FuzzRanges: a version that plain puts before another is before it in every ecosystem,
// and no version is in a range that ends before it begins.
func FuzzRanges(f *testing.F) {
	f.Add("1.2.3", "1.10")
	f.Add("1.0", "1.0.0")
	f.Fuzz(func(t *testing.T, a, b string) {
		c, ok := plain(a, b)
		if !ok {
			return
		}
		if d, ok := plain(b, a); !ok || d != -c {
			t.Fatalf("%q and %q: %d one way, %d the other", a, b, c, d)
		}
		for name, e := range map[string]string{"npm": "npm", "PyPI": "PyPI", "Debian": "Debian", "Red Hat": "Red Hat", "Alpine": "Alpine", "Maven": "Maven", "RubyGems": "RubyGems", "NuGet": "NuGet", "Packagist": "Packagist"} {
			o := &order{ecosystem: e}
			x, err := o.parse(a)
			if err != nil {
				continue
			}
			y, err := o.parse(b)
			if err != nil {
				continue
			}
			if got, err := x.Compare(y); err == nil && got != c {
				t.Fatalf("%s: %q and %q: %d, want %d", name, a, b, c, got)
			}
		}
	})
}

// FuzzEvents: a version is in the ranges that are made of events if and only if the
// evaluation that the OSV schema defines says so: go through the sorted events, and let
// each that the version has reached decide. A range ends with fixed or last_affected, not
// with both: the schema forbids it.
func FuzzEvents(f *testing.F) {
	f.Add([]byte{0x00, 0x13, 0x05, 0x16})
	f.Add([]byte{0x02, 0x24, 0x04, 0x16, 0x16})
	f.Add([]byte{0x13, 0x03})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 12 {
			data = data[:12]
		}
		var events []event
		for _, b := range data {
			v := strconv.Itoa(int(b&7)) + ".5"
			if b&7 == 0 {
				v = "0"
			}
			switch {
			case (b>>4)%2 == 0:
				events = append(events, event{Introduced: v})
			case len(data)%2 == 0:
				events = append(events, event{Fixed: v})
			default:
				events = append(events, event{LastAffected: v})
			}
		}
		o := &order{ecosystem: "PyPI"}
		all, err := o.ranges(events)
		if err != nil {
			return
		}
		at := func(v string) float64 {
			n, err := strconv.ParseFloat(v, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		sorted := slices.Clone(events)
		slices.SortStableFunc(sorted, func(a, b event) int { return cmp.Compare(at(a.version()), at(b.version())) })
		for i := 1; i < 18; i++ {
			n := float64(i) / 2
			want := false
			for _, e := range sorted {
				switch {
				case e.Introduced != "" && n >= at(e.Introduced):
					want = true
				case e.Fixed != "" && n >= at(e.Fixed), e.LastAffected != "" && n > at(e.LastAffected):
					want = false
				}
			}
			got, err := o.contains(all, strconv.FormatFloat(n, 'f', 1, 64))
			if err != nil {
				t.Fatal(err)
			}
			if got != want {
				t.Fatalf("%v of %+v: %v is in it: %v, want %v", all, sorted, n, got, want)
			}
		}
	})
}
