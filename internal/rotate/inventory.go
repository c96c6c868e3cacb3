package rotate

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io/fs"
	"net/netip"
	"path"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bulwark-k8s/bulwark/internal/pki"
)

// File is a file of a machine.
type File struct {
	Data []byte
	Mode fs.FileMode
}

// Machine is a host with its files, by their paths on it. People's kubeconfigs
// are on a machine that runs nothing.
type Machine struct {
	Name       string
	Components []string
	Files      map[string]File
}

// Inventory is a cluster's machines in the order in which they have their
// turns: control planes first, people last.
type Inventory struct {
	Machines []Machine
	// Pods is whether any could have mounted what is trusted.
	Pods bool
}

// certificates reads all certificates of a PEM file, and nothing if there is
// something else in it besides keys.
func certificates(data []byte) []*x509.Certificate {
	var all []*x509.Certificate
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return all
		}
		data = rest
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil
		}
		all = append(all, cert)
	}
}

func encodeAll(list []*x509.Certificate) []byte {
	var out bytes.Buffer
	for _, c := range list {
		out.Write(pki.EncodeCertificate(c))
	}
	return out.Bytes()
}

func contains(list []*x509.Certificate, cert *x509.Certificate) bool {
	for _, c := range list {
		if c.Equal(cert) {
			return true
		}
	}
	return false
}

func without(list []*x509.Certificate, cert *x509.Certificate) []*x509.Certificate {
	var out []*x509.Certificate
	for _, c := range list {
		if !c.Equal(cert) {
			out = append(out, c)
		}
	}
	return out
}

// isKubeconfig reports whether a file is named as one.
func isKubeconfig(file string) bool {
	return path.Ext(file) == ".conf" || path.Base(file) == "kubeconfig"
}

// loadKubeconfig returns what the file says, with its current cluster and user,
// or nothing if it is not complete.
func loadKubeconfig(data []byte) (*clientcmdapi.Config, *clientcmdapi.Cluster, *clientcmdapi.AuthInfo) {
	cfg, err := clientcmd.Load(data)
	if err != nil {
		return nil, nil, nil
	}
	current := cfg.Contexts[cfg.CurrentContext]
	if current == nil || cfg.Clusters[current.Cluster] == nil || cfg.AuthInfos[current.AuthInfo] == nil {
		return nil, nil, nil
	}
	return cfg, cfg.Clusters[current.Cluster], cfg.AuthInfos[current.AuthInfo]
}

// algorithmOf is the kind of key that a public key is.
func algorithmOf(public crypto.PublicKey) (pki.Algorithm, error) {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		switch k.Curve.Params().BitSize {
		case 256:
			return pki.ECDSAP256, nil
		case 384:
			return pki.ECDSAP384, nil
		}
	case *rsa.PublicKey:
		switch bits := k.N.BitLen(); {
		case bits <= 2048:
			return pki.RSA2048, nil
		case bits <= 3072:
			return pki.RSA3072, nil
		default:
			return pki.RSA4096, nil
		}
	}
	return "", fmt.Errorf("a key of type %T: no new one of its kind can be made", public)
}

// issuerLike makes certificates of the same kind and lifetime as one that
// exists.
func issuerLike(cert *x509.Certificate, now time.Time) (pki.Issuer, error) {
	algorithm, err := algorithmOf(cert.PublicKey)
	life := cert.NotAfter.Sub(cert.NotBefore)
	return pki.Issuer{Now: now, Algorithm: algorithm, Lifetime: life, AuthorityLifetime: life}, err
}

// leafLike asks for the same names and uses as a certificate has.
func leafLike(cert *x509.Certificate) (pki.Leaf, error) {
	leaf := pki.Leaf{
		Subject:  pki.Subject{CommonName: cert.Subject.CommonName, Organizations: cert.Subject.Organization},
		DNSNames: cert.DNSNames,
	}
	for _, ip := range cert.IPAddresses {
		if a, ok := netip.AddrFromSlice(ip); ok {
			leaf.IPs = append(leaf.IPs, a.Unmap())
		}
	}
	client, server := false, false
	for _, u := range cert.ExtKeyUsage {
		switch u {
		case x509.ExtKeyUsageClientAuth:
			client = true
		case x509.ExtKeyUsageServerAuth:
			server = true
		default:
			return leaf, fmt.Errorf("certificate of %s: a use that cannot be kept: %v", cert.Subject.CommonName, u)
		}
	}
	switch {
	case client && server:
		leaf.Usage = pki.ServerAndClient
	case server:
		leaf.Usage = pki.Server
	default:
		leaf.Usage = pki.Client
	}
	return leaf, nil
}

// keyFileOf is where the key of a certificate's file is.
func keyFileOf(file string) string {
	if base, ok := strings.CutSuffix(file, ".crt"); ok {
		return base + ".key"
	}
	return strings.TrimSuffix(file, ".pem") + "-key.pem"
}
