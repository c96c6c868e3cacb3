package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/match"
	"github.com/bulwark-k8s/bulwark/internal/scan"
)

// twoImages are one with all that can be said of an image, by a stranger who writes
// escape sequences, and one that could not be read.
func twoImages() *Images {
	day := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	img := &image.Image{
		Name: "registry.example/shop/front:1.4", Digest: "sha256:" + strings.Repeat("ab", 32), ID: "sha256:" + strings.Repeat("cd", 32),
		Platform: image.Platform{OS: "linux", Architecture: "amd64"},
		OS:       image.OS{ID: "debian", Version: "12", Name: "Debian GNU/Linux 12 (bookworm)"},
		Base:     &image.Base{Name: "debian:12", Layers: 1, From: "annotation"},
		Layers: []image.Layer{
			{DiffID: "sha256:" + strings.Repeat("01", 32), Size: 120 << 20, Command: "ADD rootfs.tar.xz /", Base: true},
			{DiffID: "sha256:" + strings.Repeat("02", 32), Size: 9 << 20, Command: "COPY front /usr/bin/front"},
		},
		Packages: []image.Package{
			{Type: image.Deb, Name: "libssl3", Version: "3.0.11-1", Source: "openssl", Path: "var/lib/dpkg/status"},
			{Type: image.Deb, Name: "openssl", Version: "3.0.11-1", Path: "var/lib/dpkg/status"},
			{Type: image.Go, Name: "golang.org/x/net", Version: "0.17.0", Path: "usr/bin/front", Layer: 1},
			{Type: image.Go, Name: "shop.example/front", Path: "usr/bin/front", Layer: 1},
		},
		Shells: []string{"bin/sh"}, Managers: []string{"usr/bin/apt"},
	}
	findings := []match.Finding{
		{
			ID: "CVE-2024-1111", IDs: []string{"CVE-2024-1111", "DSA-5600-1"}, Package: &img.Packages[0], Paths: []string{"var/lib/dpkg/status"}, State: advisory.Fixed,
			FixedIn: []string{"3.0.15-1~deb12u1"}, Severity: advisory.Critical, SeverityFrom: "debian", Score: 9.8, Vector: "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
			Exploited: day, EPSS: 0.934, Why: "installed 3.0.11-1 of source openssl, fixed in 3.0.15-1~deb12u1", Sources: []string{"debian"},
			Summary: "Any \x1b[31mbuffer\x1b[0m overflows", References: []string{"https://example.org/CVE-2024-1111", "javascript:alert(1)"},
		},
		{
			ID: "CVE-2023-45288", IDs: []string{"CVE-2023-45288", "GO-2024-2687", "GHSA-4v7x-pqxf-cx7m"}, Package: &img.Packages[2], Paths: []string{"usr/bin/front"}, State: advisory.Fixed,
			FixedIn: []string{"0.23.0"}, Severity: advisory.Medium, SeverityFrom: "CVSS:3.1 of osv-go", Score: 5.3, Reachable: match.SymbolThere,
			Why: "installed 0.17.0, fixed in 0.23.0; http2.Server.ServeConn is in the binary", Sources: []string{"osv-go"}, Summary: "HTTP/2 CONTINUATION flood",
		},
		{
			ID: "CVE-2022-9999", IDs: []string{"CVE-2022-9999"}, Package: &img.Packages[1], Paths: []string{"var/lib/dpkg/status"}, State: advisory.Deferred,
			Severity: advisory.Low, SeverityFrom: "debian", Why: "installed 3.0.11-1, no fix", Sources: []string{"debian"},
		},
	}
	c := &control.Control{ID: "image.root", Title: "Image runs as root", Severity: control.Medium, Since: "0.1.0", Doc: "# Why\n\nIt does.\n"}
	built := &scan.Result{Controls: []*scan.ControlResult{{
		Control: c, Outcome: control.Broken, Broken: 1,
		Findings: []*control.Finding{{ID: "f1", Object: cluster.Ref{Kind: "Image", Name: img.Name}, Path: "config.User", Got: `""`, Want: "a user's number", Outcome: control.Broken}},
	}}}
	return &Images{
		Version: "0.1.0", Started: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), Took: 420 * time.Millisecond,
		Notes: []string{".bulwark.yaml:4: CVE-2020-1: nothing has it any more"},
		Images: []*ScannedImage{
			{
				Name: img.Name, Built: built,
				Result: &match.Result{
					Image: img, Findings: findings,
					SetAside: []match.Finding{{
						ID: "GO-2026-5024", IDs: []string{"CVE-2026-39824", "GO-2026-5024"}, Package: &img.Packages[2], Paths: []string{"usr/bin/front"}, FixedIn: []string{"0.44.0"},
						Severity: advisory.High, Why: "windows only", Aside: &match.Aside{By: match.ByPlatform, Reason: "it is only on windows"},
					}},
					NotAssessed: []match.NotAssessed{{Type: image.Go, Packages: 1, Names: []string{"shop.example/front"}, Reason: "their version is not known"}},
					Database:    []advisory.ShardInfo{{Key: "deb/debian/12", AsOf: day, Records: 40_000, Sources: []string{"debian"}}},
				},
				Remedies: []match.Remedy{
					{Kind: match.RebuildBase, What: "rebuild on a newer debian:12", Closes: []int{0}, Worst: advisory.Critical, Exploited: 1},
					{Kind: match.Bump, What: "use golang.org/x/net 0.23.0 or later", Closes: []int{1}, Worst: advisory.Medium},
				},
			},
			{Name: "registry.example/shop/gone:1", Err: errors.New("registry.example/shop/gone:1: not found")},
		},
	}
}

func TestFormatsOfImages(t *testing.T) {
	for _, c := range []struct {
		file, format string
		options      Options
	}{
		{"images.txt", "table", Options{Width: 100}},
		{"images-all.txt", "table", Options{All: true}},
		{"images.json", "json", Options{}},
		{"images.html", "html", Options{}},
		{"images.sarif", "sarif", Options{}},
		{"images.junit.xml", "junit", Options{}},
	} {
		t.Run(c.file, func(t *testing.T) {
			f, err := FindImageFormat(c.format)
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			if err := f.Write(&b, twoImages(), c.options); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", c.file)
			if *update {
				if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), b.String()); diff != "" {
				t.Errorf("-want +got, or run go test -update:\n%s", diff)
			}
			if strings.ContainsRune(b.String(), 0x1b) {
				t.Error("a stranger's escape sequence reaches the reader")
			}
		})
	}
}

// TestImagesFitTheirSchemas: what programs read is what the schemas promise.
func TestImagesFitTheirSchemas(t *testing.T) {
	for _, r := range []*Images{twoImages(), {}} {
		var b bytes.Buffer
		if err := writeImagesSARIF(&b, r, Options{}); err != nil {
			t.Fatal(err)
		}
		fits(t, schemaFile(t, "testdata/schemas/sarif-2.1.0.json"), b.Bytes())
		b.Reset()
		if err := writeImagesJSON(&b, r, Options{}); err != nil {
			t.Fatal(err)
		}
		fits(t, schemaFile(t, "../../docs/schema/images-v1.json"), b.Bytes())
		if !json.Valid(b.Bytes()) {
			t.Error("the report is no JSON")
		}
		b.Reset()
		if err := writeImagesJUnit(&b, r, Options{}); err != nil {
			t.Fatal(err)
		}
		var suites junitSuites
		if err := xml.Unmarshal(b.Bytes(), &suites); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNothingKnownIsNotClean: where nothing was assessed, no format says that there is
// nothing.
func TestNothingKnownIsNotClean(t *testing.T) {
	img := &image.Image{Name: "app", Packages: []image.Package{{Type: image.Apk, Name: "musl", Version: "1.2"}}}
	r := &Images{Images: []*ScannedImage{{Name: "app", Result: &match.Result{
		Image: img, NotAssessed: []match.NotAssessed{{Type: image.Apk, Packages: 1, Names: []string{"musl"}, Reason: "no data for alpine 3.99 in the database"}},
	}}}}
	for _, f := range ImageFormats() {
		var b bytes.Buffer
		if err := f.Write(&b, r, Options{}); err != nil {
			t.Fatal(err)
		}
		if f.Single {
			continue // a VEX document says what is known, and there is nothing
		}
		if text := b.String(); !strings.Contains(text, "no data for alpine 3.99") {
			t.Errorf("%s does not say what was not assessed:\n%s", f.Name, text)
		}
	}
}

// TestRebuildsOfACluster: what a scan says of the images that run names what to do once,
// however many images it helps.
func TestRebuildsOfACluster(t *testing.T) {
	r := twoImages()
	again := *r.Images[0]
	again.Name, again.RunBy = "registry.example/shop/cart:1.4", []string{"Deployment shop/cart"}
	r.Images[0].RunBy = []string{"Deployment shop/front"}
	r.Images = append(r.Images, &again)
	for _, f := range []Format{{Name: "table", Write: writeTable}, {Name: "html", Write: writeHTML}} {
		var b bytes.Buffer
		if err := f.Write(&b, &scan.Result{}, Options{Images: r}); err != nil {
			t.Fatal(err)
		}
		text := b.String()
		if n := strings.Count(text, "rebuild on a newer debian:12"); n != 1 {
			t.Errorf("%s says %d times to rebuild, want once", f.Name, n)
		}
		for _, want := range []string{"shop/front:1.4", "shop/cart:1.4", "nothing has it any more"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s does not say %q", f.Name, want)
			}
		}
	}
}
