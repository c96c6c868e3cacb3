package report

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bulwark-k8s/bulwark/internal/scan"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestGolden(t *testing.T) {
	fromFiles, located := files(t)
	for _, tt := range []struct {
		file, format string
		result       *scan.Result
		options      Options
	}{
		{"shop.txt", "table", shop(t), Options{Width: 100}},
		{"shop-color.txt", "table", shop(t), Options{Width: 100, Color: true}},
		{"shop-all-narrow.txt", "table", shop(t), Options{Width: 60, All: true}},
		{"shop-pipe.txt", "table", shop(t), Options{}},
		{"clean.txt", "table", clean(), Options{Width: 100}},
		{"shop.json", "json", shop(t), Options{}},
		{"clean.json", "json", clean(), Options{}},
		{"shop.html", "html", shop(t), Options{}},
		{"clean.html", "html", clean(), Options{}},
		{"files.txt", "table", fromFiles, located},
		{"files.json", "json", fromFiles, located},
		{"files.sarif", "sarif", fromFiles, located},
		{"live.sarif", "sarif", live(shop(t)), Options{}},
		{"clean.sarif", "sarif", clean(), Options{}},
		{"files.junit.xml", "junit", fromFiles, located},
		{"live.junit.xml", "junit", live(shop(t)), Options{}},
		{"clean.junit.xml", "junit", clean(), Options{}},
		{"files.md", "markdown", fromFiles, located},
		{"live.md", "markdown", live(shop(t)), Options{}},
		{"clean.md", "markdown", clean(), Options{}},
		{"files.csv", "csv", fromFiles, located},
		{"live.csv", "csv", live(shop(t)), Options{}},
		{"files.jsonl", "jsonl", fromFiles, located},
		{"clean.jsonl", "jsonl", clean(), Options{}},
		{"live.policyreport.yaml", "policyreport", live(shop(t)), Options{}},
		{"standard.txt", "table", underStandard(t), Options{Width: 100}},
		{"standard-all.txt", "table", underStandard(t), Options{Width: 100, All: true}},
		{"standard.json", "json", underStandard(t), Options{}},
		{"standard.jsonl", "jsonl", underStandard(t), Options{}},
		{"standard.html", "html", underStandard(t), Options{}},
		{"standard.sarif", "sarif", underStandard(t), Options{}},
		{"standard.junit.xml", "junit", underStandard(t), Options{}},
		{"standard.md", "markdown", underStandard(t), Options{}},
		{"standard.csv", "csv", underStandard(t), Options{}},
		{"standard.openreports.yaml", "openreports", underStandard(t), Options{}},
		{"clusters.txt", "table", several(t), Options{Width: 100}},
		{"clusters.json", "json", several(t), Options{}},
		{"clusters.md", "markdown", several(t), Options{}},
		{"clusters.html", "html", several(t), Options{}},
		{"files.openreports.yaml", "openreports", fromFiles, located},
	} {
		t.Run(tt.file, func(t *testing.T) {
			got := render(t, tt.format, tt.result, tt.options)
			golden := filepath.Join("testdata", tt.file)
			if *update {
				if err := os.WriteFile(golden, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("%s (-want +got), go test ./internal/report -update rewrites it:\n%s", golden, diff)
			}
		})
	}
}

func render(t *testing.T, format string, r *scan.Result, o Options) []byte {
	t.Helper()
	f, err := Find(format)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := f.Write(&b, r, o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// full is a disk with room for n more bytes.
type full struct{ n int }

func (f *full) Write(p []byte) (int, error) {
	if f.n -= len(p); f.n < 0 {
		return 0, syscall.ENOSPC
	}
	return len(p), nil
}

// TestFullDisk keeps a cut-off report from passing for a whole one.
func TestFullDisk(t *testing.T) {
	for _, f := range Formats() {
		for _, n := range []int{0, 100, 2000} {
			if err := f.Write(&full{n}, shop(t), Options{}); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("%s, %d bytes of room: error is %v, want %v", f.Name, n, err, syscall.ENOSPC)
			}
		}
	}
}
