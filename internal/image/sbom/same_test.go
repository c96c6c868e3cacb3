package sbom_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/image/sbom"
	"github.com/bulwark-k8s/bulwark/internal/match"
)

// everything is a database in which every package has vulnerabilities of every kind, so
// that each thing that the matcher asks of a package decides something.
type everything struct{}

func (everything) Shard(k advisory.Key) (advisory.Shard, bool, error) { return shard{k}, true, nil }
func (everything) Enrichment(string) (advisory.Enrichment, error)     { return advisory.Enrichment{}, nil }

func (everything) Detail(string) (advisory.Detail, error) { return advisory.Detail{}, nil }

type shard struct{ key advisory.Key }

func (s shard) Info() advisory.ShardInfo {
	system := strings.Contains(string(s.key), "/")
	return advisory.ShardInfo{Key: s.key, BySource: system && !strings.HasPrefix(string(s.key), "rpm/"), Comprehensive: system}
}

func (s shard) Lookup(name string) ([]advisory.Record, error) {
	var out []advisory.Record
	add := func(kind string, r advisory.Record) {
		r.ID = fmt.Sprintf("%s:%s:%s", s.key, name, kind)
		r.IDs, r.Source = [][]string{{r.ID}}, "test"
		out = append(out, r)
	}
	add("all", advisory.Record{})
	add("until", advisory.Record{Ranges: []advisory.Range{{Introduced: "0", Fixed: "2.38.1-5+deb12u4"}}, Severity: advisory.High})
	add("epoch", advisory.Record{Ranges: []advisory.Range{{Introduced: "0", Fixed: "1:1"}}})
	for _, arch := range []string{"arm64", "x86_64", "aarch64"} {
		add(arch, advisory.Record{Only: advisory.Qualifiers{Arch: []string{arch}}})
	}
	for _, module := range []string{"nodejs:12", "nodejs:14"} {
		add(module, advisory.Record{Only: advisory.Qualifiers{Module: module}})
	}
	for _, i := range []advisory.Import{
		{Path: "golang.org/x/net/html"},
		{Path: "golang.org/x/net/html", Symbols: []string{"Parse"}},
		{Path: "golang.org/x/net/html", Symbols: []string{"Render"}},
		{Path: "net/http", GOOS: []string{"windows"}},
		{Path: "net/http", GOARCH: []string{"amd64"}},
		{Path: "net/smtp"},
	} {
		add(fmt.Sprint(i), advisory.Record{Only: advisory.Qualifiers{Imports: []advisory.Import{i}}})
	}
	return out, nil
}

// findings are a result in words.
func findings(t *testing.T, img *image.Image) []string {
	t.Helper()
	r, err := match.Image(everything{}, img, match.Options{Now: time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range append(r.Findings, r.SetAside...) {
		aside := ""
		if f.Aside != nil {
			aside = string(f.Aside.By) + " " + f.Aside.Reason
		}
		out = append(out, fmt.Sprint(f.ID, f.Package.Type, f.Package.Name, f.Package.Version, f.Package.Layer, f.Paths, f.State, f.FixedIn, f.Severity, f.Reachable, f.Why, aside))
	}
	for _, n := range r.NotAssessed {
		out = append(out, fmt.Sprintf("%+v", n))
	}
	return out
}

// TestSameFindings: an image and its own bill, of either format, have the same findings,
// those that were set aside and what was not assessed among them.
func TestSameFindings(t *testing.T) {
	img := sbom.Shop()
	want := findings(t, img)
	if len(want) < 100 {
		t.Fatalf("%d findings", len(want))
	}
	for _, f := range sbom.Names() {
		var b bytes.Buffer
		if err := sbom.Write(&b, img, sbom.Format(f)); err != nil {
			t.Fatal(err)
		}
		bill, err := sbom.Read(&b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, findings(t, bill)); diff != "" {
			t.Errorf("%s (-image +bill):\n%s", f, diff)
		}
	}
}
