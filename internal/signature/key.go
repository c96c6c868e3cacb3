package signature

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	sigstore "github.com/sigstore/sigstore/pkg/signature"
)

// minRSA is the least size of an RSA key, in bits.
const minRSA = 2048

// A Key is a public key that may have signed an image.
type Key struct {
	// Fingerprint is the digest of the key in its PKIX form, "sha256:…".
	Fingerprint string
	public      crypto.PublicKey
	verifiers   []sigstore.Verifier
}

// ParseKey reads a public key as cosign writes it (cosign.pub): one PEM block, ECDSA on
// P-256, P-384 or P-521, RSA of at least 2048 bits, or Ed25519.
func ParseKey(text []byte) (*Key, error) {
	block, rest := pem.Decode(text)
	switch {
	case block == nil:
		return nil, errors.New("no PEM, want a PUBLIC KEY")
	case strings.Contains(block.Type, "PRIVATE"):
		return nil, errors.New("it is a private key, want the public one (cosign.pub)")
	case len(bytes.TrimSpace(rest)) > 0:
		return nil, errors.New("more follows the first key, want one key")
	}
	var public crypto.PublicKey
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		public, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		public, err = x509.ParsePKCS1PublicKey(block.Bytes)
	default:
		return nil, fmt.Errorf("it is a %.40q, want a PUBLIC KEY", block.Type)
	}
	if err != nil {
		return nil, errors.New("no public key that can be read")
	}
	return NewKey(public)
}

// NewKey takes a public key. How it signs is not part of a key, and the tools differ:
// cosign hashes with SHA-256 whatever the curve (v2, pkg/signature/keys.go), sigstore-go
// with what goes with the curve (pkg/sign/keys.go). Each way that is safe with the key
// counts.
func NewKey(public crypto.PublicKey) (*Key, error) {
	k := &Key{public: public}
	add := func(v sigstore.Verifier, err error) {
		if err == nil {
			k.verifiers = append(k.verifiers, v)
		}
	}
	switch p := public.(type) {
	case *ecdsa.PublicKey:
		add(sigstore.LoadECDSAVerifier(p, crypto.SHA256))
		switch p.Curve {
		case elliptic.P256():
		case elliptic.P384():
			add(sigstore.LoadECDSAVerifier(p, crypto.SHA384))
		case elliptic.P521():
			add(sigstore.LoadECDSAVerifier(p, crypto.SHA512))
		default:
			return nil, errors.New("ECDSA on another curve, want P-256, P-384 or P-521")
		}
	case *rsa.PublicKey:
		if p.N.BitLen() < minRSA {
			return nil, fmt.Errorf("RSA with %d bits, want at least %d", p.N.BitLen(), minRSA)
		}
		for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
			add(sigstore.LoadRSAPKCS1v15Verifier(p, h))
			add(sigstore.LoadRSAPSSVerifier(p, h, nil))
		}
	case ed25519.PublicKey:
		add(sigstore.LoadED25519Verifier(p))
		add(sigstore.LoadED25519phVerifier(p))
	default:
		return nil, fmt.Errorf("a key of type %T, want ECDSA, RSA or Ed25519", public)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil || len(k.verifiers) == 0 {
		return nil, errors.New("no public key that can be used")
	}
	k.Fingerprint = digestOf(der)
	return k, nil
}

// PublicKey is what sigstore-go compares with a log's entry.
func (k *Key) PublicKey(...sigstore.PublicKeyOption) (crypto.PublicKey, error) { return k.public, nil }

// VerifySignature accepts what one of the key's ways of signing does.
func (k *Key) VerifySignature(signature, message io.Reader, options ...sigstore.VerifyOption) error {
	sig, err := io.ReadAll(signature)
	if err != nil {
		return err
	}
	msg, err := io.ReadAll(message)
	if err != nil {
		return err
	}
	for _, v := range k.verifiers {
		if v.VerifySignature(bytes.NewReader(sig), bytes.NewReader(msg), options...) == nil {
			return nil
		}
	}
	return errors.New("it is not this key's signature")
}

// ValidAtTime reports true: a key that may no longer sign is taken out of the policy.
func (k *Key) ValidAtTime(time.Time) bool { return true }

// trust is a trusted root with one key, which is used whatever hint a bundle gives: the
// hint is not signed.
type trust struct {
	root.TrustedMaterial
	key *Key
}

func (t trust) PublicKeyVerifier(string) (root.TimeConstrainedVerifier, error) {
	if t.key == nil {
		return nil, errors.New("a key, want a certificate")
	}
	return t.key, nil
}
