package signature_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/bulwark-k8s/bulwark/internal/signature"
)

// A shelf is a store of one image in memory, with what is attached to it.
type shelf struct {
	image     []byte
	manifests map[string][]byte // by tag or digest
	blobs     map[string][]byte
	refer     []v1.Descriptor
}

const shelved = "registry.example/shop/web"

func newShelf() *shelf {
	image := []byte(`{"schemaVersion":2}`)
	return &shelf{image, map[string][]byte{digestOf(image): image, "1": image}, map[string][]byte{}, nil}
}

func (s *shelf) digest() string { return digestOf(s.image) }

func (s *shelf) attach(as string, l layer) {
	s.blobs[digestOf(l.data)] = l.data
	subject := v1.Hash{Algorithm: "sha256", Hex: strings.TrimPrefix(s.digest(), "sha256:")}
	raw := must(json.Marshal(map[string]any{
		"layers":  []any{map[string]any{"mediaType": l.mediaType, "digest": digestOf(l.data), "size": len(l.data), "annotations": l.annotations}},
		"subject": v1.Descriptor{Digest: subject},
	}))
	if as != "" {
		s.manifests[strings.Replace(s.digest(), ":", "-", 1)+as] = raw
		return
	}
	s.manifests[digestOf(raw)] = raw
	s.refer = append(s.refer, v1.Descriptor{Digest: v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", sha256.Sum256(raw))}, ArtifactType: bundleType})
}

func (s *shelf) Open(string) (signature.Repository, string, error) { return s, s.digest(), nil }
func (s *shelf) Name() string                                      { return shelved }

func (s *shelf) Manifest(_ context.Context, identifier string) (*signature.Manifest, error) {
	raw, ok := s.manifests[identifier]
	if !ok {
		return nil, signature.ErrNotFound
	}
	return &signature.Manifest{Digest: digestOf(raw), Bytes: raw}, nil
}

func (s *shelf) Blob(_ context.Context, digest string, _ int64) ([]byte, error) {
	data, ok := s.blobs[digest]
	if !ok {
		return nil, signature.ErrNotFound
	}
	return data, nil
}

func (s *shelf) Referrers(context.Context, string) ([]v1.Descriptor, error) { return s.refer, nil }

func (s *shelf) verify(t testing.TB, p *signature.Policy) *signature.Verdict {
	t.Helper()
	v, err := signature.New(p, s, signature.Options{Now: time.Now, All: true}).Verify(t.Context(), shelved+"@"+s.digest())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// edit cuts bytes out of a text and puts others in. Fuzzing edits what was signed in the
// process that fuzzes, since each has keys of its own.
func edit(data []byte, at uint16, cut uint8, insert []byte) []byte {
	from := int(at) % (len(data) + 1)
	to := min(from+int(cut), len(data))
	return slices.Concat(data[:from], insert, data[to:])
}

// FuzzBundle: whatever is attached, it verifies only with the statement that was signed.
func FuzzBundle(f *testing.F) {
	a := newAuthority(f)
	c := a.issue(workflow, issuer, time.Now().Add(-2*time.Minute), true)
	signed := statement("", newShelf().digest(), signType, "{}")
	policy := must(signature.PolicyOf(identity(), a.trusted))
	good := bundled(c.proto(signed)).data
	for at := range 40 {
		f.Add(uint16(at*len(good)/40), uint8(1), []byte("A"))
	}
	f.Add(uint16(0), uint8(0), []byte{})
	f.Add(uint16(len(good)-1), uint8(0), []byte(`,"dsseEnvelope":{"payload":"e30=","payloadType":"x","signatures":[]}`))
	f.Fuzz(func(t *testing.T, at uint16, cut uint8, insert []byte) {
		s := newShelf()
		data := edit(good, at, cut, insert)
		s.attach("", layer{data, bundleType, nil})
		if s.verify(t, policy).Outcome != signature.Verified {
			if bytes.Equal(data, good) {
				t.Fatal("what was signed does not verify")
			}
			return
		}
		var b protobundle.Bundle
		if err := protojson.Unmarshal(data, &b); err != nil || !bytes.Equal(b.GetDsseEnvelope().GetPayload(), signed) {
			t.Fatalf("it verifies and is not what was signed: %s", data)
		}
	})
}

// FuzzClassic: a payload verifies only if it is the one that was signed, whatever stands
// in the annotations.
func FuzzClassic(f *testing.F) {
	a, who := newAuthority(f), ecdsaSigner(f)
	c := a.issue(workflow, issuer, time.Now().Add(-2*time.Minute), true)
	c.timestamp = true
	signed := payloadOf(shelved, newShelf().digest())
	off := false
	rule := identity()
	rule.Log, rule.Signers = &off, append(rule.Signers, by(who).Signers...)
	policy := must(signature.PolicyOf(rule, a.trusted))
	layers := []layer{c.keyless(signed), who.classic(signed)}
	names := []string{"", "dev.cosignproject.cosign/signature", "dev.sigstore.cosign/certificate", "dev.sigstore.cosign/bundle", "dev.sigstore.cosign/rfc3161timestamp"}
	for which := range uint8(2) {
		for what := range uint8(5) {
			f.Add(which, what, uint16(40), uint8(1), []byte("A"))
		}
		f.Add(which, uint8(0), uint16(0), uint8(0), []byte{})
	}
	f.Fuzz(func(t *testing.T, which, what uint8, at uint16, cut uint8, insert []byte) {
		s := newShelf()
		l := layers[int(which)%len(layers)]
		if name := names[int(what)%len(names)]; name == "" {
			l.data = edit(l.data, at, cut, insert)
		} else {
			l.annotations = maps.Clone(l.annotations)
			l.annotations[name] = string(edit([]byte(l.annotations[name]), at, cut, insert))
		}
		s.attach(".sig", l)
		if s.verify(t, policy).Outcome == signature.Verified && !bytes.Equal(l.data, signed) {
			t.Fatalf("it verifies and is not what was signed: %s", l.data)
		}
	})
}

// FuzzPolicy: no policy lets an image pass that nobody signed, unless it says allow.
func FuzzPolicy(f *testing.F) {
	who, a := ecdsaSigner(f), newAuthority(f)
	f.Add("default: allow\n" + ruleHead)
	f.Add(ruleHead + "  signatures: all\n  digest: required\n  signedAs: ['**']\n  attestations: [{type: spdx, conditions: ['true']}]\n  base: {layers: [['" + digestOf(nil) + "']]}\n")
	f.Add("rules: [{images: ['**'], signers: [{identityPattern: 'a.*', issuer: 'https://i.example'}], trustedRoot: root.json, transparencyLog: false, certificateTransparency: false}]")
	f.Add("rules: [{images: ['registry.example/**/web'], action: deny}]")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := signature.ParsePolicy("images.yaml", []byte(text), func(path string) ([]byte, error) {
			if path == "root.json" {
				return a.trusted, nil
			}
			return who.pem, nil
		})
		if err != nil {
			return
		}
		if v := newShelf().verify(t, p); v.Outcome.OK() && !strings.Contains(text, "allow") && !strings.Contains(text, `\`) {
			t.Fatalf("%s by %q: %q", v.Outcome, v.Rule, text)
		}
	})
}
