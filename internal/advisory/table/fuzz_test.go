package table

import (
	"crypto/sha256"
	"errors"
	"slices"
	"testing"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
)

// FuzzTable: whatever the bytes, with a checksum that fits them, a table answers or says
// that it is damaged; no answer takes more memory than maxAnswer; what Check passes
// answers for every name that it lists, with something.
func FuzzTable(f *testing.F) {
	b := NewBuilder("go")
	for _, name := range []string{"a", "b", "stdlib"} {
		b.Add(name, &advisory.Record{
			ID: "GO-1", IDs: [][]string{{"CVE-1"}}, Source: "s", Ranges: []advisory.Range{{Fixed: "1"}}, Versions: []string{"2"},
			Only: advisory.Qualifiers{Imports: []advisory.Import{{Path: "p", GOOS: []string{"linux"}}}},
		})
	}
	data, err := b.Bytes(advisory.ShardInfo{}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data[:len(data)-sha256.Size], "a")
	if data, err = Details(map[string]advisory.Detail{"X": {Summary: "s", References: []string{"r"}}}); err != nil {
		f.Fatal(err)
	}
	f.Add(data[:len(data)-sha256.Size], "X")
	if data, err = Enrichments(map[string]advisory.Enrichment{"X": {EPSS: 1, CVSS: []string{"r"}}}); err != nil {
		f.Fatal(err)
	}
	f.Add(data[:len(data)-sha256.Size], "X")
	f.Fuzz(func(t *testing.T, body []byte, name string) {
		sum := sha256.Sum256(body)
		data := append(slices.Clip(body), sum[:]...)
		sound := Check(data) == nil
		if s, err := NewShard(data); err == nil {
			got, err := s.Lookup(name)
			if err != nil && !errors.Is(err, ErrCorrupt) {
				t.Fatalf("an error that is not about its bytes: %v", err)
			}
			if sound && err != nil {
				t.Fatalf("checked, and yet: %v", err)
			}
			if len(got)*200 > maxAnswer {
				t.Fatalf("%d records", len(got))
			}
			return
		}
		if k, err := NewBook(data); err == nil {
			_, errD := k.Detail(name)
			_, errE := k.Enrichment(name)
			if sound && errD != nil && errE != nil {
				t.Fatalf("checked, and yet: %v, %v", errD, errE)
			}
		}
	})
}
