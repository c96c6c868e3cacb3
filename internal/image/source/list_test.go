package source_test

import (
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/bulwark-k8s/bulwark/internal/image/source"
)

// TestListOpens: what a folder lists is what opens, whatever it is kept in.
func TestListOpens(t *testing.T) {
	dir := t.TempDir()
	images := map[string]v1.Image{}
	for _, n := range []string{"registry.example/shop/front:1", "registry.example/shop/cart:1", "registry.example/shop/store:1"} {
		img, err := random.Image(512, 2)
		if err != nil {
			t.Fatal(err)
		}
		images[n] = img
	}
	tag := func(n string) name.Tag {
		out, err := name.NewTag(n)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	two := map[name.Tag]v1.Image{}
	for _, n := range []string{"registry.example/shop/front:1", "registry.example/shop/cart:1"} {
		two[tag(n)] = images[n]
	}
	if err := tarball.MultiWriteToFile(filepath.Join(dir, "two.tar"), two); err != nil {
		t.Fatal(err)
	}
	l, err := layout.Write(filepath.Join(dir, "layout"), empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.AppendImage(images["registry.example/shop/store:1"], layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "registry.example/shop/store:1"})); err != nil {
		t.Fatal(err)
	}
	list, err := source.List(t.Context(), dir, source.Options{Platform: "linux/amd64"})
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != len(images) {
		t.Fatalf("%d images are listed, want %d: %v", len(list), len(images), list)
	}
	for n, img := range images {
		config, err := img.ConfigName()
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, e := range list {
			if !e.Is(n, "") {
				continue
			}
			found = true
			if !e.Is("", config.String()) {
				t.Errorf("%s is not known by its configuration: %v", n, e)
			}
			s, err := source.Open(t.Context(), e.Ref, source.Options{})
			if err != nil {
				t.Errorf("%s: %v", e.Ref, err)
				continue
			}
			if s.ID != config.String() {
				t.Errorf("%s is %s, want %s", e.Ref, s.ID, config)
			}
			s.Close()
		}
		if !found {
			t.Errorf("%s is not listed", n)
		}
	}
}

// TestShortNames: a pod's short name is the one that an archive writes out.
func TestShortNames(t *testing.T) {
	e := source.Entry{Names: []string{"docker.io/library/nginx:latest"}, Digests: []string{"sha256:a"}}
	if !e.Is("nginx", "") || e.Is("nginx:1", "") {
		t.Error("nginx is docker.io/library/nginx:latest and nothing else")
	}
	if e.Is("nginx", "sha256:b") {
		t.Error("another digest is another image, whatever its name")
	}
}
