package pki

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Request is a certificate that somebody else has to sign: what it must say,
// for the signer, and where it goes, for Import.
type Request struct {
	ID            string   `json:"id"`
	CSR           string   `json:"csr"` // the file, below the folder
	CommonName    string   `json:"commonName"`
	Organizations []string `json:"organizations,omitempty"`
	DNSNames      []string `json:"dnsNames,omitempty"`
	IPs           []string `json:"ips,omitempty"`
	Usages        []string `json:"usages"`     // "server auth", "client auth"
	Signer        string   `json:"signer"`     // base of the authority: ca, etcd/ca, …
	SignerName    string   `json:"signerName"` // its common name
	Lifetime      string   `json:"lifetime"`
	PublicKey     string   `json:"publicKey"` // sha256 of the SubjectPublicKeyInfo

	AuthorityFile string `json:"authorityFile"` // the signer's certificate, below the folder
	Certificate   string `json:"certificate,omitempty"`
	Key           string `json:"key,omitempty"`
	Kubeconfig    string `json:"kubeconfig,omitempty"`
	User          string `json:"user,omitempty"` // of a kubeconfig that exists
	Server        string `json:"server,omitempty"`
	PendingKey    string `json:"pendingKey,omitempty"` // empty: the key that is there stays
}

// Manifest lists what is requested and not signed yet.
type Manifest struct {
	Requests []Request `json:"requests"`
}

// manifestFile is in pendingFolder, where it is trusted, and once more in
// requestsFolder for the signer to read.
const manifestFile = "manifest.json"

func readManifest(dir string) (Manifest, error) {
	name := filepath.Join(dir, pendingFolder, manifestFile)
	var m Manifest
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("%s: %w", name, err)
	}
	return m, nil
}

// write adds the manifest to a journal; an empty one goes away.
func (m Manifest) write(j *journal) error {
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	for folder, mode := range map[string]fs.FileMode{pendingFolder: 0o600, requestsFolder: 0o644} {
		if file := folder + "/" + manifestFile; len(m.Requests) == 0 {
			j.remove(file, false)
		} else {
			j.Changes = append(j.Changes, change{Path: file, Data: append(data, '\n'), Mode: mode, Overwrite: true})
		}
	}
	return nil
}

func (m Manifest) find(id string) (Request, bool) {
	i := slices.IndexFunc(m.Requests, func(r Request) bool { return r.ID == id })
	if i < 0 {
		return Request{}, false
	}
	return m.Requests[i], true
}

// set adds a request, or puts it in the place of the one with its ID.
func (m *Manifest) set(r Request) {
	m.Requests = slices.DeleteFunc(m.Requests, func(o Request) bool { return o.ID == r.ID })
	m.Requests = append(m.Requests, r)
	slices.SortFunc(m.Requests, func(a, b Request) int { return compare(a.ID, b.ID) })
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// leaf is what the request asks for.
func (r Request) leaf() (Leaf, error) {
	l := Leaf{Subject: Subject{r.CommonName, r.Organizations}, DNSNames: r.DNSNames}
	for _, s := range r.IPs {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return l, fmt.Errorf("request %s: %w", r.ID, err)
		}
		l.IPs = append(l.IPs, a)
	}
	server, client := slices.Contains(r.Usages, usageServer), slices.Contains(r.Usages, usageClient)
	switch {
	case server && client:
		l.Usage = ServerAndClient
	case server:
		l.Usage = Server
	case client:
		l.Usage = Client
	}
	return l, l.validate()
}

// The names of usages, as the CSR API of Kubernetes spells them.
const (
	usageServer = "server auth"
	usageClient = "client auth"
)

func (u Usage) names() []string {
	switch u {
	case Client:
		return []string{usageClient}
	case Server:
		return []string{usageServer}
	case ServerAndClient:
		return []string{usageServer, usageClient}
	}
	return nil
}

// newRequest makes the request for a leaf with this key: the CSR and what the
// manifest says of it.
func newRequest(id string, leaf Leaf, key crypto.Signer, lifetime time.Duration) (Request, []byte, error) {
	r := Request{
		ID: id, CSR: requestsFolder + "/" + id + ".csr",
		CommonName: leaf.Subject.CommonName, Organizations: leaf.Subject.Organizations,
		DNSNames: leaf.DNSNames, Usages: leaf.Usage.names(),
		Lifetime: lifetime.Round(time.Hour).String(),
	}
	for _, ip := range leaf.IPs {
		r.IPs = append(r.IPs, ip.String())
	}
	if lifetime >= minLifetime {
		r.Lifetime = formatLifetime(lifetime.Truncate(time.Hour))
	}
	var err error
	if r.PublicKey, err = fingerprint(key.Public()); err != nil {
		return r, nil, err
	}
	csr, err := CreateRequest(leaf, key)
	return r, csr, err
}

// fingerprint identifies a public key.
func fingerprint(public crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(der)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

const blockRequest = "CERTIFICATE REQUEST"

var (
	oidExtKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidServerAuth  = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 1}
	oidClientAuth  = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 2}
)

// CreateRequest returns a PKCS #10 request in PEM. It asks for the usages too,
// for signers that copy what is asked.
func CreateRequest(leaf Leaf, key crypto.Signer) ([]byte, error) {
	if err := leaf.validate(); err != nil {
		return nil, err
	}
	var oids []asn1.ObjectIdentifier
	if leaf.Usage != Client {
		oids = append(oids, oidServerAuth)
	}
	if leaf.Usage != Server {
		oids = append(oids, oidClientAuth)
	}
	usages, err := asn1.Marshal(oids)
	if err != nil {
		return nil, err
	}
	template := &x509.CertificateRequest{
		Subject:         pkix.Name{CommonName: leaf.Subject.CommonName, Organization: leaf.Subject.Organizations},
		DNSNames:        leaf.DNSNames,
		ExtraExtensions: []pkix.Extension{{Id: oidExtKeyUsage, Value: usages}},
	}
	for _, ip := range leaf.IPs {
		template.IPAddresses = append(template.IPAddresses, net.IP(ip.AsSlice()))
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		return nil, fmt.Errorf("requesting the certificate of %s: %w", leaf.Subject.CommonName, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: blockRequest, Bytes: der}), nil
}

// ParseRequest reads the first request of a PEM file. Its signature is
// verified: whoever made it has the key.
func ParseRequest(data []byte) (*x509.CertificateRequest, error) {
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return nil, errors.New("no certificate request in PEM form")
		}
		data = rest
		if block.Type != blockRequest && block.Type != "NEW CERTIFICATE REQUEST" {
			continue
		}
		csr, err := x509.ParseCertificateRequest(block.Bytes)
		if err != nil {
			return nil, err
		}
		return csr, csr.CheckSignature()
	}
}
