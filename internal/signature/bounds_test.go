package signature_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/bulwark-k8s/bulwark/internal/signature"
)

// front answers in a registry's place where the function wants to.
func front(answer func(w http.ResponseWriter, r *http.Request, next http.Handler) bool) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !answer(w, r, next) {
				next.ServeHTTP(w, r)
			}
		})
	}
}

// TestARegistryThatFails: what could not be asked is unknown, unless what was found is
// enough.
func TestARegistryThatFails(t *testing.T) {
	who := ecdsaSigner(t)
	for name, c := range map[string]struct {
		fails  func(*http.Request) bool
		signed bool
		want   signature.Outcome
	}{
		"the image":                     {func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/manifests/1") }, true, signature.Unknown},
		"the signatures":                {func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, ".sig") }, true, signature.Unknown},
		"the payload":                   {func(r *http.Request) bool { return strings.Contains(r.URL.Path, "/blobs/") }, true, signature.Unknown},
		"the referrers, and signed":     {func(r *http.Request) bool { return strings.Contains(r.URL.Path, "/referrers/") }, true, signature.Verified},
		"the referrers, and not signed": {func(r *http.Request) bool { return strings.Contains(r.URL.Path, "/referrers/") }, false, signature.Unknown},
		"nothing":                       {func(*http.Request) bool { return false }, false, signature.Refused},
	} {
		t.Run(name, func(t *testing.T) {
			closed := false
			s := open(t, front(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
				if closed && r.Method == http.MethodGet && c.fails(r) {
					w.WriteHeader(http.StatusForbidden)
					return true
				}
				return false
			}))
			img := s.push("shop/web:1")
			if c.signed {
				img.attach(".sig", who.classic(payloadOf(img.repo(), img.digest)))
			}
			closed = true
			if v := verify(t, img.tag.String(), by(who), nil); v.Outcome != c.want {
				t.Errorf("%+v", v)
			}
		})
	}
}

// TestARegistryThatLies: an answer is what the digest says, or none.
func TestARegistryThatLies(t *testing.T) {
	who := ecdsaSigner(t)
	for _, what := range []string{"/manifests/sha256:", "/blobs/", ".sig"} {
		lying := false
		s := open(t, front(func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
			if !lying || r.Method != http.MethodGet || !strings.Contains(r.URL.Path, what) {
				return false
			}
			rec := httptest.NewRecorder()
			next.ServeHTTP(rec, r)
			body := append(bytes.TrimSuffix(rec.Body.Bytes(), []byte("}")), []byte(` }`)...)
			maps.Copy(w.Header(), rec.Header())
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			_, _ = w.Write(body)
			return true
		}))
		img := s.push("shop/web:1")
		img.attach(".sig", who.classic(payloadOf(img.repo(), img.digest)))
		lying = what != ".sig" // a tag may point to anything: there is nothing to lie about
		v := verify(t, img.ref(), by(who), nil)
		if lying && v.Outcome.OK() || !lying && !v.Outcome.OK() {
			t.Errorf("%s: %+v", what, v)
		}
	}
}

// TestATagThatMoves: the tag is asked once, so what is verified is what is told.
func TestATagThatMoves(t *testing.T) {
	who, asked := ecdsaSigner(t), 0
	s := open(t, front(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/manifests/1") {
			asked++
		}
		return false
	}))
	img := s.push("shop/web:1")
	img.attach(".sig", who.classic(payloadOf(img.repo(), img.digest)))
	if v := verify(t, img.tag.String(), by(who), nil); v.Outcome != signature.Verified || v.Digest != img.digest || asked != 1 {
		t.Errorf("asked %d times: %+v", asked, v)
	}
}

// TestWhatIsTooLarge: whoever may push cannot make the verifier hold more than its limits.
func TestWhatIsTooLarge(t *testing.T) {
	who := ecdsaSigner(t)
	endless := func(w http.ResponseWriter) {
		chunk := bytes.Repeat([]byte(" "), 1<<20)
		for range 1 << 10 {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
	for _, what := range []string{"/manifests/1", ".sig", ".att", "/blobs/", "/referrers/"} {
		t.Run(what, func(t *testing.T) {
			flooding := false
			s := open(t, front(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
				if !flooding || r.Method != http.MethodGet || !strings.Contains(r.URL.Path+"?", what) {
					return false
				}
				w.Header().Set("Content-Type", string(types.OCIImageIndex))
				endless(w)
				return true
			}))
			img := s.push("shop/web:1")
			if what == "/blobs/" {
				img.attach(".sig", who.classic(payloadOf(img.repo(), img.digest)))
			}
			flooding = true
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			v := verify(t, img.tag.String(), by(who), nil)
			runtime.ReadMemStats(&after)
			if v.Outcome != signature.Unknown {
				t.Errorf("%+v", v)
			}
			if grown := (after.TotalAlloc - before.TotalAlloc) >> 20; grown > 200 {
				t.Errorf("%d MB were allocated for an answer of a gigabyte", grown)
			}
		})
	}
}

// TestThousandsOfSignatures: more than are looked at are not looked at, which is told.
func TestThousandsOfSignatures(t *testing.T) {
	s, who, stranger := open(t, nil), ecdsaSigner(t), ecdsaSigner(t)
	img := s.push("shop/web:1")
	p := payloadOf(img.repo(), img.digest)
	layers := make([]layer, 2000)
	for i := range layers {
		layers[i] = stranger.classic(p)
	}
	img.attach(".sig", layers...)
	v := verify(t, img.ref(), by(who), nil)
	if v.Outcome != signature.Unknown || !strings.Contains(fmt.Sprint(v.Reasons), "1744 more than the 256") {
		t.Errorf("%s %v", v.Outcome, v.Reasons)
	}
	layers[100] = who.classic(p)
	img.attach(".sig", layers...)
	if v := verify(t, img.ref(), by(who), nil); v.Outcome != signature.Verified {
		t.Errorf("%s %v", v.Outcome, v.Reasons)
	}
}

// TestReferrersOfManyPages: the signature stands on the last page, and credentials are not
// carried to another host.
func TestReferrersOfManyPages(t *testing.T) {
	who := ecdsaSigner(t)
	elsewhere := 0
	evil := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere++ }))
	t.Cleanup(evil.Close)
	link := func(int, string) string { return "" }
	s := open(t, front(func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/referrers/") {
			return false
		}
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		var index struct {
			SchemaVersion int               `json:"schemaVersion"`
			MediaType     string            `json:"mediaType"`
			Manifests     []json.RawMessage `json:"manifests"`
		}
		if err := json.Unmarshal(rec.Body.Bytes(), &index); err != nil {
			t.Error(err)
		}
		page, _ := strconv.Atoi(r.URL.Query().Get("page"))
		if to := link(page, r.URL.Path); to != "" {
			w.Header().Set("Link", "<"+to+`>; rel="next"`)
			index.Manifests = nil
		}
		w.Header().Set("Content-Type", string(types.OCIImageIndex))
		_ = json.NewEncoder(w).Encode(index)
		return true
	}))
	img := s.push("shop/web:1")
	img.referBundle(who.bundle(statement("", img.digest, signType, "{}")), signType)
	for name, c := range map[string]struct {
		link func(page int, path string) string
		want signature.Outcome
	}{
		"three pages": {func(page int, path string) string {
			if page == 2 {
				return ""
			}
			return fmt.Sprintf("%s?page=%d", path, page+1)
		}, signature.Verified},
		"without end":  {func(page int, path string) string { return fmt.Sprintf("%s?page=%d", path, page+1) }, signature.Unknown},
		"another host": {func(_ int, path string) string { return evil.URL + path }, signature.Refused},
		"another path": {func(int, string) string { return "/v2/other/referrers/x" }, signature.Refused},
	} {
		link = c.link
		if v := verify(t, img.ref(), by(who), nil); v.Outcome != c.want {
			t.Errorf("%s: %+v", name, v)
		}
	}
	if elsewhere > 0 {
		t.Error("another host was asked")
	}
}

// TestALayout: images in a folder, as skopeo writes them and with what is attached.
func TestALayout(t *testing.T) {
	who := ecdsaSigner(t)
	dir := t.TempDir()
	path := must(layout.Write(dir, empty.Index))
	img := must(random.Image(64, 1))
	digest := must(img.Digest()).String()
	add := func(tag string, l ...layer) {
		into := img
		if len(l) > 0 {
			into = mutate.MediaType(empty.Image, types.OCIManifestSchema1)
			for _, l := range l {
				into = must(mutate.Append(into, mutate.Addendum{Layer: static.NewLayer(l.data, l.mediaType), MediaType: l.mediaType, Annotations: l.annotations}))
			}
		}
		if err := path.AppendImage(into, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": tag})); err != nil {
			t.Fatal(err)
		}
	}
	add("1")
	check := func(ref, as string, want signature.Outcome) {
		t.Helper()
		p := must(signature.PolicyOf(by(who), nil))
		v, err := signature.New(p, signature.Layouts{As: as}, signature.Options{Now: nil}).Verify(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		if v.Outcome != want {
			t.Errorf("%s: %+v", ref, v)
		}
	}
	check("oci:"+dir, "", signature.Refused)
	add(strings.Replace(digest, ":", "-", 1)+".sig", who.classic(payloadOf("registry.example/shop/web", digest)))
	check("oci:"+dir, "", signature.Verified)
	check("oci:"+dir+":1", "registry.example/shop/web", signature.Verified)
	check("oci:"+dir+"@"+digest, "registry.example/shop/web", signature.Verified)
	check("oci:"+dir+":1", "registry.example/shop/cart", signature.Refused)
	check("oci:"+dir+":2", "", signature.Refused)
	check("oci:"+dir+"/nowhere", "", signature.Unknown)
	blob := filepath.Join(dir, "blobs", "sha256", strings.TrimPrefix(digest, "sha256:"))
	if err := os.WriteFile(blob, append(must(os.ReadFile(blob)), ' '), 0o600); err != nil {
		t.Fatal(err)
	}
	check("oci:"+dir+":1", "", signature.Unknown)
}

func TestBaseImages(t *testing.T) {
	s, who := open(t, nil), ecdsaSigner(t)
	base := must(random.Image(64, 2))
	ids := must(base.ConfigFile()).RootFS.DiffIDs
	built := must(mutate.AppendLayers(base, must(random.Layer(64, types.OCILayer))))
	plain := s.write("shop/web:1", built)
	named := s.write("shop/web:2", mutate.Annotations(mutate.MediaType(must(random.Image(64, 1)), types.OCIManifestSchema1), map[string]string{
		"org.opencontainers.image.base.name": "registry.example/base/debian:12", "org.opencontainers.image.base.digest": digestOf([]byte("base")),
	}).(v1.Image))
	chain := []string{ids[0].String(), ids[1].String()}
	for name, c := range map[string]struct {
		img  *pushed
		base signature.BaseRule
		want signature.Outcome
	}{
		"its layers":                 {plain, signature.BaseRule{Layers: [][]string{chain}}, signature.Verified},
		"its first layer":            {plain, signature.BaseRule{Layers: [][]string{chain[:1]}}, signature.Verified},
		"its layers in another turn": {plain, signature.BaseRule{Layers: [][]string{{chain[1], chain[0]}}}, signature.Refused},
		"its name":                   {named, signature.BaseRule{Images: []string{"registry.example/base/*"}}, signature.Verified},
		"another name":               {named, signature.BaseRule{Images: []string{"registry.example/bases/*"}}, signature.Refused},
		"its digest":                 {named, signature.BaseRule{Digests: []string{digestOf([]byte("base"))}}, signature.Verified},
		"another digest":             {named, signature.BaseRule{Digests: []string{digestOf([]byte("other"))}}, signature.Refused},
		"nothing is said of it":      {plain, signature.BaseRule{Images: []string{"registry.example/base/*"}}, signature.Refused},
	} {
		c.img.attach(".sig", who.classic(payloadOf(c.img.repo(), c.img.digest)))
		r := by(who)
		r.Base = &c.base
		if v := verify(t, c.img.ref(), r, nil); v.Outcome != c.want || c.want == signature.Verified && v.Base == "" {
			t.Errorf("%s: %+v", name, v)
		}
	}
	material := fmt.Sprintf(`{"buildDefinition":{"resolvedDependencies":[{"uri":"pkg:docker/debian@12","digest":{"sha256":%q}}]}}`, strings.TrimPrefix(digestOf([]byte("base")), "sha256:"))
	plain.attach(".att", who.envelope(statement("", plain.digest, "https://slsa.dev/provenance/v1", material)))
	r := by(who)
	r.Base = &signature.BaseRule{Digests: []string{digestOf([]byte("base"))}}
	if v := verify(t, plain.ref(), r, nil); v.Outcome != signature.Verified {
		t.Errorf("the provenance's: %+v", v)
	}
	stranger := signature.Rule{Signers: []*signature.Signer{{Key: ecdsaSigner(t).public()}}, Signatures: 1, Base: r.Base}
	if v := verify(t, plain.ref(), stranger, nil); v.Base != "" {
		t.Errorf("the provenance of somebody whom nobody trusts: %+v", v)
	}
}
