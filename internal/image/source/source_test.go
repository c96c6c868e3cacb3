package source_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/bulwark-k8s/bulwark/internal/image/source"
)

// tarOf makes a tar stream of names and contents.
func tarOf(t testing.TB, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: files[i], Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(files[i+1]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, files[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// imageFor makes an image whose only file says for which platform it is.
func imageFor(t testing.TB, os, arch string) v1.Image {
	t.Helper()
	content := tarOf(t, "etc/platform", os+"/"+arch)
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil })
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.Append(empty.Image, mutate.Addendum{Layer: l, History: v1.History{CreatedBy: "COPY"}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c = c.DeepCopy()
	c.OS, c.Architecture = os, arch
	if img, err = mutate.ConfigFile(img, c); err != nil {
		t.Fatal(err)
	}
	return img
}

// content is what the last layer's only file says.
func content(t testing.TB, s *source.Source) string {
	t.Helper()
	b, err := layerContent(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func layerContent(ctx context.Context, s *source.Source) (string, error) {
	rc, err := s.Layers[len(s.Layers)-1].Open(ctx)
	if err != nil {
		return "", err
	}
	defer rc.Close()
	raw, err := io.ReadAll(rc)
	if err != nil {
		return "", err
	}
	r := tar.NewReader(bytes.NewReader(raw))
	if _, err := r.Next(); err != nil {
		return "", err
	}
	b, err := io.ReadAll(r)
	return string(b), err
}

func open(t testing.TB, ref string, o source.Options) *source.Source {
	t.Helper()
	s, err := source.Open(t.Context(), ref, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func digest(t testing.TB, img interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	h, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h.String()
}

// write puts bytes into a file of the test's.
func write(t testing.TB, name string, b []byte) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(p, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstded(t testing.TB, b []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(b, nil)
}

func dockerArchive(t testing.TB, images map[string]v1.Image) []byte {
	t.Helper()
	tags := map[name.Tag]v1.Image{}
	for n, img := range images {
		tag, err := name.NewTag(n)
		if err != nil {
			t.Fatal(err)
		}
		tags[tag] = img
	}
	var b bytes.Buffer
	refs := map[name.Reference]v1.Image{}
	for k, v := range tags {
		refs[k] = v
	}
	if err := tarball.MultiRefWrite(refs, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// layoutOf writes an OCI layout of images by name.
func layoutOf(t testing.TB, images map[string]v1.Image) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "layout")
	p, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	for n, img := range images {
		c, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if err := p.AppendImage(img, layout.WithPlatform(*c.Platform()), layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": n})); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// tarFolder packs a folder.
func tarFolder(t testing.TB, dir string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestArchives(t *testing.T) {
	img := imageFor(t, "linux", runtime.GOARCH)
	other := imageFor(t, "linux", "other")
	docker := dockerArchive(t, map[string]v1.Image{"shop/cart:1": img})
	several := dockerArchive(t, map[string]v1.Image{"shop/cart:1": img, "shop/front:2": other})
	dir := layoutOf(t, map[string]v1.Image{"cart": img})
	oci := tarFolder(t, dir)
	for _, tc := range []struct {
		name, ref string
		kind      source.Kind
		digest    bool // the manifest's is known
		want      string
	}{
		{"docker archive", write(t, "a.tar", docker), source.DockerArchive, false, ""},
		{"docker archive with gzip", write(t, "a.tar.gz", gzipped(t, docker)), source.DockerArchive, false, ""},
		{"docker archive with zstd", write(t, "a.tar.zst", zstded(t, docker)), source.DockerArchive, false, ""},
		{"docker archive by prefix", "docker-archive:" + write(t, "a", docker), source.DockerArchive, false, ""},
		{"one of several in a docker archive", "docker-archive:" + write(t, "a", several) + ":shop/front:2", source.DockerArchive, false, "linux/other"},
		{"a name as people write it", "docker-archive:" + write(t, "a", several) + ":docker.io/shop/front:2", source.DockerArchive, false, "linux/other"},
		{"OCI archive", write(t, "a.tar", oci), source.OCIArchive, true, ""},
		{"OCI archive with gzip", write(t, "a.tgz", gzipped(t, oci)), source.OCIArchive, true, ""},
		{"OCI archive by prefix and name", "oci-archive:" + write(t, "a", zstded(t, oci)) + ":cart", source.OCIArchive, true, ""},
		{"OCI layout", dir, source.OCILayout, true, ""},
		{"OCI layout by prefix and name", "oci:" + dir + ":cart", source.OCILayout, true, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := open(t, tc.ref, source.Options{TempDir: t.TempDir()})
			if tc.want == "" {
				tc.want = "linux/" + runtime.GOARCH
			}
			if got := content(t, s); got != tc.want || s.Kind != tc.kind {
				t.Errorf("%s of kind %s, want %s of %s", got, s.Kind, tc.want, tc.kind)
			}
			if want := digest(t, img); tc.digest && s.Digest != want {
				t.Errorf("digest %s, want %s", s.Digest, want)
			}
			if h, _ := img.ConfigName(); tc.want != "linux/other" && s.ID != h.String() {
				t.Errorf("ID %s, want %s", s.ID, h)
			}
			if l := s.Layers[0]; l.DiffID != s.Config.RootFS.DiffIDs[0].String() || l.Size <= 0 {
				t.Errorf("layer %+v", l)
			}
		})
	}
}

func TestStdin(t *testing.T) {
	img := imageFor(t, "linux", runtime.GOARCH)
	docker := dockerArchive(t, map[string]v1.Image{"shop/cart:1": img})
	temp := t.TempDir()
	for n, b := range map[string][]byte{"plain": docker, "gzip": gzipped(t, docker), "zstd": zstded(t, docker)} {
		t.Run(n, func(t *testing.T) {
			s := open(t, "-", source.Options{Stdin: bytes.NewReader(b), TempDir: temp})
			if got, want := content(t, s), "linux/"+runtime.GOARCH; got != want {
				t.Errorf("%s, want %s", got, want)
			}
			if left, _ := os.ReadDir(temp); len(left) > 0 && runtime.GOOS != "windows" {
				t.Errorf("%v are seen in the folder for temporary files", left)
			}
		})
	}
	t.Run("a bill of materials", func(t *testing.T) {
		s := open(t, "-", source.Options{Stdin: strings.NewReader(`{"bomFormat":"CycloneDX"}`)})
		b, err := io.ReadAll(s.SBOM)
		if err != nil || string(b) != `{"bomFormat":"CycloneDX"}` || s.Kind != source.SBOM {
			t.Errorf("%s %s %v", s.Kind, b, err)
		}
	})
}

func TestDocumentsAndFolders(t *testing.T) {
	bom := write(t, "bom.json", []byte(`  {"spdxVersion":"SPDX-2.3"}`))
	s := open(t, bom, source.Options{})
	if b, err := io.ReadAll(s.SBOM); s.Kind != source.SBOM || err != nil || !bytes.Contains(b, []byte("SPDX-2.3")) {
		t.Errorf("%s %s %v", s.Kind, b, err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "etc"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{dir, "dir:" + dir} {
		if s := open(t, ref, source.Options{}); s.Kind != source.Folder || s.Root == nil || len(s.Layers) != 0 {
			t.Errorf("%s: %+v", ref, s)
		}
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	img := imageFor(t, "linux", "a")
	other := imageFor(t, "linux", "b")
	dir := t.TempDir()
	for _, tc := range []struct{ name, ref, want string }{
		{"a file that is not there", "./nothing.tar", "no such file"},
		{"a folder of nothing", dir, "with dir: before it"},
		{"no archive", write(t, "a", []byte("hello, this is no archive of images\n")), "tar archive, member 1"},
		{"a tar archive of something else", write(t, "a", tarOf(t, "x", "y")), "has no image"},
		{"several images", write(t, "a", dockerArchive(t, map[string]v1.Image{"a:1": img, "b:1": other})), "choose one by FILE:NAME among a:1, b:1"},
		{"a name that is not there", write(t, "a", dockerArchive(t, map[string]v1.Image{"a:1": img, "b:1": other})) + ":c", "c: not among"},
		{"nothing after the prefix", "oci:", "want a name"},
		{"no reference", "registry:UPPER//case", "reference"},
		{"a truncated archive", write(t, "a", gzipped(t, dockerArchive(t, map[string]v1.Image{"a:1": img}))[:300]), "unexpected EOF"},
		{"no daemon", "docker:alpine", "docker socket"},
		{"a prefix and a folder instead of a file", "docker-archive:" + dir, "is a folder"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, err := source.Open(t.Context(), tc.ref, source.Options{DockerSocket: filepath.Join(dir, "socket")})
			if err == nil {
				s.Close()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want it to say %q", err, tc.want)
			}
		})
	}
}

// serve runs a registry on loopback.
func serve(t testing.TB, wrap func(http.Handler) http.Handler) string {
	t.Helper()
	h := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	if wrap != nil {
		h = wrap(h)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func push(t testing.TB, ref string, what remote.Taggable, options ...remote.Option) {
	t.Helper()
	r, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	switch what := what.(type) {
	case v1.Image:
		err = remote.Write(r, what, options...)
	case v1.ImageIndex:
		err = remote.WriteIndex(r, what, options...)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func multiArch(t testing.TB, platforms ...string) v1.ImageIndex {
	t.Helper()
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, p := range platforms {
		platform, err := v1.ParsePlatform(p)
		if err != nil {
			t.Fatal(err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: imageFor(t, platform.OS, platform.Architecture), Descriptor: v1.Descriptor{Platform: platform}})
	}
	// What BuildKit files beside the images.
	index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: imageFor(t, "unknown", "unknown"), Descriptor: v1.Descriptor{
		Platform: &v1.Platform{OS: "unknown", Architecture: "unknown"}, Annotations: map[string]string{"vnd.docker.reference.type": "attestation-manifest"},
	}})
	return index
}

func TestRegistry(t *testing.T) {
	host := serve(t, nil)
	index := multiArch(t, "linux/"+runtime.GOARCH, "linux/s390x", "windows/"+runtime.GOARCH)
	push(t, host+"/shop/cart:1", index)
	push(t, host+"/shop/arm:1", multiArch(t, "linux/arm64", "linux/s390x"))
	push(t, host+"/shop/alone:1", imageFor(t, "linux", "s390x"))
	push(t, host+"/shop/several:1", multiArch(t, "linux/mips", "linux/s390x"))
	for _, tc := range []struct{ ref, platform, want string }{
		{host + "/shop/cart:1", "", "linux/" + runtime.GOARCH},
		{"registry:" + host + "/shop/cart:1", "linux/s390x", "linux/s390x"},
		{host + "/shop/cart@" + digest(t, index), "windows/" + runtime.GOARCH, "windows/" + runtime.GOARCH},
		{host + "/shop/arm:1", "linux/arm64/v8", "linux/arm64"},
		{host + "/shop/alone:1", "", "linux/s390x"}, // the only one there is
		{host + "/shop/several:1", "", "platform linux/" + runtime.GOARCH + ": not among linux/mips, linux/s390x"},
		{host + "/shop/cart:1", "linux/riscv64", "platform linux/riscv64: not among"},
		{host + "/shop/cart:1", "linux", `platform "linux": want os/architecture`},
		{host + "/shop/nothing:1", "", "NAME_UNKNOWN"},
	} {
		t.Run(tc.ref[strings.Index(tc.ref, "/"):]+" "+tc.platform, func(t *testing.T) {
			s, err := source.Open(t.Context(), tc.ref, source.Options{Platform: tc.platform})
			if err != nil {
				if !strings.Contains(err.Error(), tc.want) {
					t.Errorf("%v, want %s", err, tc.want)
				}
				return
			}
			defer s.Close()
			if got := content(t, s); got != tc.want || s.Kind != source.Registry || !strings.HasPrefix(s.Digest, "sha256:") {
				t.Errorf("%s %s %s, want %s", got, s.Kind, s.Digest, tc.want)
			}
		})
	}
}

func TestRegistryAuthorization(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_RUNTIME_DIR", home)
	t.Setenv("REGISTRY_AUTH_FILE", "")
	asked := false
	host := serve(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if user, password, ok := r.BasicAuth(); r.Method == http.MethodGet && asked && (!ok || user != "shop" || password != "sesame") {
				w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	push(t, host+"/shop/cart:1", imageFor(t, "linux", runtime.GOARCH))
	asked = true
	if _, err := source.Open(t.Context(), host+"/shop/cart:1", source.Options{}); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("without credentials: %v, want 401", err)
	}
	config := fmt.Sprintf(`{"auths":{%q:{"auth":"c2hvcDpzZXNhbWU="}}}`, host) // shop:sesame
	if err := os.WriteFile(filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	content(t, open(t, host+"/shop/cart:1", source.Options{}))
}

// TestCredentialHelper: a program that docker's configuration names is asked.
func TestCredentialHelper(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // its programs have another form
	}
	dir := t.TempDir()
	t.Setenv("DOCKER_CONFIG", dir)
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-test"), []byte("#!/bin/sh\necho '{\"Username\":\"shop\",\"Secret\":\"sesame\"}'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	locked := false
	host := serve(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, password, _ := r.BasicAuth(); locked && password != "sesame" {
				w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	push(t, host+"/shop/cart:1", imageFor(t, "linux", runtime.GOARCH))
	locked = true
	if err := os.WriteFile(filepath.Join(dir, "config.json"), fmt.Appendf(nil, `{"credHelpers":{%q:"test"}}`, host), 0o600); err != nil {
		t.Fatal(err)
	}
	content(t, open(t, host+"/shop/cart:1", source.Options{}))
}

func TestRegistryThatWantsFewerRequests(t *testing.T) {
	var answers atomic.Int32
	limited := false
	host := serve(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// Every second request is one too many.
			if n := answers.Add(1); limited && n%2 == 1 {
				w.Header().Set("Retry-After", "0")
				w.WriteHeader([]int{http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable}[n/2%3])
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	push(t, host+"/shop/cart:1", imageFor(t, "linux", runtime.GOARCH))
	limited = true
	content(t, open(t, host+"/shop/cart:1", source.Options{}))
}

func TestRegistryThatNeverAnswers(t *testing.T) {
	host := serve(t, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) })
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := source.Open(ctx, host+"/shop/cart:1", source.Options{}); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 10*time.Second {
		t.Errorf("%v after %s, want the context's end at once", err, time.Since(start))
	}
}

// TestBrokenConnection: what was read is not read again where the registry can do that.
func TestBrokenConnection(t *testing.T) {
	for _, ranges := range []string{"known", "ignored", "refused"} {
		t.Run("ranges "+ranges, func(t *testing.T) {
			random := make([]byte, 300<<10)
			rand.NewChaCha8([32]byte{}).Read(random)
			plain := tarOf(t, "etc/random", string(random))
			l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(plain)), nil })
			if err != nil {
				t.Fatal(err)
			}
			d := digest(t, l)
			img, err := mutate.AppendLayers(empty.Image, l)
			if err != nil {
				t.Fatal(err)
			}
			var from []string
			broken := 0
			host := serve(t, func(h http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, d) {
						h.ServeHTTP(w, r)
						return
					}
					asked := r.Header.Get("Range")
					from = append(from, asked)
					if ranges == "refused" && asked != "" {
						w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
						return
					}
					r.Header.Del("Range")
					blob := httptest.NewRecorder()
					h.ServeHTTP(blob, r)
					all := blob.Body.Bytes()
					if ranges == "known" && asked != "" {
						var at int
						fmt.Sscanf(asked, "bytes=%d-", &at)
						all = all[at:]
						w.Header().Set("Content-Length", fmt.Sprint(len(all)))
						w.WriteHeader(http.StatusPartialContent)
					}
					w.Header().Set("Content-Length", fmt.Sprint(len(all)))
					if broken++; broken < 3 {
						all = all[:100<<10*broken] // and no more
					}
					w.Write(all)
				})
			})
			push(t, host+"/shop/cart:1", img)
			if got := content(t, open(t, host+"/shop/cart:1", source.Options{})); got != string(random) {
				t.Error("the layer is another")
			}
			if broken != 3 || from[0] != "" || !strings.HasPrefix(from[1], "bytes=") {
				t.Errorf("asked for %q", from)
			}
		})
	}
}

func TestRedirects(t *testing.T) {
	for _, tc := range []struct{ from, to, want string }{
		{"https://registry.example.org/v2/a", "https://blobs.example.net/x", ""},
		{"https://registry.example.org/v2/a", "http://blobs.example.net/x", "from TLS to none"},
		{"https://registry.example.org/v2/a", "https://169.254.169.254/x", "an address of this network"},
		{"https://registry.example.org/v2/a", "https://127.0.0.1/x", "an address of this network"},
		{"http://127.0.0.1:5000/v2/a", "http://127.0.0.1:5001/x", ""},
	} {
		transport := roundTripper(func(r *http.Request) (*http.Response, error) {
			resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"config":{"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}}`)), Request: r}
			if strings.Contains(r.URL.Path, "/blobs/") {
				resp.StatusCode = http.StatusFound
				resp.Header.Set("Location", tc.to)
			}
			return resp, nil
		})
		host := strings.Split(tc.from, "/")[2]
		_, err := source.Open(t.Context(), host+"/a:1", source.Options{Transport: transport})
		if got := fmt.Sprint(err); tc.want != "" && !strings.Contains(got, tc.want) || tc.want == "" && strings.Contains(got, "redirected") {
			t.Errorf("%s to %s: %v, want %q", tc.from, tc.to, err, tc.want)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestOnlyTheRegistryIsAsked: the URLs that a manifest gives for a layer lead elsewhere
// and are not followed.
func TestOnlyTheRegistryIsAsked(t *testing.T) {
	elsewhere := false
	trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere = true }))
	defer trap.Close()
	foreign := static.NewLayer([]byte("foreign"), types.OCIRestrictedLayer)
	img, err := mutate.Append(empty.Image, mutate.Addendum{Layer: foreign, URLs: []string{trap.URL}, MediaType: types.OCIRestrictedLayer})
	if err != nil {
		t.Fatal(err)
	}
	host := serve(t, nil)
	push(t, host+"/shop/cart:1", img)
	s := open(t, host+"/shop/cart:1", source.Options{})
	if _, err := layerContent(t.Context(), s); err == nil || elsewhere {
		t.Errorf("error %v, asked elsewhere %t; want the layer to be missing", err, elsewhere)
	}
}

// TestContentIsHeldToItsDigest: a registry, a layout and an archive that give something
// else than the manifest or the configuration says.
func TestContentIsHeldToItsDigest(t *testing.T) {
	img := imageFor(t, "linux", runtime.GOARCH)
	layers, _ := img.Layers()
	d := digest(t, layers[0])
	evil := gzipped(t, tarOf(t, "etc/platform", "evil/evil"))

	t.Run("registry", func(t *testing.T) {
		host := serve(t, func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/blobs/"+d) {
					w.Write(evil)
					return
				}
				h.ServeHTTP(w, r)
			})
		})
		push(t, host+"/shop/cart:1", img)
		if _, err := layerContent(t.Context(), open(t, host+"/shop/cart:1", source.Options{})); !errors.Is(err, source.ErrDigest) {
			t.Errorf("%v, want ErrDigest", err)
		}
	})
	t.Run("layout", func(t *testing.T) {
		dir := layoutOf(t, map[string]v1.Image{"cart": img})
		if err := os.WriteFile(filepath.Join(dir, "blobs", strings.Replace(d, ":", "/", 1)), evil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := layerContent(t.Context(), open(t, dir, source.Options{})); !errors.Is(err, source.ErrDigest) {
			t.Errorf("%v, want ErrDigest", err)
		}
	})
	t.Run("layout, the manifest", func(t *testing.T) {
		dir := layoutOf(t, map[string]v1.Image{"cart": img})
		p := filepath.Join(dir, "blobs", strings.Replace(digest(t, img), ":", "/", 1))
		b, _ := os.ReadFile(p)
		if err := os.WriteFile(p, append(b, ' '), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := source.Open(t.Context(), dir, source.Options{}); !errors.Is(err, source.ErrDigest) {
			t.Errorf("%v, want ErrDigest", err)
		}
	})
	t.Run("docker archive", func(t *testing.T) {
		c, _ := img.RawConfigFile()
		m, _ := json.Marshal([]map[string]any{{"Config": "c.json", "RepoTags": []string{"a:1"}, "Layers": []string{"l.tar"}}})
		p := write(t, "a.tar", tarOf(t, "l.tar", string(tarOf(t, "etc/platform", "evil/evil")), "c.json", string(c), "manifest.json", string(m)))
		if _, err := layerContent(t.Context(), open(t, p, source.Options{})); !errors.Is(err, source.ErrDigest) {
			t.Errorf("%v, want ErrDigest", err)
		}
	})
}

// TestDaemons speaks to a socket as the daemons do, without one of them.
func TestDaemons(t *testing.T) {
	img := imageFor(t, "linux", runtime.GOARCH)
	archive := dockerArchive(t, map[string]v1.Image{"localhost:5000/shop/cart:1": img})
	dir, err := os.MkdirTemp("", "b") //nolint:usetesting // a socket's path is at most 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.EscapedPath() != "/images/localhost:5000/shop/cart:1/get" {
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, `{"message":"no such image"}`)
			return
		}
		w.Write(archive)
	})}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	o := source.Options{DockerSocket: socket, PodmanSocket: socket}
	for _, kind := range []source.Kind{source.Docker, source.Podman} {
		s := open(t, string(kind)+":localhost:5000/shop/cart:1", o)
		if got := content(t, s); got != "linux/"+runtime.GOARCH || s.Kind != kind || s.Name != "localhost:5000/shop/cart:1" {
			t.Errorf("%s: %s %s %s", kind, got, s.Kind, s.Name)
		}
		if _, err := source.Open(t.Context(), string(kind)+":nothing", o); err == nil || !strings.Contains(err.Error(), "no such image") {
			t.Errorf("%s: %v, want what the daemon says", kind, err)
		}
	}
	t.Setenv("DOCKER_HOST", "unix://"+socket)
	content(t, open(t, "docker:localhost:5000/shop/cart:1", source.Options{}))
	t.Setenv("DOCKER_HOST", "tcp://example.org:2375")
	if _, err := source.Open(t.Context(), "docker:x", source.Options{}); err == nil || !strings.Contains(err.Error(), "want unix://") {
		t.Errorf("%v, want it to ask for a socket", err)
	}
}

func TestContainerd(t *testing.T) {
	img := imageFor(t, "linux", runtime.GOARCH)
	layoutDir := layoutOf(t, map[string]v1.Image{"cart": img})
	root := t.TempDir()
	store := filepath.Join(root, "io.containerd.content.v1.content")
	if err := os.MkdirAll(store, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(layoutDir, "blobs"), filepath.Join(store, "blobs")); err != nil {
		t.Fatal(err)
	}
	// As ctr image import leaves it: the archive's index is a blob.
	d := digest(t, img)
	m, _ := img.RawManifest()
	index := fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.docker.distribution.manifest.v2+json","digest":%q,"size":%d,"annotations":{"io.containerd.image.name":"docker.io/shop/cart:1"}}]}`, d, len(m))
	h, _, _ := v1.SHA256(strings.NewReader(index))
	if err := os.WriteFile(filepath.Join(store, "blobs/sha256", h.Hex), []byte(index), 0o600); err != nil {
		t.Fatal(err)
	}
	id, _ := img.ConfigName()
	for _, ref := range []string{
		"containerd:" + d,
		"containerd:docker.io/shop/cart@" + d,
		"containerd:" + h.String(),
		"containerd:" + id.String(),
		"containerd:docker.io/shop/cart:1",
		"containerd:shop/cart:1",
		"containerd:" + root + "@" + d,
		"containerd:" + store + "@" + d,
	} {
		s := open(t, ref, source.Options{ContainerdRoot: root})
		if got := content(t, s); got != "linux/"+runtime.GOARCH || s.Digest != d {
			t.Errorf("%s: %s %s", ref, got, s.Digest)
		}
	}
	for ref, want := range map[string]string{
		"containerd:nginx": "give its digest",
		"containerd:sha256:" + strings.Repeat("0", 64): "not in the store",
	} {
		if _, err := source.Open(t.Context(), ref, source.Options{ContainerdRoot: root}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", ref, err, want)
		}
	}
}

func TestLayersThatExpandTooFar(t *testing.T) {
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b, zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 1<<20)
	for range 300 {
		z.Write(zeros)
	}
	z.Close()
	_, err = source.Open(t.Context(), write(t, "bomb.tar.zst", b.Bytes()), source.Options{TempDir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "over the limit of 400") {
		t.Errorf("%v, want a limit", err)
	}
	_, err = source.Open(t.Context(), write(t, "bomb.tar.zst", b.Bytes()), source.Options{TempDir: t.TempDir(), MaxArchive: 10 << 20})
	if err == nil || !strings.Contains(err.Error(), "larger than the limit of 10485760 bytes") {
		t.Errorf("%v, want a limit", err)
	}
}

func TestPlatformOfLayout(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "l")
	index := multiArch(t, "linux/"+runtime.GOARCH, "linux/s390x")
	if _, err := layout.Write(dir, index); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir, source.Options{Platform: "linux/s390x"})
	if diff := cmp.Diff("linux/s390x", content(t, s)); diff != "" {
		t.Error(diff)
	}
}
