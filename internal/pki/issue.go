package pki

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"time"
)

// Lifetimes used where an Issuer names none. They are kubeadm's.
const (
	DefaultAuthorityLifetime = 10 * 365 * 24 * time.Hour
	DefaultLifetime          = 365 * 24 * time.Hour
)

// backdate is how far before the issuer's clock a certificate begins to be
// valid, so that a machine whose clock is a little behind accepts it.
const backdate = 5 * time.Minute

// Usage says which end of a TLS connection a certificate may stand at.
type Usage int

// An etcd member is both: it serves its peers and dials them with the same
// certificate, and its own gateway dials the member's client port.
const (
	Client Usage = iota + 1
	Server
	ServerAndClient
)

func (u Usage) extKeyUsages() ([]x509.ExtKeyUsage, error) {
	switch u {
	case Client:
		return []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, nil
	case Server:
		return []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, nil
	case ServerAndClient:
		return []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, nil
	}
	return nil, fmt.Errorf("usage %d: want client, server or both", int(u))
}

// Subject is whom a certificate names. Kubernetes reads the common name as the
// user and each organization as a group.
type Subject struct {
	CommonName    string
	Organizations []string
}

// Leaf is a certificate that is wanted: whom it names, what it is for, and
// under which names and addresses it is dialled.
type Leaf struct {
	Subject  Subject
	Usage    Usage
	DNSNames []string
	IPs      []netip.Addr
}

// validate refuses what every TLS client would refuse later, less clearly.
func (l Leaf) validate() error {
	if l.Subject.CommonName == "" {
		return errors.New("certificate without a common name")
	}
	if l.Usage != Client && len(l.DNSNames)+len(l.IPs) == 0 {
		return fmt.Errorf("serving certificate of %s: no name or address to be dialled by", l.Subject.CommonName)
	}
	for _, ip := range l.IPs {
		if !ip.IsValid() {
			return fmt.Errorf("certificate of %s: invalid address among its names", l.Subject.CommonName)
		}
	}
	return nil
}

// Pair is a certificate and its private key.
type Pair struct {
	Certificate *x509.Certificate
	Key         crypto.Signer
}

// Authority is a pair that signs others.
type Authority struct{ Pair }

// Issuer makes authorities and signs leaves. Now is required; the rest has
// defaults. An Issuer is safe for concurrent use.
type Issuer struct {
	// Now is the moment of issue. It is a value and not a clock, so that all
	// certificates of one cluster begin together.
	Now               time.Time
	Algorithm         Algorithm
	AuthorityLifetime time.Duration
	Lifetime          time.Duration
}

// Authority makes a self-signed authority that may sign leaves and nothing
// else: its path length is zero.
func (i Issuer) Authority(commonName string) (*Authority, error) {
	key, err := i.Algorithm.Generate()
	if err != nil {
		return nil, fmt.Errorf("generating the key of authority %s: %w", commonName, err)
	}
	template, err := i.template(Subject{CommonName: commonName}, lifetime(i.AuthorityLifetime, DefaultAuthorityLifetime))
	if err != nil {
		return nil, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageCertSign
	template.IsCA = true
	template.MaxPathLenZero = true
	// kubeadm gives its authorities their own name as a DNS SAN; some
	// verifiers ask for any SAN at all.
	template.DNSNames = []string{commonName}
	cert, err := sign(template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("signing authority %s: %w", commonName, err)
	}
	return &Authority{Pair{Certificate: cert, Key: key}}, nil
}

// Issue generates a key and has the authority sign a certificate for it. A
// leaf never outlives its authority.
func (i Issuer) Issue(authority *Authority, leaf Leaf) (*Pair, error) {
	key, err := i.Algorithm.Generate()
	if err != nil {
		return nil, fmt.Errorf("generating the key of %s: %w", leaf.Subject.CommonName, err)
	}
	cert, err := i.Sign(authority, leaf, key.Public())
	if err != nil {
		return nil, err
	}
	return &Pair{Certificate: cert, Key: key}, nil
}

// Sign certifies a public key whose private half stays where it is.
func (i Issuer) Sign(authority *Authority, leaf Leaf, public crypto.PublicKey) (*x509.Certificate, error) {
	if err := leaf.validate(); err != nil {
		return nil, err
	}
	template, err := i.template(leaf.Subject, lifetime(i.Lifetime, DefaultLifetime))
	if err != nil {
		return nil, err
	}
	if end := authority.Certificate.NotAfter; template.NotAfter.After(end) {
		template.NotAfter = end
	}
	if !template.NotAfter.After(i.Now) {
		return nil, fmt.Errorf("certificate of %s: its authority %s has expired", leaf.Subject.CommonName, authority.Certificate.Subject.CommonName)
	}
	// RSA needs key encipherment for the old key exchanges; it is harmless
	// elsewhere, and it is what kubeadm sets.
	template.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
	if template.ExtKeyUsage, err = leaf.Usage.extKeyUsages(); err != nil {
		return nil, fmt.Errorf("certificate of %s: %w", leaf.Subject.CommonName, err)
	}
	template.DNSNames = leaf.DNSNames
	for _, ip := range leaf.IPs {
		template.IPAddresses = append(template.IPAddresses, net.IP(ip.AsSlice()))
	}
	cert, err := sign(template, authority.Certificate, public, authority.Key)
	if err != nil {
		return nil, fmt.Errorf("signing the certificate of %s: %w", leaf.Subject.CommonName, err)
	}
	return cert, nil
}

// Reissue signs a certificate that says what an old one says, for another
// time: subject, names and usages are taken over to the byte.
func (i Issuer) Reissue(authority *Authority, old *x509.Certificate, public crypto.PublicKey) (*x509.Certificate, error) {
	template, err := i.template(Subject{}, lifetime(i.Lifetime, DefaultLifetime))
	if err != nil {
		return nil, err
	}
	if template.NotAfter = i.end(authority.Certificate); !template.NotAfter.After(i.Now) {
		return nil, fmt.Errorf("its authority %s has expired", authority.Certificate.Subject.CommonName)
	}
	template.RawSubject = old.RawSubject
	template.KeyUsage = old.KeyUsage
	template.ExtKeyUsage, template.UnknownExtKeyUsage = old.ExtKeyUsage, old.UnknownExtKeyUsage
	template.DNSNames, template.IPAddresses = old.DNSNames, old.IPAddresses
	template.URIs, template.EmailAddresses = old.URIs, old.EmailAddresses
	cert, err := sign(template, authority.Certificate, public, authority.Key)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	return cert, nil
}

// end is when a leaf of this authority that is made now expires.
func (i Issuer) end(authority *x509.Certificate) time.Time {
	end := i.Now.Add(lifetime(i.Lifetime, DefaultLifetime)).UTC()
	if end.After(authority.NotAfter) {
		return authority.NotAfter
	}
	return end
}

func (i Issuer) template(subject Subject, life time.Duration) (*x509.Certificate, error) {
	if i.Now.IsZero() {
		return nil, errors.New("issuer without a time")
	}
	// 159 bits at random: unique without a register, and positive in the 20
	// bytes that RFC 5280 allows.
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 159))
	if err != nil {
		return nil, fmt.Errorf("drawing a serial number: %w", err)
	}
	return &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: subject.CommonName, Organization: subject.Organizations},
		NotBefore:             i.Now.Add(-backdate).UTC(),
		NotAfter:              i.Now.Add(life).UTC(),
		BasicConstraintsValid: true,
	}, nil
}

func sign(template, parent *x509.Certificate, public crypto.PublicKey, signer crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func lifetime(set, fallback time.Duration) time.Duration {
	if set == 0 {
		return fallback
	}
	return set
}
