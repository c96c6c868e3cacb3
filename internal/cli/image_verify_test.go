package cli

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/rogpeppe/go-internal/testscript"
)

// signedImages starts a registry, $REGISTRY, with shop/web:1, which the key of cosign.pub
// signed as cosign does, and shop/cart:1, which nobody signed; other.pub is another key.
func signedImages(ts *testscript.TestScript, _ bool, _ []string) {
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true)))
	ts.Defer(s.Close)
	host := strings.TrimPrefix(s.URL, "http://")
	ts.Setenv("REGISTRY", host)
	var key *ecdsa.PrivateKey
	for _, file := range []string{"other.pub", "cosign.pub"} {
		var err error
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		ts.Check(err)
		der, err := x509.MarshalPKIXPublicKey(key.Public())
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(file), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600))
	}
	for _, repo := range []string{"shop/cart", "shop/web"} {
		tag, err := name.NewTag(host + "/" + repo + ":1")
		ts.Check(err)
		img, err := random.Image(64, 1)
		ts.Check(err)
		ts.Check(remote.Write(tag, img))
		digest, err := img.Digest()
		ts.Check(err)
		ts.Setenv("DIGEST", digest.String())
		if repo != "shop/web" {
			continue
		}
		payload := fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":%q},"image":{"docker-manifest-digest":%q},"type":"cosign container image signature"},"optional":null}`, tag.Context().Name(), digest)
		sum := sha256.Sum256(payload)
		sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
		ts.Check(err)
		const simple = types.MediaType("application/vnd.dev.cosign.simplesigning.v1+json")
		signature, err := mutate.Append(mutate.MediaType(empty.Image, types.OCIManifestSchema1), mutate.Addendum{
			Layer: static.NewLayer(payload, simple), MediaType: simple,
			Annotations: map[string]string{"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(sig)},
		})
		ts.Check(err)
		ts.Check(remote.Write(tag.Context().Tag(strings.Replace(digest.String(), ":", "-", 1)+".sig"), signature))
	}
}
