package inspect_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

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

// TestSameWhateverTheWay: workers and the cache change how long it takes and nothing
// else, and so does the cache's folder, whether it can be written or not.
func TestSameWhateverTheWay(t *testing.T) {
	img := imageOf(t)
	for i := range 12 {
		var files []string
		for j := range 20 {
			files = append(files, fmt.Sprintf("layer%d/%d/packages", i%5, j), fmt.Sprintf("p%d 1\nq%d %d\n", j, j, i))
		}
		var err error
		if img, err = mutate.AppendLayers(img, layerOf(t, files...)); err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(t.TempDir(), "oci")
	p, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.AppendImage(img); err != nil {
		t.Fatal(err)
	}
	look := func(o inspect.Options) *image.Image {
		s, err := source.Open(t.Context(), dir, source.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		got, err := inspect.Image(t.Context(), s, []layer.Finder{lister{}}, o)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	want := look(inspect.Options{Workers: 1})
	if len(want.Packages) != 202 {
		t.Errorf("%d packages, want 202", len(want.Packages))
	}
	cache := layer.NewCache(filepath.Join(t.TempDir(), "cache"), 0)
	notAFolder := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(notAFolder, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]inspect.Options{
		"many workers":                    {Workers: 8},
		"a cache that is empty":           {Cache: cache},
		"a folder that cannot be written": {Cache: layer.NewCache(filepath.Join(notAFolder, "cache"), 0)},
		"a cache that is too small":       {Cache: layer.NewCache(t.TempDir(), 1), Workers: 3},
	} {
		if diff := cmp.Diff(want, look(o)); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
	if diff := cmp.Diff(want, look(inspect.Options{Cache: cache})); diff != "" {
		t.Errorf("a cache that is full:\n%s", diff)
	}
}

func openLayout(t *testing.T, img v1.Image) *source.Source {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "oci")
	p, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.AppendImage(img); err != nil {
		t.Fatal(err)
	}
	s, err := source.Open(t.Context(), dir, source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func inspected(t *testing.T, img v1.Image, o inspect.Options) *image.Image {
	t.Helper()
	got, err := inspect.Image(t.Context(), openLayout(t, img), []layer.Finder{lister{}}, o)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestConfiguration: values of variables are nowhere.
func TestConfiguration(t *testing.T) {
	img, err := mutate.Config(imageOf(t), v1.Config{
		User: "1000", Env: []string{"PATH=/usr/bin", "DB_PASSWORD=hunter2"}, Entrypoint: []string{"/app/run"}, Cmd: []string{"-v"}, WorkingDir: "/app",
		ExposedPorts: map[string]struct{}{"8080/tcp": {}, "53/udp": {}}, Volumes: map[string]struct{}{"/data": {}}, Labels: map[string]string{"team": "shop"},
	})
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	got := inspected(t, img, inspect.Options{Config: func(c *v1.ConfigFile) []image.Secret {
		seen = c.Config.Env
		return []image.Secret{{Rule: "env", Path: "config.Env[DB_PASSWORD]", Layer: -1}}
	}})
	want := image.Config{
		User: "1000", Env: []string{"PATH", "DB_PASSWORD"}, Entrypoint: []string{"/app/run"}, Command: []string{"-v"}, WorkingDir: "/app",
		Ports: []string{"53/udp", "8080/tcp"}, Volumes: []string{"/data"}, Labels: map[string]string{"team": "shop"},
	}
	if diff := cmp.Diff(want, got.Config); diff != "" {
		t.Error(diff)
	}
	if len(seen) != 2 || len(got.Secrets) != 1 {
		t.Errorf("the finder of secrets saw %v, and %v came of it", seen, got.Secrets)
	}
	if said := fmt.Sprintf("%+v", got); strings.Contains(said, "hunter2") {
		t.Errorf("a value is kept: %s", said)
	}
}

func TestBase(t *testing.T) {
	img := imageOf(t)
	layers, _ := img.Layers()
	first, _ := layers[0].DiffID()
	second, _ := layers[1].DiffID()
	annotated := mutate.Annotations(img, map[string]string{"org.opencontainers.image.base.name": "debian:12", "org.opencontainers.image.base.digest": "sha256:1"}).(v1.Image)
	known := []inspect.Base{
		{Name: "other", DiffIDs: []string{second.String()}},
		{Name: "known", Digest: "sha256:2", DiffIDs: []string{first.String()}},
		{Name: "empty"},
		{Name: "longer", DiffIDs: []string{first.String(), second.String(), first.String()}},
	}
	for _, tc := range []struct {
		name  string
		img   v1.Image
		known []inspect.Base
		want  *image.Base
	}{
		{"nobody says", img, nil, nil},
		{"the annotations say which, not how much", annotated, nil, &image.Base{Name: "debian:12", Digest: "sha256:1", From: "annotation"}},
		{"a known base", img, known, &image.Base{Name: "known", Digest: "sha256:2", Layers: 1, From: "known base"}},
		{"a known base and annotations", annotated, known, &image.Base{Name: "known", Digest: "sha256:2", Layers: 1, From: "known base"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := inspected(t, tc.img, inspect.Options{Bases: tc.known})
			if diff := cmp.Diff(tc.want, got.Base); diff != "" {
				t.Error(diff)
			}
			for i, l := range got.Layers {
				if want := tc.want != nil && i < tc.want.Layers; l.Base != want {
					t.Errorf("layer %d is the base's: %t, want %t", i, l.Base, want)
				}
			}
		})
	}
}

// TestHistoryThatDoesNotFit: no step is said to have made a layer that it may not have.
func TestHistoryThatDoesNotFit(t *testing.T) {
	img := imageOf(t)
	c, _ := img.ConfigFile()
	c = c.DeepCopy()
	c.History = append(c.History, v1.History{CreatedBy: "RUN nothing", Comment: "says it left a layer"})
	img, err := mutate.ConfigFile(img, c)
	if err != nil {
		t.Fatal(err)
	}
	got := inspected(t, img, inspect.Options{})
	for _, s := range got.History {
		if s.Layer != -1 {
			t.Errorf("%q made layer %d", s.Command, s.Layer)
		}
	}
	for _, l := range got.Layers {
		if l.Command != "" {
			t.Errorf("layer %s was made by %q", l.DiffID, l.Command)
		}
	}
}

// TestLayersThatCannotBeRead: one that is cut short is a gap, one that is another is an
// error, and neither is kept.
func TestLayersThatCannotBeRead(t *testing.T) {
	good := imageOf(t)
	bytesOf := func(b []byte) v1.Layer { return static.NewLayer(b, types.OCILayer) }
	withLayer := func(l v1.Layer) v1.Image {
		img, err := mutate.AppendLayers(good, l)
		if err != nil {
			t.Fatal(err)
		}
		return img
	}
	rc, _ := layerOf(t, "x/packages", "z 1\n").Compressed()
	packed, _ := io.ReadAll(rc)
	dir := t.TempDir()
	cache := layer.NewCache(dir, 0)
	got := inspected(t, withLayer(bytesOf(packed[:len(packed)-9])), inspect.Options{Cache: cache})
	if len(got.Gaps) != 1 || got.Gaps[0].Layer != 2 || !strings.Contains(got.Gaps[0].Reason, "the rest of the layer could not be read: ") {
		t.Errorf("gaps %+v, want one of layer 2", got.Gaps)
	}
	if len(got.Packages) != 3 {
		t.Errorf("%d packages, want the three that could be read", len(got.Packages))
	}
	if kept, _ := os.ReadDir(dir); len(kept) != 2 {
		t.Errorf("%d layers are kept, want 2", len(kept))
	}

	s := openLayout(t, withLayer(layerOf(t, "x/packages", "z 1\n")))
	s.Layers[2].Digest = s.Layers[1].Digest
	if _, err := inspect.Image(t.Context(), s, []layer.Finder{lister{}}, inspect.Options{}); !errors.Is(err, source.ErrDigest) {
		t.Errorf("%v, want ErrDigest", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := inspect.Image(ctx, openLayout(t, good), []layer.Finder{lister{}}, inspect.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the context's end", err)
	}
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "etc"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "etc/packages"), []byte("x 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := source.Open(t.Context(), dir, source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	got, err := inspect.Image(t.Context(), s, []layer.Finder{lister{}}, inspect.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := []image.Package{{Type: image.NPM, Name: "x", Version: "1", Path: "etc/packages"}}
	if diff := cmp.Diff(want, got.Packages); diff != "" || len(got.Layers) != 1 {
		t.Errorf("%d layers\n%s", len(got.Layers), diff)
	}
}

// TestOneImageDoesNotSpeakForAnother: a configuration may claim the DiffID of a layer
// that it does not have; what is kept under a name is what was seen to have it.
func TestOneImageDoesNotSpeakForAnother(t *testing.T) {
	base := layerOf(t, "packages", "openssl 1\n")
	honest, err := mutate.AppendLayers(empty.Image, base)
	if err != nil {
		t.Fatal(err)
	}
	liar, err := mutate.AppendLayers(empty.Image, layerOf(t, "packages", "nothing 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	c, _ := liar.ConfigFile()
	c = c.DeepCopy()
	claimed, _ := base.DiffID()
	c.RootFS.DiffIDs[0] = claimed
	if liar, err = mutate.ConfigFile(liar, c); err != nil {
		t.Fatal(err)
	}
	o := inspect.Options{Cache: layer.NewCache(t.TempDir(), 0)}
	for _, tc := range []struct {
		img  v1.Image
		want string
	}{{liar, "nothing"}, {honest, "openssl"}, {liar, "nothing"}} {
		if got := inspected(t, tc.img, o); len(got.Packages) != 1 || got.Packages[0].Name != tc.want {
			t.Errorf("%v, want %s", got.Packages, tc.want)
		}
	}
}
