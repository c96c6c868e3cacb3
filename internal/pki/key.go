package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Algorithm is a kind and size of private key. The zero value is ECDSA P-256.
type Algorithm string

// The algorithms every Kubernetes component accepts for serving, for client
// certificates and for service account tokens. Ed25519 is left out: the
// apiserver cannot sign tokens with it.
const (
	ECDSAP256 Algorithm = "ECDSA-P256"
	ECDSAP384 Algorithm = "ECDSA-P384"
	RSA2048   Algorithm = "RSA-2048"
	RSA3072   Algorithm = "RSA-3072"
	RSA4096   Algorithm = "RSA-4096"
)

// Algorithms lists what ParseAlgorithm accepts, the default first.
var Algorithms = []Algorithm{ECDSAP256, ECDSAP384, RSA2048, RSA3072, RSA4096}

// ParseAlgorithm reads an algorithm's name, in any case.
func ParseAlgorithm(s string) (Algorithm, error) {
	want := Algorithm(strings.ToUpper(s))
	if slices.Contains(Algorithms, want) {
		return want, nil
	}
	return "", fmt.Errorf("key algorithm %q: want one of %v", s, Algorithms)
}

// Generate makes a new private key.
func (a Algorithm) Generate() (crypto.Signer, error) {
	switch a {
	case "", ECDSAP256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case ECDSAP384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case RSA2048:
		return rsa.GenerateKey(rand.Reader, 2048)
	case RSA3072:
		return rsa.GenerateKey(rand.Reader, 3072)
	case RSA4096:
		return rsa.GenerateKey(rand.Reader, 4096)
	}
	return nil, fmt.Errorf("key algorithm %q: want one of %v", string(a), Algorithms)
}

// The labels of the PEM blocks this package writes and reads.
const (
	blockCertificate = "CERTIFICATE"
	blockKey         = "PRIVATE KEY" // PKCS #8: one label for every algorithm
	blockPublicKey   = "PUBLIC KEY"
)

// EncodeKey returns the private key as PKCS #8 in PEM.
func EncodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: blockKey, Bytes: der}), nil
}

// EncodePublicKey returns the public half as PKIX in PEM, which is what
// --service-account-key-file reads.
func EncodePublicKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("encoding a public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: blockPublicKey, Bytes: der}), nil
}

// EncodeCertificate returns the certificate in PEM.
func EncodeCertificate(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: blockCertificate, Bytes: cert.Raw})
}

// ParseCertificate reads the first certificate of a PEM file.
func ParseCertificate(data []byte) (*x509.Certificate, error) {
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return nil, errors.New("no certificate in PEM form")
		}
		if block.Type == blockCertificate {
			return x509.ParseCertificate(block.Bytes)
		}
		data = rest
	}
}

// ParseKey reads the first private key of a PEM file: PKCS #8, or the older
// forms that openssl and kubeadm write.
func ParseKey(data []byte) (crypto.Signer, error) {
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return nil, errors.New("no private key in PEM form")
		}
		data = rest
		var key any
		var err error
		switch block.Type {
		case blockKey:
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		default:
			continue
		}
		if err != nil {
			// The parser's own words stay out: they could quote the input.
			return nil, errors.New("malformed private key")
		}
		signer, ok := key.(crypto.Signer)
		if !ok {
			return nil, fmt.Errorf("private key of type %T cannot sign", key)
		}
		return signer, nil
	}
}

// algorithmOf is the algorithm of a public key, or the nearest one.
func algorithmOf(public crypto.PublicKey) Algorithm {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P384() || k.Curve == elliptic.P521() {
			return ECDSAP384
		}
	case *rsa.PublicKey:
		switch bits := k.N.BitLen(); {
		case bits > 3072:
			return RSA4096
		case bits > 2048:
			return RSA3072
		}
		return RSA2048
	}
	return ECDSAP256
}
