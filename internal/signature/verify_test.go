package signature_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"testing"

	"github.com/bulwark-k8s/bulwark/internal/signature"
)

const signType = "https://sigstore.dev/cosign/sign/v1"

func TestKeysOfEveryKind(t *testing.T) {
	s := open(t, nil)
	rsaKey := must(rsa.GenerateKey(rand.Reader, 2048))
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	p384 := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	p521 := must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))
	for name, who := range map[string]*signer{
		"ECDSA P-256":                ecdsaSigner(t),
		"ECDSA P-384 as cosign does": newSigner(t, p384, crypto.SHA256, nil),
		"ECDSA P-384 with its own":   newSigner(t, p384, crypto.SHA384, nil),
		"ECDSA P-521 with its own":   newSigner(t, p521, crypto.SHA512, nil),
		"RSA PKCS1v15":               newSigner(t, rsaKey, crypto.SHA256, nil),
		"RSA PSS with SHA-512":       newSigner(t, rsaKey, crypto.SHA512, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA512}),
		"Ed25519":                    newSigner(t, ed, 0, crypto.Hash(0)),
		"Ed25519 of a digest":        newSigner(t, ed, crypto.SHA512, crypto.SHA512),
	} {
		t.Run(name, func(t *testing.T) {
			who.t = t
			img := s.push("shop/" + strings.ToLower(strings.ReplaceAll(name, " ", "-")) + ":1")
			if v := verify(t, img.tag.String(), by(who), nil); v.Outcome != signature.Refused {
				t.Fatalf("unsigned: %+v", v)
			}
			img.attach(".sig", who.classic(payloadOf(img.repo(), img.digest)))
			v := verify(t, img.tag.String(), by(who), nil)
			if v.Outcome != signature.Verified || v.Digest != img.digest || len(v.Signatures) != 1 || v.Signatures[0].Signer != "release" {
				t.Errorf("classic: %+v", v)
			}
			other := s.push("shop/" + strings.ToLower(strings.ReplaceAll(name, " ", "-")) + ":2")
			other.referBundle(who.bundle(statement("", other.digest, signType, "{}")), signType)
			if v := verify(t, other.ref(), by(who), nil); v.Outcome != signature.Verified || len(v.Signatures) != 1 {
				t.Errorf("bundle: %+v", v)
			}
			if v := verify(t, other.ref(), by(ecdsaSigner(t)), nil); v.Outcome != signature.Refused {
				t.Errorf("somebody else's key: %+v", v)
			}
		})
	}
}

func TestAttestations(t *testing.T) {
	s, who := open(t, nil), ecdsaSigner(t)
	img := s.push("shop/web:1")
	rule := signature.Rule{Attestations: []*signature.Requirement{{Type: "slsaprovenance1", Signers: by(who).Signers}}}
	if v := verify(t, img.ref(), rule, nil); v.Outcome != signature.Refused {
		t.Errorf("without: %+v", v)
	}
	img.attach(".att", who.envelope(statement(img.repo(), img.digest, "https://slsa.dev/provenance/v1", `{"buildDefinition":{"buildType":"x"}}`)))
	if v := verify(t, img.ref(), rule, nil); v.Outcome != signature.Verified || len(v.Attestations) != 1 {
		t.Errorf("with: %+v", v)
	}
}
