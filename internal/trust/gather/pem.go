package gather

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strings"
)

// Limits on what a stranger's file may make us do. Parsing an RSA key takes time that
// grows with the cube of its size.
const (
	maxFile        = 1 << 20
	maxBlock       = 64 << 10
	maxKeyBlock    = 16 << 10
	maxCertificate = 1000 // in one file
)

// A keyFact is what is kept of a key.
type keyFact struct {
	id        string
	algorithm string
	bits      int
	encrypted bool
	public    bool
}

// A bundle is what a PEM file holds.
type bundle struct {
	certs    []*x509.Certificate
	keys     []keyFact
	problems []string
}

// empty reports whether there was nothing of ours in the file.
func (b bundle) empty() bool { return len(b.certs)+len(b.keys)+len(b.problems) == 0 }

// parsePEM reads certificates and the public halves of keys. It never fails: what it
// cannot read is a problem, in words that quote nothing of the input. It clears the
// decoded bytes of private keys before it returns; data is the caller's to clear.
func parsePEM(data []byte) bundle {
	var b bundle
	if bytes.HasPrefix(data, []byte("age-encryption.org/v1")) {
		b.keys = append(b.keys, keyFact{encrypted: true})
		return b
	}
	for n := 1; ; n++ {
		block, rest := pem.Decode(data)
		if block == nil {
			if bytes.Contains(data, []byte("-----BEGIN ")) {
				b.problem(n, "it begins as PEM and does not end so")
			}
			return b
		}
		data = rest
		b.add(n, block)
		if len(b.certs) > maxCertificate {
			b.problem(n, fmt.Sprintf("more than %d certificates in one file", maxCertificate))
			return b
		}
	}
}

func (b *bundle) problem(n int, text string) {
	if len(b.problems) < 5 {
		b.problems = append(b.problems, fmt.Sprintf("PEM block %d: %s", n, text))
	}
}

func (b *bundle) add(n int, block *pem.Block) {
	switch {
	case block.Type == "CERTIFICATE":
		if len(block.Bytes) > maxBlock {
			b.problem(n, "a certificate of more than 64 KiB")
			return
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			b.problem(n, "no certificate that can be parsed")
			return
		}
		b.certs = append(b.certs, cert)
	case block.Type == "AGE ENCRYPTED FILE", block.Type == "ENCRYPTED PRIVATE KEY",
		strings.HasSuffix(block.Type, "PRIVATE KEY") && strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
		b.keys = append(b.keys, keyFact{encrypted: true})
	case strings.HasSuffix(block.Type, "PRIVATE KEY"):
		defer clear(block.Bytes)
		fact, err := privateKey(block)
		if err != "" {
			b.problem(n, err)
			return
		}
		b.keys = append(b.keys, fact)
	case strings.HasSuffix(block.Type, "PUBLIC KEY"):
		if len(block.Bytes) > maxKeyBlock {
			b.problem(n, "a public key of more than 16 KiB")
			return
		}
		public, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			rsaPublic, err := x509.ParsePKCS1PublicKey(block.Bytes)
			if err != nil {
				b.problem(n, "no public key that can be parsed")
				return
			}
			public = rsaPublic
		}
		fact := publicFact(public)
		fact.public = true
		b.keys = append(b.keys, fact)
	}
}

// privateKey tells the public half of a private key. The second result says why it
// could not, in words of ours: a parser's could quote the key.
func privateKey(block *pem.Block) (keyFact, string) {
	if len(block.Bytes) > maxKeyBlock {
		return keyFact{}, "a private key of more than 16 KiB"
	}
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		return keyFact{}, "a private key of a kind that is not known"
	}
	signer, ok := key.(crypto.Signer)
	if err != nil || !ok {
		return keyFact{}, "no private key that can be parsed"
	}
	return publicFact(signer.Public()), ""
}

func publicFact(public crypto.PublicKey) keyFact {
	var fact keyFact
	switch k := public.(type) {
	case *rsa.PublicKey:
		fact.algorithm, fact.bits = "RSA", k.N.BitLen()
	case *ecdsa.PublicKey:
		fact.algorithm, fact.bits = "ECDSA", k.Curve.Params().BitSize
	case ed25519.PublicKey:
		fact.algorithm, fact.bits = "Ed25519", 256
	}
	if der, err := x509.MarshalPKIXPublicKey(public); err == nil {
		sum := sha256.Sum256(der)
		fact.id = hex.EncodeToString(sum[:])
	}
	return fact
}
