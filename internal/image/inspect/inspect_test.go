package inspect_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/image/inspect"
	"github.com/bulwark-k8s/bulwark/internal/image/layer"
	"github.com/bulwark-k8s/bulwark/internal/image/source"
)

// lister finds a package for each line "name version" of files called packages.
type lister struct{}

func (lister) Name() string             { return "lister" }
func (lister) Version() int             { return 1 }
func (lister) Wants(f *layer.File) bool { return filepath.Base(f.Path) == "packages" }
func (lister) Read(_ context.Context, f *layer.File) (*layer.Found, error) {
	b, err := io.ReadAll(io.NewSectionReader(f.Content, 0, f.Size))
	if err != nil {
		return nil, err
	}
	found := &layer.Found{}
	for line := range strings.Lines(string(b)) {
		name, version, _ := strings.Cut(strings.TrimSpace(line), " ")
		found.Packages = append(found.Packages, image.Package{Type: image.NPM, Name: name, Version: version})
	}
	return found, nil
}

// layerOf makes a layer of paths and contents; a name that ends in a slash is a folder.
func layerOf(t testing.TB, files ...string) v1.Layer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		h := &tar.Header{Name: files[i], Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(files[i+1]))}
		if strings.HasSuffix(files[i], "/") {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, files[i+1])
	}
	w.Close()
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func imageOf(t testing.TB) v1.Image {
	t.Helper()
	img, err := mutate.Append(empty.Image,
		mutate.Addendum{Layer: layerOf(t, "app/", "", "app/packages", "left-pad 1.0\nexpress 4.0\n"), History: v1.History{CreatedBy: "COPY . /app"}},
		mutate.Addendum{History: v1.History{CreatedBy: "ENV DB_PASSWORD=hunter2 PATH=/bin", EmptyLayer: true}},
		mutate.Addendum{Layer: layerOf(t, "app/packages", "left-pad 1.0\nexpress 4.1\n"), History: v1.History{CreatedBy: "RUN npm update"}},
	)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestImage(t *testing.T) {
	img := imageOf(t)
	dir := t.TempDir()
	archive := filepath.Join(dir, "image.tar")
	tag, _ := name.NewTag("shop/cart:1")
	if err := tarball.WriteToFile(archive, tag, img); err != nil {
		t.Fatal(err)
	}
	ociDir := filepath.Join(dir, "oci")
	p, err := layout.Write(ociDir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.AppendImage(img); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{archive, ociDir, "docker-archive:" + archive + ":shop/cart:1", "oci:" + ociDir} {
		t.Run(strings.ReplaceAll(ref, dir, "DIR"), func(t *testing.T) {
			s, err := source.Open(t.Context(), ref, source.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			got, err := inspect.Image(t.Context(), s, []layer.Finder{lister{}}, inspect.Options{})
			if err != nil {
				t.Fatal(err)
			}
			var lines []string
			for _, q := range got.Packages {
				lines = append(lines, fmt.Sprintf("%s %s layer %d %s", q.Name, q.Version, q.Layer, got.Layers[q.Layer].Command))
			}
			for _, h := range got.History {
				lines = append(lines, fmt.Sprintf("%d %s", h.Layer, h.Command))
			}
			want := []string{
				"express 4.1 layer 1 RUN npm update",
				"left-pad 1.0 layer 0 COPY . /app",
				"0 COPY . /app",
				"-1 ENV DB_PASSWORD=*** PATH=/bin",
				"1 RUN npm update",
			}
			if diff := cmp.Diff(want, lines); diff != "" {
				t.Error(diff)
			}
		})
	}
}
