package signature_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"github.com/sigstore/sigstore-go/pkg/tlog"

	"github.com/bulwark-k8s/bulwark/internal/signature"
)

const (
	workflow = "https://github.com/acme/shop/.github/workflows/release.yaml@refs/heads/main"
	issuer   = "https://token.actions.githubusercontent.com"
)

// An authority is a Sigstore of its own: a certificate authority that logs what it issues
// (which sigstore-go's virtual one does not), and sigstore-go's transparency log and
// timestamping.
type authority struct {
	t            testing.TB
	virtual      *ca.VirtualSigstore
	rootCert     *x509.Certificate
	intermediate *x509.Certificate
	key          *ecdsa.PrivateKey
	ctKey        *ecdsa.PrivateKey
	// trusted is its trusted_root.json.
	trusted []byte
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t, virtual: must(ca.NewVirtualSigstore()), ctKey: must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))}
	authorityOf := func(name string, parent *x509.Certificate, by crypto.Signer) (*x509.Certificate, *ecdsa.PrivateKey) {
		key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
			KeyUsage: x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}, BasicConstraintsValid: true, IsCA: true,
		}
		if parent == nil {
			parent, by = template, key
		}
		return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)))), key
	}
	rootCert, rootKey := authorityOf("root", nil, nil)
	a.rootCert = rootCert
	a.intermediate, a.key = authorityOf("intermediate", rootCert, rootKey)

	logs := map[string]*root.TransparencyLog{}
	for id, l := range a.virtual.RekorLogs() {
		l.ID = must(hex.DecodeString(id))
		l.ValidityPeriodStart = time.Now().Add(-48 * time.Hour)
		logs[id] = l
	}
	ctID := sha256.Sum256(must(x509.MarshalPKIXPublicKey(a.ctKey.Public())))
	trusted := must(root.NewTrustedRoot(root.TrustedRootMediaType01,
		[]root.CertificateAuthority{&root.FulcioCertificateAuthority{URI: "https://ca.example", Root: rootCert, Intermediates: []*x509.Certificate{a.intermediate}, ValidityPeriodStart: time.Now().Add(-48 * time.Hour)}},
		map[string]*root.TransparencyLog{hex.EncodeToString(ctID[:]): {BaseURL: "https://ct.example", ID: ctID[:], ValidityPeriodStart: time.Now().Add(-48 * time.Hour), HashFunc: crypto.SHA256, PublicKey: a.ctKey.Public(), SignatureHashFunc: crypto.SHA256}},
		a.virtual.TimestampingAuthorities(), logs))
	a.trusted = must(trusted.MarshalJSON())
	return a
}

// A certified is a key with a certificate, and says what of the usual is left out.
type certified struct {
	*signer
	authority *authority
	leaf      *x509.Certificate

	at        time.Time // when it is logged
	noPromise bool
	timestamp bool
	noLog     bool
}

// issue makes a certificate for an identity, valid for ten minutes from a time, with or
// without having logged it.
func (a *authority) issue(identity, issuer string, from time.Time, logged bool) *certified {
	a.t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), NotBefore: from, NotAfter: from.Add(10 * time.Minute), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1}, Value: []byte(issuer)}},
	}
	if u, err := url.Parse(identity); err == nil && u.Scheme != "" {
		template.URIs = []*url.URL{u}
	} else {
		template.EmailAddresses = []string{identity}
	}
	create := func() *x509.Certificate {
		return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, a.intermediate, key.Public(), a.key))))
	}
	leaf := create()
	if logged {
		template.ExtraExtensions = append(template.ExtraExtensions, a.sct(leaf.RawTBSCertificate))
		leaf = create()
	}
	return &certified{signer: newSigner(a.t, key, crypto.SHA256, nil), authority: a, leaf: leaf, at: from.Add(time.Minute)}
}

// sct is the extension by which a certificate shows that it was logged (RFC 6962, 3.2
// and 3.3).
func (a *authority) sct(tbs []byte) pkix.Extension {
	at := uint64(time.Now().UnixMilli())
	issuer := sha256.Sum256(a.intermediate.RawSubjectPublicKeyInfo)
	signed := binary.BigEndian.AppendUint64([]byte{0, 0}, at)
	signed = append(signed, 0, 1)
	signed = append(signed, issuer[:]...)
	signed = append(signed, byte(len(tbs)>>16), byte(len(tbs)>>8), byte(len(tbs)))
	signed = append(signed, tbs...)
	signed = append(signed, 0, 0)
	digest := sha256.Sum256(signed)
	sig := must(ecdsa.SignASN1(rand.Reader, a.ctKey, digest[:]))
	id := sha256.Sum256(must(x509.MarshalPKIXPublicKey(a.ctKey.Public())))
	sct := append([]byte{0}, id[:]...)
	sct = binary.BigEndian.AppendUint64(sct, at)
	sct = append(sct, 0, 0, 4, 3)
	sct = binary.BigEndian.AppendUint16(sct, uint16(len(sig)))
	sct = append(sct, sig...)
	list := binary.BigEndian.AppendUint16(nil, uint16(len(sct)+2))
	list = binary.BigEndian.AppendUint16(list, uint16(len(sct)))
	list = append(list, sct...)
	return pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}, Value: must(asn1.Marshal(list))}
}

func (c *certified) certPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.leaf.Raw})
}

// entry logs what was signed. The key is a certificate's, or, for one that signs without,
// the public key.
func (a *authority) entry(body []byte, kind, version string, at time.Time) *protorekor.TransparencyLogEntry {
	id := must(a.virtual.RekorLogID())
	set := must(a.virtual.RekorSignPayload(tlog.RekorPayload{Body: base64.StdEncoding.EncodeToString(body), IntegratedTime: at.Unix(), LogIndex: 7, LogID: id}))
	return &protorekor.TransparencyLogEntry{
		LogIndex: 7, LogId: &protocommon.LogId{KeyId: must(hex.DecodeString(id))}, KindVersion: &protorekor.KindVersion{Kind: kind, Version: version},
		IntegratedTime: at.Unix(), InclusionPromise: &protorekor.InclusionPromise{SignedEntryTimestamp: set}, CanonicalizedBody: body,
	}
}

// prove adds an inclusion proof.
func (a *authority) prove(e *protorekor.TransparencyLogEntry) {
	p := must(a.virtual.GetInclusionProof(e.GetCanonicalizedBody()))
	e.InclusionProof = &protorekor.InclusionProof{
		LogIndex: *p.LogIndex, TreeSize: *p.TreeSize, RootHash: must(hex.DecodeString(*p.RootHash)), Checkpoint: &protorekor.Checkpoint{Envelope: *p.Checkpoint},
	}
}

// hashed is the log's entry of a signature.
func (a *authority) hashed(msg, sig, verifier []byte, at time.Time) *protorekor.TransparencyLogEntry {
	body := fmt.Appendf(nil, `{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{"data":{"hash":{"algorithm":"sha256","value":"%x"}},"signature":{"content":"%s","publicKey":{"content":"%s"}}}}`,
		sha256.Sum256(msg), base64.StdEncoding.EncodeToString(sig), base64.StdEncoding.EncodeToString(verifier))
	return a.entry(body, "hashedrekord", "0.0.1", at)
}

// keyless is a classic keyless signature's layer.
func (c *certified) keyless(payload []byte) layer {
	c.t.Helper()
	l := c.classic(payload)
	sig := must(base64.StdEncoding.DecodeString(l.annotations["dev.cosignproject.cosign/signature"]))
	l.annotations["dev.sigstore.cosign/certificate"] = string(c.certPEM())
	if !c.noLog {
		l.annotations["dev.sigstore.cosign/bundle"] = logAnnotation(c.authority.hashed(payload, sig, c.certPEM(), c.at))
	}
	if c.timestamp {
		l.annotations["dev.sigstore.cosign/rfc3161timestamp"] = string(must(json.Marshal(map[string][]byte{"SignedRFC3161Timestamp": must(c.authority.virtual.TimestampResponse(sig))})))
	}
	return l
}

func logAnnotation(e *protorekor.TransparencyLogEntry) string {
	return string(must(json.Marshal(map[string]any{
		"SignedEntryTimestamp": e.GetInclusionPromise().GetSignedEntryTimestamp(),
		"Payload":              map[string]any{"body": e.GetCanonicalizedBody(), "integratedTime": e.GetIntegratedTime(), "logIndex": e.GetLogIndex(), "logID": hex.EncodeToString(e.GetLogId().GetKeyId())},
	})))
}

// proto is a keyless bundle of v0.3 with an inclusion proof.
func (c *certified) proto(statement []byte) *protobundle.Bundle {
	c.t.Helper()
	const as = "application/vnd.in-toto+json"
	sig := c.sign(dsse.PAE(as, statement))
	envelope := must(json.Marshal(map[string]any{"payloadType": as, "payload": statement, "signatures": []any{map[string]any{"sig": sig}}}))
	body := fmt.Appendf(nil, `{"apiVersion":"0.0.1","kind":"dsse","spec":{"envelopeHash":{"algorithm":"sha256","value":"%x"},"payloadHash":{"algorithm":"sha256","value":"%x"},"signatures":[{"signature":"%s","verifier":"%s"}]}}`,
		sha256.Sum256(envelope), sha256.Sum256(statement), base64.StdEncoding.EncodeToString(sig), base64.StdEncoding.EncodeToString(c.certPEM()))
	e := c.authority.entry(body, "dsse", "0.0.1", c.at)
	c.authority.prove(e)
	if c.noPromise {
		e.InclusionPromise = nil
	}
	m := &protobundle.VerificationMaterial{
		Content:     &protobundle.VerificationMaterial_Certificate{Certificate: &protocommon.X509Certificate{RawBytes: c.leaf.Raw}},
		TlogEntries: []*protorekor.TransparencyLogEntry{e},
	}
	if c.noLog {
		m.TlogEntries = nil
	}
	if c.timestamp {
		m.TimestampVerificationData = &protobundle.TimestampVerificationData{Rfc3161Timestamps: []*protocommon.RFC3161SignedTimestamp{{SignedTimestamp: must(c.authority.virtual.TimestampResponse(sig))}}}
	}
	return &protobundle.Bundle{
		MediaType: bundleType, VerificationMaterial: m,
		Content: &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{PayloadType: as, Payload: statement, Signatures: []*protodsse.Signature{{Sig: sig}}}},
	}
}

// identity is a rule that asks for one signature by the workflow.
func identity() signature.Rule {
	return signature.Rule{Signers: []*signature.Signer{{Name: "workflow", Identity: workflow, Issuer: issuer}}, Signatures: 1}
}

func TestKeyless(t *testing.T) {
	s, a := open(t, nil), newAuthority(t)
	recent := time.Now().Add(-2 * time.Minute)
	off := false
	issued := func(of func(*certified)) *certified {
		c := a.issue(workflow, issuer, recent, true)
		if of != nil {
			of(c)
		}
		return c
	}
	with := func(of func(*signature.Rule)) signature.Rule { r := identity(); of(&r); return r }
	for name, c := range map[string]struct {
		by   *certified
		rule signature.Rule
		ok   bool
	}{
		"logged":                        {issued(nil), identity(), true},
		"logged and timestamped":        {issued(func(c *certified) { c.timestamp = true }), identity(), true},
		"the certificate expired since": {a.issue(workflow, issuer, time.Now().Add(-2*time.Hour), true), identity(), true},
		"logged after it expired": {func() *certified {
			c := a.issue(workflow, issuer, time.Now().Add(-2*time.Hour), true)
			c.at = time.Now()
			return c
		}(), identity(), false},
		"logged before it was valid": {issued(func(c *certified) { c.at = recent.Add(-time.Hour) }), identity(), false},
		"timestamped after it expired": {func() *certified {
			c := a.issue(workflow, issuer, time.Now().Add(-2*time.Hour), true)
			c.timestamp = true
			return c
		}(), identity(), false},
		"not logged":                               {issued(func(c *certified) { c.noLog = true }), identity(), false},
		"not logged, timestamped":                  {issued(func(c *certified) { c.noLog, c.timestamp = true, true }), identity(), false},
		"not logged, timestamped, which is enough": {issued(func(c *certified) { c.noLog, c.timestamp = true, true }), with(func(r *signature.Rule) { r.Log = &off }), true},
		"neither, and no log is asked for":         {issued(func(c *certified) { c.noLog = true }), with(func(r *signature.Rule) { r.Log = &off }), false},
		"a certificate that was not logged":        {a.issue(workflow, issuer, recent, false), identity(), false},
		"one, which is enough":                     {a.issue(workflow, issuer, recent, false), with(func(r *signature.Rule) { r.Certificates = &off }), true},
		"another workflow":                         {a.issue("https://github.com/acme/shop/.github/workflows/any.yaml@refs/heads/main", issuer, recent, true), identity(), false},
		"another issuer":                           {a.issue(workflow, "https://issuer.example", recent, true), identity(), false},
		"somebody else's authority":                {newAuthority(t).issue(workflow, issuer, recent, true), identity(), false},
		"a pattern that matches all of it":         {issued(nil), signature.Rule{Signers: []*signature.Signer{{IdentityPattern: `https://github\.com/acme/[^/]+/\.github/workflows/release\.yaml@refs/heads/main`, Issuer: issuer}}, Signatures: 1}, true},
		"a pattern that matches a part of it": {
			a.issue("https://evil.example/?https://github.com/acme/shop/.github/workflows/release.yaml@refs/heads/main", issuer, recent, true),
			signature.Rule{Signers: []*signature.Signer{{IdentityPattern: `https://github\.com/acme/[^/]+/\.github/workflows/release\.yaml@refs/heads/main`, Issuer: issuer}}, Signatures: 1},
			false,
		},
		"a pattern's alternatives are anchored too": {
			a.issue("https://github.com/acme/shop-evil", issuer, recent, true),
			signature.Rule{Signers: []*signature.Signer{{IdentityPattern: `https://github\.com/acme/shop|https://github\.com/acme/cart`, Issuer: issuer}}, Signatures: 1},
			false,
		},
		"a mail address": {a.issue("release@acme.example", "https://accounts.google.com", recent, true), signature.Rule{Signers: []*signature.Signer{{Identity: "release@acme.example", Issuer: "https://accounts.google.com"}}, Signatures: 1}, true},
	} {
		t.Run(name, func(t *testing.T) {
			want := signature.Refused
			if c.ok {
				want = signature.Verified
			}
			img := s.push("shop/web:1")
			img.attach(".sig", c.by.keyless(payloadOf(img.repo(), img.digest)))
			if v := verify(t, img.ref(), c.rule, a.trusted); v.Outcome != want {
				t.Errorf("classic: %+v", v)
			}
			other := s.push("shop/web:2")
			other.referBundle(bundled(c.by.proto(statement("", other.digest, signType, "{}"))), signType)
			v := verify(t, other.ref(), c.rule, a.trusted)
			if v.Outcome != want {
				t.Errorf("bundle: %+v", v)
			}
			if c.ok && (v.Signatures[0].Identity != c.by.san() || v.Signatures[0].Time.IsZero()) {
				t.Errorf("the bundle's signer: %+v", v.Signatures)
			}
		})
	}
}

func (c *certified) san() string {
	if len(c.leaf.URIs) > 0 {
		return c.leaf.URIs[0].String()
	}
	return c.leaf.EmailAddresses[0]
}

// TestAKeyWithALog: with a trusted root the log's entry is asked for, unless it is said
// that it is not.
func TestAKeyWithALog(t *testing.T) {
	s, a, who := open(t, nil), newAuthority(t), ecdsaSigner(t)
	off := false
	img := s.push("shop/web:1")
	p := payloadOf(img.repo(), img.digest)
	img.attach(".sig", who.classic(p))
	if v := verify(t, img.ref(), by(who), a.trusted); v.Outcome != signature.Refused {
		t.Errorf("not logged: %+v", v)
	}
	r := by(who)
	r.Log = &off
	if v := verify(t, img.ref(), r, a.trusted); v.Outcome != signature.Verified {
		t.Errorf("not logged, and not asked for: %+v", v)
	}
	l := who.classic(p)
	sig := must(base64.StdEncoding.DecodeString(l.annotations["dev.cosignproject.cosign/signature"]))
	l.annotations["dev.sigstore.cosign/bundle"] = logAnnotation(a.hashed(p, sig, bytes.TrimSpace(who.pem), time.Now()))
	logged := s.push("shop/web:2")
	logged.attach(".sig", l) // somebody else's entry
	if v := verify(t, logged.ref(), by(who), a.trusted); v.Outcome != signature.Refused {
		t.Errorf("the entry of another image: %+v", v)
	}
	img.attach(".sig", l)
	if v := verify(t, img.ref(), by(who), a.trusted); v.Outcome != signature.Verified {
		t.Errorf("logged: %+v", v)
	}
	l.annotations["dev.sigstore.cosign/bundle"] = logAnnotation(newAuthority(t).hashed(p, sig, who.pem, time.Now()))
	img.attach(".sig", l)
	if v := verify(t, img.ref(), by(who), a.trusted); v.Outcome != signature.Refused {
		t.Errorf("logged elsewhere: %+v", v)
	}
}
