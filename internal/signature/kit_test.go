package signature_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/bulwark-k8s/bulwark/internal/signature"
)

// now is when the tests take place, for conditions.
var now = time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)

const (
	simpleType = "application/vnd.dev.cosign.simplesigning.v1+json"
	dsseType   = "application/vnd.dsse.envelope.v1+json"
	bundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"
)

// A shop is a registry on this machine.
type shop struct {
	t    testing.TB
	host string
}

// open starts a registry. What stands before it may answer in its place.
func open(t testing.TB, before func(next http.Handler) http.Handler) *shop {
	t.Helper()
	h := registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true))
	if before != nil {
		h = before(h)
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return &shop{t, u.Host}
}

func (s *shop) tag(text string) name.Tag {
	s.t.Helper()
	tag, err := name.NewTag(s.host + "/" + text)
	if err != nil {
		s.t.Fatal(err)
	}
	return tag
}

// push writes an image of its own to a tag.
func (s *shop) push(text string) *pushed {
	s.t.Helper()
	img, err := random.Image(64, 1)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.write(text, img)
}

func (s *shop) write(text string, img v1.Image) *pushed {
	s.t.Helper()
	tag := s.tag(text)
	if err := remote.Write(tag, img); err != nil {
		s.t.Fatal(err)
	}
	d, err := img.Digest()
	if err != nil {
		s.t.Fatal(err)
	}
	raw, err := img.RawManifest()
	if err != nil {
		s.t.Fatal(err)
	}
	return &pushed{s, tag, d.String(), raw}
}

// A pushed is an image in the registry.
type pushed struct {
	shop   *shop
	tag    name.Tag
	digest string
	raw    []byte
}

func (p *pushed) repo() string { return p.tag.Context().Name() }
func (p *pushed) ref() string  { return p.repo() + "@" + p.digest }

// A layer is one of something attached.
type layer struct {
	data        []byte
	mediaType   types.MediaType
	annotations map[string]string
}

// attach writes layers under the tag that cosign uses: .sig or .att.
func (p *pushed) attach(suffix string, layers ...layer) {
	p.shop.t.Helper()
	p.put(p.tag.Context().Tag(strings.Replace(p.digest, ":", "-", 1)+suffix), map[string]any{}, layers)
}

// refer writes a referrer with one layer.
func (p *pushed) refer(artifactType string, l layer, annotations map[string]string) {
	p.shop.t.Helper()
	p.put(nil, map[string]any{
		"artifactType": artifactType, "annotations": annotations,
		"subject": map[string]any{"mediaType": types.OCIManifestSchema1, "digest": p.digest, "size": len(p.raw)},
	}, []layer{l})
}

// put writes a manifest with layers to a tag, or without one.
func (p *pushed) put(to name.Reference, m map[string]any, layers []layer) {
	p.shop.t.Helper()
	const emptyType = "application/vnd.oci.empty.v1+json"
	blobs := map[string]layer{"config": {[]byte("{}"), emptyType, nil}}
	descriptors := []any{}
	for _, l := range layers {
		blobs[digestOf(l.data)] = l
		descriptors = append(descriptors, map[string]any{"mediaType": l.mediaType, "digest": digestOf(l.data), "size": len(l.data), "annotations": l.annotations})
	}
	for _, l := range blobs {
		if err := remote.WriteLayer(p.tag.Context(), static.NewLayer(l.data, l.mediaType)); err != nil {
			p.shop.t.Fatal(err)
		}
	}
	m["schemaVersion"], m["mediaType"], m["layers"] = 2, types.OCIManifestSchema1, descriptors
	m["config"] = map[string]any{"mediaType": emptyType, "digest": digestOf([]byte("{}")), "size": 2}
	raw := must(json.Marshal(m))
	if to == nil {
		to = p.tag.Context().Digest(digestOf(raw))
	}
	if err := remote.Put(to, manifest{raw, types.OCIManifestSchema1}); err != nil {
		p.shop.t.Fatal(err)
	}
}

type manifest struct {
	raw []byte
	as  types.MediaType
}

func (m manifest) RawManifest() ([]byte, error)        { return m.raw, nil }
func (m manifest) MediaType() (types.MediaType, error) { return m.as, nil }

func digestOf(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

// A signer holds a private key, and signs as cosign does with it.
type signer struct {
	t    testing.TB
	key  crypto.Signer
	hash crypto.Hash // 0: the message itself
	opts crypto.SignerOpts
	pem  []byte
}

func newSigner(t testing.TB, key crypto.Signer, hash crypto.Hash, opts crypto.SignerOpts) *signer {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	if opts == nil {
		opts = hash
	}
	return &signer{t, key, hash, opts, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})}
}

func ecdsaSigner(t testing.TB) *signer {
	t.Helper()
	return newSigner(t, must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), crypto.SHA256, nil)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func (s *signer) sign(msg []byte) []byte {
	s.t.Helper()
	if s.hash != 0 {
		h := s.hash.New()
		h.Write(msg)
		msg = h.Sum(nil)
	}
	sig, err := s.key.Sign(rand.Reader, msg, s.opts)
	if err != nil {
		s.t.Fatal(err)
	}
	return sig
}

func (s *signer) public() *signature.Key {
	s.t.Helper()
	k, err := signature.ParseKey(s.pem)
	if err != nil {
		s.t.Fatal(err)
	}
	return k
}

// payloadOf is what cosign signs in its classic scheme.
func payloadOf(repository, digest string) []byte {
	return fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":%q},"image":{"docker-manifest-digest":%q},"type":"cosign container image signature"},"optional":null}`, repository, digest)
}

// classic is a classic signature's layer.
func (s *signer) classic(payload []byte) layer {
	s.t.Helper()
	return layer{payload, simpleType, map[string]string{"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(s.sign(payload))}}
}

// statement is an in-toto statement about a digest.
func statement(name, digest, predicateType, predicate string) []byte {
	subject := map[string]any{"digest": map[string]string{"sha256": strings.TrimPrefix(digest, "sha256:")}}
	if name != "" {
		subject["name"] = name
	}
	return must(json.Marshal(map[string]any{"_type": "https://in-toto.io/Statement/v1", "subject": []any{subject}, "predicateType": predicateType, "predicate": json.RawMessage(predicate)}))
}

// envelope is a DSSE envelope as a layer of cosign's .att.
func (s *signer) envelope(statement []byte) layer {
	s.t.Helper()
	const as = "application/vnd.in-toto+json"
	sig := s.sign(dsse.PAE(as, statement))
	data := must(json.Marshal(map[string]any{"payloadType": as, "payload": statement, "signatures": []any{map[string]any{"keyid": "", "sig": sig}}}))
	return layer{data, dsseType, map[string]string{"dev.cosignproject.cosign/signature": ""}}
}

// bundle is the same in a bundle, as cosign v3 attaches it.
func (s *signer) bundle(statement []byte) layer {
	s.t.Helper()
	const as = "application/vnd.in-toto+json"
	return bundled(&protobundle.Bundle{
		MediaType: bundleType,
		VerificationMaterial: &protobundle.VerificationMaterial{
			Content: &protobundle.VerificationMaterial_PublicKey{PublicKey: &protocommon.PublicKeyIdentifier{Hint: "any"}},
		},
		Content: &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{
			PayloadType: as, Payload: statement, Signatures: []*protodsse.Signature{{Sig: s.sign(dsse.PAE(as, statement))}},
		}},
	})
}

func bundled(b *protobundle.Bundle) layer {
	// protojson puts spaces in at random.
	var compact bytes.Buffer
	if err := json.Compact(&compact, must(protojson.Marshal(b))); err != nil {
		panic(err)
	}
	return layer{compact.Bytes(), types.MediaType(bundleType), nil}
}

// referBundle attaches a bundle as cosign v3 does.
func (p *pushed) referBundle(l layer, predicateType string) {
	p.shop.t.Helper()
	p.refer(bundleType, l, map[string]string{"dev.sigstore.bundle.content": "dsse-envelope", "dev.sigstore.bundle.predicateType": predicateType})
}

// verify holds an image against a rule as flags give it.
func verify(t testing.TB, ref string, r signature.Rule, trustedRoot []byte) *signature.Verdict {
	t.Helper()
	p, err := signature.PolicyOf(r, trustedRoot)
	if err != nil {
		t.Fatal(err)
	}
	return hold(t, ref, p)
}

func hold(t testing.TB, ref string, p *signature.Policy) *signature.Verdict {
	t.Helper()
	reg, err := signature.NewRegistry(signature.RegistryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	v, err := signature.New(p, reg, signature.Options{Now: func() time.Time { return now }, All: true}).Verify(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// by is a rule that asks for one signature by one key.
func by(s *signer) signature.Rule {
	return signature.Rule{Signers: []*signature.Signer{{Name: "release", Key: s.public()}}, Signatures: 1}
}
