package sbom

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/bulwark-k8s/bulwark/internal/image"
)

// told is what a scan rests on, a line each.
func told(img *image.Image) string {
	var b strings.Builder
	fmt.Fprintf(&b, "image %s %s\n", img.Name, img.Digest)
	fmt.Fprintf(&b, "os %s %s point=%s codename=%s end=%s\n", img.OS.ID, img.OS.Version, img.OS.Point, img.OS.Codename, img.OS.EndOfLife.Format("2006-01-02"))
	for i := range img.Packages {
		p := &img.Packages[i]
		fmt.Fprintf(&b, "%s %s %s", p.Type, p.Name, p.Version)
		for _, f := range []struct{ name, value string }{
			{"source", p.Source}, {"sourceVersion", p.SourceVersion}, {"arch", p.Arch}, {"module", p.Module}, {"path", p.Path}, {"licences", strings.Join(p.Licenses, ", ")},
		} {
			if f.value != "" {
				fmt.Fprintf(&b, " %s=%s", f.name, f.value)
			}
		}
		if p.Layer < len(img.Layers) {
			fmt.Fprintf(&b, " in %s", img.Layers[p.Layer].DiffID)
		}
		b.WriteByte('\n')
	}
	for _, g := range img.Gaps {
		fmt.Fprintf(&b, "gap %s: %s\n", g.Type, g.Reason)
	}
	return b.String()
}

// TestForeign: bills in other tools' shapes are read as far as they go, and what they do
// not say is a gap.
func TestForeign(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d cases, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil || len(archive.Files) != 2 {
				t.Fatalf("%d files, want a bill and what it tells: %v", len(archive.Files), err)
			}
			got := "error "
			if img, err := Read(strings.NewReader(string(archive.Files[0].Data))); err != nil {
				got += err.Error() + "\n"
			} else {
				got = told(img)
			}
			if os.Getenv("UPDATE") != "" {
				archive.Files[1].Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(archive), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(archive.Files[1].Data), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
