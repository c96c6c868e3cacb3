package source_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/bulwark-k8s/bulwark/internal/image/source"
)

// FuzzArchive: whatever is opened as an archive has a DiffID for each layer, leaves no
// file behind, and a layer without a manifest that can be read to its end is what its
// DiffID says.
func FuzzArchive(f *testing.F) {
	img := imageFor(f, "linux", "amd64")
	f.Add(dockerArchive(f, map[string]v1.Image{"shop/cart:1": img}))
	f.Add(gzipped(f, dockerArchive(f, map[string]v1.Image{"shop/cart:1": img})))
	f.Add(tarFolder(f, layoutOf(f, map[string]v1.Image{"cart": img})))
	f.Add(tarOf(f, "manifest.json", `[{"Config":"c","Layers":["l"]}]`, "c", `{"rootfs":{"type":"layers","diff_ids":["sha256:x"]}}`))
	f.Add([]byte(`{"bomFormat":"CycloneDX"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		temp := t.TempDir()
		s, err := source.Open(t.Context(), "-", source.Options{Stdin: bytes.NewReader(b), TempDir: temp, MaxArchive: 1 << 22})
		if left, _ := os.ReadDir(temp); len(left) > 0 {
			t.Errorf("%v are left", left)
		}
		if err != nil {
			return
		}
		defer s.Close()
		if len(s.Layers) != len(s.Config.RootFS.DiffIDs) && s.Kind != source.SBOM {
			t.Errorf("%d layers, %d DiffIDs", len(s.Layers), len(s.Config.RootFS.DiffIDs))
		}
		for _, l := range s.Layers {
			rc, err := l.Open(t.Context())
			if err != nil {
				continue
			}
			h := sha256.New()
			_, err = io.Copy(h, io.LimitReader(rc, 1<<22))
			rc.Close()
			if got := "sha256:" + hex.EncodeToString(h.Sum(nil)); err == nil && l.Digest == "" && got != l.DiffID {
				t.Errorf("a layer is %s, want %s", got, l.DiffID)
			}
		}
	})
}
