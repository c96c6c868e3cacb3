package sbom

import (
	"bytes"
	"io/fs"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/bulwark-k8s/bulwark/internal/image"
)

// shop is an image in which everything is said.
func shop() *image.Image {
	server := &image.GoBinary{
		Path: "app/server", GOOS: "linux", GOARCH: "amd64", Main: "shop.example/server", Packages: []string{"golang.org/x/net/html", "net/http"},
		Functions: image.NewFunctions(func(yield func(pkg, name string) bool) {
			_ = yield("net/http", "ListenAndServe") && yield("golang.org/x/net/html", "Parse")
		}),
	}
	stripped := &image.GoBinary{Path: "app/odd", GOOS: "windows", GOARCH: "arm64"}
	empty := &image.GoBinary{Path: "app/none", GOOS: "linux", GOARCH: "arm64", Packages: []string{}}
	img := &image.Image{
		Name: "registry.example/shop/front:1.4", Digest: "sha256:0123", ID: "sha256:4567", Platform: image.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"},
		Created: time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC),
		Config: image.Config{
			User: "1000", Entrypoint: []string{"/app/server"}, Command: []string{"-v", ""}, WorkingDir: "/app", Ports: []string{"8080/tcp"}, Volumes: []string{"/data"},
			Env: []string{"PATH", "DB_PASSWORD"}, Labels: map[string]string{"a": "b", "empty": "kept"},
		},
		History: []image.Step{{Command: "ADD rootfs /", Layer: 0}, {Command: "USER 1000", Layer: -1, Comment: "c", Created: time.Date(2026, 3, 31, 11, 0, 0, 0, time.UTC)}, {Command: "COPY <html> & \u2028 /app", Layer: 1}},
		Layers:  []image.Layer{{DiffID: "sha256:a", Digest: "sha256:b", Size: 5 << 30, Command: "ADD rootfs /", Base: true}, {DiffID: "sha256:c"}},
		Base:    &image.Base{Name: "debian:12", Digest: "sha256:d", Layers: 1, From: "annotation"},
		OS: image.OS{
			ID: "debian", Like: []string{"x", "y"}, Version: "12", Point: "12.5", Codename: "bookworm", Name: "Debian GNU/Linux 12 (bookworm)",
			EndOfLife: time.Date(2028, 6, 30, 0, 0, 0, 0, time.UTC),
		},
		Files:  []image.File{{Path: "usr/bin/su", Mode: fs.ModeSetuid | 0o755, Owner: "deb:util-linux"}, {Path: "usr/bin/ping", Mode: 0o755, UID: 1, GID: 2, Layer: 1, Capabilities: "cap_net_raw+ep"}},
		Shells: []string{"bin/sh"}, Managers: []string{"usr/bin/apt-get"},
		Secrets: []image.Secret{{Rule: "private-key", About: "a private key", Path: "root/.ssh/id_rsa", Line: 1, Layer: 1, Deleted: true}, {Rule: "env-credential", Path: "config.Env[DB_PASSWORD]", Layer: -1}},
		Gaps:    []image.Gap{{Path: "app/x.jar", Layer: 1, Reason: "not a zip file", Type: image.Maven}, {Layer: -1, Reason: "r"}},
		Packages: []image.Package{
			{Type: image.Deb, Name: "bsdutils", Version: "1:2.38.1-5+deb12u3", Source: "util-linux", SourceVersion: "2.38.1-5+deb12u3", Arch: "arm64", Path: "var/lib/dpkg/status", Licenses: []string{"GPL-2+", "public domain, mostly"}},
			{Type: image.Deb, Name: "libc6", Version: "2.36-9+deb12u4", Source: "glibc", Arch: "arm64", Path: "var/lib/dpkg/status"},
			{Type: image.Apk, Name: "musl", Version: "1.2.4-r2", SourceVersion: "1.2.4-r1", Arch: "aarch64", Path: "lib/apk/db/installed"},
			{Type: image.RPM, Name: "nodejs", Version: "1:12.22.12-1.module_el8", Module: "nodejs:12:8020:c27ad7f8:x86_64", Arch: "x86_64", Path: "var/lib/rpm/rpmdb.sqlite"},
			{Type: image.Go, Name: "golang.org/x/net", Version: "0.17.0", Path: "app/server", Layer: 1, Go: server},
			{Type: image.Go, Name: "shop.example/server", Path: "app/server", Layer: 1, Go: server},
			{Type: image.Go, Name: "stdlib", Version: "1.22.3", Path: "app/odd", Layer: 1, Go: stripped},
			{Type: image.Go, Name: "stdlib", Version: "1.22.3", Path: "app/none", Layer: 1, Go: empty},
			{Type: image.NPM, Name: "@scope/name", Version: "1.0.0-rc.1+b", Path: "app/node_modules/@scope/name/package.json", Layer: 1, Dev: true},
			{Type: image.NPM, Name: "left-pad", Version: "1.0", Path: "app/a/package.json", Layer: 1},
			{Type: image.NPM, Name: "left-pad", Version: "1.0", Path: "app/b/package.json", Layer: 1},
			{Type: image.PyPI, Name: "idna", Version: "3.3", Path: "usr/lib/python3/dist-packages/idna-3.3.dist-info/METADATA", Owner: "deb:python3-idna"},
			{Type: image.Maven, Name: "org.apache.commons:commons-io", Version: "2.4", Path: "app/shop.war!/WEB-INF/lib/commons-io.jar"},
			{Type: image.Maven, Name: "unknown", Version: "1", Path: "app/unknown-1.jar"},
			{Type: image.Composer, Name: "symfony/http", Version: "v6.1"},
			{Type: image.Cargo, Name: "serde", Version: "1.0.1"},
			{Type: image.NuGet, Name: "Newtonsoft.Json", Version: "13.0.1"},
			{Type: image.Gem, Name: "rack", Version: "3.0"},
			{Type: image.Generic, Name: "node", Version: "20.1.0"},
		},
	}
	slices.SortStableFunc(img.Packages, compare)
	return img
}

// alike compares images; none and not known are two things only of a Go binary's packages.
var alike = cmp.Options{
	cmpopts.EquateEmpty(),
	cmp.Transformer("Functions", func(f *image.Functions) string {
		if f == nil {
			return "none"
		}
		text, _ := f.MarshalText()
		return string(text)
	}),
	cmp.Transformer("Known", func(g image.GoBinary) any {
		return []any{g.Packages != nil, g.Path, g.GOOS, g.GOARCH, g.Main, g.Packages, g.Functions}
	}),
}

func written(t testing.TB, img *image.Image, f Format) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, img, f); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestRoundTrip: an image's bill says all that was known of the image.
func TestRoundTrip(t *testing.T) {
	for name, img := range map[string]*image.Image{
		"everything": shop(), "nothing": {}, "only packages": {Packages: shop().Packages}, "a name": {Name: "dir:/x"},
	} {
		for _, f := range Names() {
			t.Run(name+" as "+f, func(t *testing.T) {
				bill := written(t, img, Format(f))
				got, err := Read(bytes.NewReader(bill))
				if err != nil {
					t.Fatalf("%v in\n%s", err, bill)
				}
				want := *img
				if want.Name == "" {
					want.Name = "image"
				}
				if diff := cmp.Diff(&want, got, alike); diff != "" {
					t.Errorf("(-image +read):\n%s", diff)
				}
				if again := written(t, got, Format(f)); img.Name != "" && !bytes.Equal(bill, again) {
					t.Errorf("what was read is written otherwise:\n%s", cmp.Diff(string(bill), string(again)))
				}
			})
		}
	}
}

// TestOneFormatFromAnother: nothing is lost on the way from one format to the other.
func TestOneFormatFromAnother(t *testing.T) {
	img, err := Read(bytes.NewReader(written(t, shop(), CycloneDX)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(written(t, shop(), SPDX)), string(written(t, img, SPDX))); diff != "" {
		t.Errorf("(-direct +by way of CycloneDX):\n%s", diff)
	}
}

// TestDeterministic: the same image gives the same bytes, and another one another serial
// number.
func TestDeterministic(t *testing.T) {
	for _, f := range Names() {
		first := written(t, shop(), Format(f))
		for range 5 {
			if !bytes.Equal(first, written(t, shop(), Format(f))) {
				t.Fatalf("%s: it differs from one time to the next", f)
			}
		}
		other := shop()
		other.Packages[0].Version += "1"
		if bytes.Equal(first, written(t, other, Format(f))) {
			t.Errorf("%s: two images have one bill", f)
		}
	}
}

// TestGolden: a bill that was written once is read for ever, so its form is pinned. With
// UPDATE set, the files are written anew.
func TestGolden(t *testing.T) {
	for file, f := range map[string]Format{"testdata/shop.cdx.json": CycloneDX, "testdata/shop.spdx.json": SPDX} {
		got := written(t, shop(), f)
		if os.Getenv("UPDATE") != "" {
			if err := os.WriteFile(file, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
}
