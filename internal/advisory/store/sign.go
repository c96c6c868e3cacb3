package store

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// ParsePublicKey reads a PEM file with a PKIX public key, ed25519 or ECDSA, which is what
// `cosign generate-key-pair` and `openssl pkey -pubout` write.
func ParsePublicKey(data []byte) (crypto.PublicKey, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, &Error{errors.New("not a public key in PEM"), "it begins with -----BEGIN PUBLIC KEY-----"}
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	switch key.(type) {
	case ed25519.PublicKey, *ecdsa.PublicKey:
		return key, nil
	}
	return nil, fmt.Errorf("public key: %T, want ed25519 or ECDSA", key)
}

// ParsePrivateKey reads a PEM file with a PKCS #8 private key, ed25519 or ECDSA, without
// a passphrase.
func ParsePrivateKey(data []byte) (crypto.Signer, error) {
	const hint = "openssl genpkey -algorithm ed25519 -out db.key"
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PRIVATE KEY" {
		if block != nil && strings.Contains(block.Type, "ENCRYPTED") {
			return nil, &Error{errors.New("the private key is encrypted"), "sign with what encrypted it: cosign sign-blob --key … manifest.json > manifest.sig"}
		}
		return nil, &Error{errors.New("not a private key in PEM (PKCS #8)"), hint}
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	switch k := key.(type) {
	case ed25519.PrivateKey:
		return k, nil
	case *ecdsa.PrivateKey:
		return k, nil
	}
	return nil, &Error{fmt.Errorf("private key: %T, want ed25519 or ECDSA", key), hint}
}

// sign returns the content of manifest.sig: the signature in base64, as `cosign
// sign-blob` prints it.
func sign(key crypto.Signer, manifest []byte) ([]byte, error) {
	message, opts := manifest, crypto.SignerOpts(crypto.Hash(0))
	if _, ok := key.Public().(ed25519.PublicKey); !ok {
		sum := sha256.Sum256(manifest)
		message, opts = sum[:], crypto.SHA256
	}
	sig, err := key.Sign(rand.Reader, message, opts)
	if err != nil {
		return nil, fmt.Errorf("signing the manifest: %w", err)
	}
	return []byte(base64.StdEncoding.EncodeToString(sig) + "\n"), nil
}

// ErrSignature is in the chain of every error about a signature that is missing or wrong.
var ErrSignature = errors.New("not signed by the key that is asked for")

// verify checks a manifest's signature.
func verify(key crypto.PublicKey, manifest, signature []byte) error {
	if len(signature) == 0 {
		return &Error{fmt.Errorf("manifest: no signature: %w", ErrSignature), "build it with --sign-key, or take it from where it is signed"}
	}
	sig, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(signature)))
	if err != nil {
		return fmt.Errorf("manifest: its signature is no base64: %w", ErrSignature)
	}
	ok := false
	switch k := key.(type) {
	case ed25519.PublicKey:
		ok = ed25519.Verify(k, manifest, sig)
	case *ecdsa.PublicKey:
		sum := sha256.Sum256(manifest)
		ok = ecdsa.VerifyASN1(k, sum[:], sig)
	}
	if !ok {
		return fmt.Errorf("manifest: %w", ErrSignature)
	}
	return nil
}
