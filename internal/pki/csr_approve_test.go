package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// servingNode has an address of every type.
func servingNode() *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "node-1"},
		Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{
			{Type: corev1.NodeHostName, Address: "node-1"},
			{Type: corev1.NodeInternalIP, Address: "10.0.0.5"},
			{Type: corev1.NodeInternalIP, Address: "fd00::5"},
			{Type: corev1.NodeExternalIP, Address: "192.0.2.5"},
			{Type: corev1.NodeInternalDNS, Address: "node-1.internal"},
			{Type: corev1.NodeExternalDNS, Address: "node-1.example.com"},
		}},
	}
}

func servingTemplate() *x509.CertificateRequest {
	return &x509.CertificateRequest{
		Subject:     pkix.Name{CommonName: "system:node:node-1", Organization: []string{"system:nodes"}},
		DNSNames:    []string{"node-1", "node-1.internal", "node-1.example.com"},
		IPAddresses: []net.IP{net.ParseIP("10.0.0.5"), net.ParseIP("fd00::5"), net.ParseIP("192.0.2.5")},
	}
}

func requestPEM(t testing.TB, template *x509.CertificateRequest, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

func ecdsaKey(t testing.TB, curve elliptic.Curve) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// servingCSR is what a kubelet sends, with the request of the template.
func servingCSR(request []byte) *certificatesv1.CertificateSigningRequest {
	return &certificatesv1.CertificateSigningRequest{Spec: certificatesv1.CertificateSigningRequestSpec{
		SignerName: "kubernetes.io/kubelet-serving",
		Username:   "system:node:node-1",
		Groups:     []string{"system:nodes", "system:authenticated"},
		Usages:     []certificatesv1.KeyUsage{"digital signature", "server auth"},
		Request:    request,
	}}
}

func TestKubeletServingIsJudged(t *testing.T) {
	p256 := ecdsaKey(t, elliptic.P256())
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	weakRSA, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	extension := func(oid asn1.ObjectIdentifier, value any) pkix.Extension {
		der, err := asn1.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		return pkix.Extension{Id: oid, Value: der}
	}
	sans := func(names ...asn1.RawValue) func(*x509.CertificateRequest) {
		return func(r *x509.CertificateRequest) {
			r.DNSNames, r.IPAddresses = nil, nil
			r.ExtraExtensions = append(r.ExtraExtensions, extension(subjectAltName, names))
		}
	}
	dnsName := asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 2, Bytes: []byte("node-1")}
	type request = certificatesv1.CertificateSigningRequest
	for _, tt := range []struct {
		name     string
		template func(*x509.CertificateRequest)
		csr      func(*request)
		node     func(*corev1.Node)
		noNode   bool
		key      crypto.Signer
		want     Decision
		reason   string
	}{
		{name: "a kubelet's own", want: Approved, reason: "asked for by node node-1"},
		{name: "one address only", template: func(r *x509.CertificateRequest) { r.DNSNames, r.IPAddresses = nil, r.IPAddresses[:1] }, want: Approved},
		{name: "one name only", template: func(r *x509.CertificateRequest) { r.DNSNames, r.IPAddresses = r.DNSNames[:1], nil }, want: Approved},
		{name: "an address in sixteen bytes", template: func(r *x509.CertificateRequest) { r.IPAddresses = []net.IP{net.ParseIP("10.0.0.5").To16()} }, want: Approved},
		{name: "a host name that is an address", node: func(n *corev1.Node) {
			n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: "10.0.0.5"}}
		}, template: func(r *x509.CertificateRequest) { r.DNSNames, r.IPAddresses = nil, r.IPAddresses[:1] }, want: Approved},
		{name: "P-384", key: ecdsaKey(t, elliptic.P384()), want: Approved},
		{name: "Ed25519", key: edKey, want: Approved},
		{name: "RSA", key: rsaKey, want: Approved},
		{name: "RSA with key encipherment", key: rsaKey, csr: func(r *request) { r.Spec.Usages = append(r.Spec.Usages, "key encipherment") }, want: Approved},
		{name: "usages in another order", csr: func(r *request) { slices.Reverse(r.Spec.Usages) }, want: Approved},
		{name: "white space around the block", csr: func(r *request) { r.Spec.Request = append([]byte("\n"), append(r.Spec.Request, "\n\n"...)...) }, want: Approved},

		{name: "for another signer", csr: func(r *request) { r.Spec.SignerName = "kubernetes.io/kube-apiserver-client" }, want: Undecided, reason: "signer is"},
		{name: "signed already", csr: func(r *request) { r.Status.Certificate = []byte("x") }, want: Undecided, reason: "decided already"},
		{name: "denied already", csr: func(r *request) {
			r.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateDenied}}
		}, want: Undecided, reason: "decided already"},
		{name: "a node that is not there", noNode: true, want: Undecided, reason: "node node-1 is not registered"},
		{name: "a node without addresses", node: func(n *corev1.Node) { n.Status.Addresses = nil }, want: Undecided, reason: "has no addresses yet"},

		{name: "a person", csr: func(r *request) { r.Spec.Username = "alice" }, want: Denied, reason: `requester is user "alice"`},
		{name: "a user with an empty node name", csr: func(r *request) { r.Spec.Username = "system:node:" }, want: Denied, reason: "requester is user"},
		{name: "a user who is called a node but is in no group of nodes", csr: func(r *request) { r.Spec.Groups = []string{"system:authenticated"} }, want: Denied, reason: "not in group system:nodes"},
		{name: "another node's request", csr: func(r *request) { r.Spec.Username = "system:node:node-2" }, want: Denied, reason: "common name is"},
		{name: "another node's object", node: func(n *corev1.Node) { n.Name = "node-2" }, want: Denied, reason: "requester is node node-1, not node-2"},
		{name: "a common name of somebody else", template: func(r *x509.CertificateRequest) { r.Subject.CommonName = "system:node:node-2" }, want: Denied, reason: "common name is"},
		{name: "no common name", template: func(r *x509.CertificateRequest) { r.Subject.CommonName = "" }, want: Denied, reason: "common name is"},
		{name: "no organization", template: func(r *x509.CertificateRequest) { r.Subject.Organization = nil }, want: Denied, reason: "organization is"},
		{name: "a second organization", template: func(r *x509.CertificateRequest) {
			r.Subject.Organization = append(r.Subject.Organization, "system:masters")
		}, want: Denied, reason: "organization is"},
		{name: "an organizational unit", template: func(r *x509.CertificateRequest) { r.Subject.OrganizationalUnit = []string{"x"} }, want: Denied, reason: "subject has 3 attributes"},
		{name: "a country", template: func(r *x509.CertificateRequest) { r.Subject.Country = []string{"DE"} }, want: Denied, reason: "subject has 3 attributes"},

		{name: "client auth", csr: func(r *request) { r.Spec.Usages = []certificatesv1.KeyUsage{"digital signature", "client auth"} }, want: Denied, reason: "usages are"},
		{name: "client auth besides", csr: func(r *request) { r.Spec.Usages = append(r.Spec.Usages, "client auth") }, want: Denied, reason: "usages are"},
		{name: "no server auth", csr: func(r *request) { r.Spec.Usages = r.Spec.Usages[:1] }, want: Denied, reason: "usages are"},
		{name: "no usages", csr: func(r *request) { r.Spec.Usages = nil }, want: Denied, reason: "usages are"},
		{name: "a usage twice", csr: func(r *request) { r.Spec.Usages = append(r.Spec.Usages, "server auth") }, want: Denied, reason: "usages are"},
		{name: "cert sign", csr: func(r *request) { r.Spec.Usages = append(r.Spec.Usages, "cert sign") }, want: Denied, reason: "usages are"},
		{name: "any", csr: func(r *request) { r.Spec.Usages = append(r.Spec.Usages, "any") }, want: Denied, reason: "usages are"},
		{name: "key encipherment without RSA", csr: func(r *request) { r.Spec.Usages = append(r.Spec.Usages, "key encipherment") }, want: Denied, reason: "usages are"},

		{name: "a short RSA key", key: weakRSA, want: Denied, reason: "RSA key has 1024 bits"},
		{name: "P-224", key: ecdsaKey(t, elliptic.P224()), want: Denied, reason: "key is on curve P-224"},

		{name: "no names", template: func(r *x509.CertificateRequest) { r.DNSNames, r.IPAddresses = nil, nil }, want: Denied, reason: "no DNS name and no IP address"},
		{name: "another node's address", template: func(r *x509.CertificateRequest) { r.IPAddresses = append(r.IPAddresses, net.ParseIP("10.0.0.6")) }, want: Denied, reason: "IP address 10.0.0.6 is not among"},
		{name: "loopback", template: func(r *x509.CertificateRequest) { r.IPAddresses = append(r.IPAddresses, net.ParseIP("127.0.0.1")) }, want: Denied, reason: "IP address 127.0.0.1 is not among"},
		{name: "another name", template: func(r *x509.CertificateRequest) { r.DNSNames = append(r.DNSNames, "kubernetes.default.svc") }, want: Denied, reason: `DNS name "kubernetes.default.svc" is not among`},
		{name: "a wildcard", template: func(r *x509.CertificateRequest) { r.DNSNames = append(r.DNSNames, "*") }, want: Denied, reason: `DNS name "*" is not among`},
		{name: "an address as a name", template: func(r *x509.CertificateRequest) { r.DNSNames = append(r.DNSNames, "10.0.0.5") }, want: Denied, reason: `DNS name "10.0.0.5" is not among`},
		{name: "an internal address that is no address", node: func(n *corev1.Node) {
			n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: "evil.example.com"})
		}, template: func(r *x509.CertificateRequest) { r.DNSNames = append(r.DNSNames, "evil.example.com") }, want: Denied, reason: "is not among"},
		{name: "a type of address that nobody knows", node: func(n *corev1.Node) {
			n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: "Other", Address: "x.example.com"})
		}, template: func(r *x509.CertificateRequest) { r.DNSNames = append(r.DNSNames, "x.example.com") }, want: Denied, reason: "is not among"},
		{name: "an e-mail address", template: func(r *x509.CertificateRequest) { r.EmailAddresses = []string{"a@example.com"} }, want: Denied, reason: "name of kind 1"},
		{name: "a URI", template: func(r *x509.CertificateRequest) {
			r.URIs = []*url.URL{{Scheme: "spiffe", Host: "x", Path: "/y"}}
		}, want: Denied, reason: "name of kind 6"},
		{name: "a kind of name that Go passes over", template: sans(dnsName, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 8, Bytes: []byte{42}}), want: Denied, reason: "name of kind 8"},
		{name: "basic constraints", template: func(r *x509.CertificateRequest) {
			r.ExtraExtensions = []pkix.Extension{extension(asn1.ObjectIdentifier{2, 5, 29, 19}, struct{ IsCA bool }{true})}
		}, want: Denied, reason: "extension 2.5.29.19 is asked for"},
		{name: "key usages in the request", template: func(r *x509.CertificateRequest) {
			r.ExtraExtensions = []pkix.Extension{extension(asn1.ObjectIdentifier{2, 5, 29, 15}, asn1.BitString{Bytes: []byte{4}, BitLength: 6})}
		}, want: Denied, reason: "extension 2.5.29.15 is asked for"},

		{name: "no PEM", csr: func(r *request) { r.Spec.Request = []byte("hello") }, want: Denied, reason: "want one PEM block"},
		{name: "nothing", csr: func(r *request) { r.Spec.Request = nil }, want: Denied, reason: "want one PEM block"},
		{name: "another block", csr: func(r *request) {
			r.Spec.Request = bytes.ReplaceAll(r.Spec.Request, []byte("CERTIFICATE REQUEST"), []byte("NEW CERTIFICATE REQUEST"))
		}, want: Denied, reason: "want one PEM block"},
		{name: "text before the block", csr: func(r *request) { r.Spec.Request = append([]byte("hello\n"), r.Spec.Request...) }, want: Denied, reason: "want one PEM block"},
		{name: "two blocks", csr: func(r *request) { r.Spec.Request = append(r.Spec.Request, r.Spec.Request...) }, want: Denied, reason: "more in it than one PEM block"},
		{name: "a block of junk", csr: func(r *request) {
			r.Spec.Request = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: []byte("junk")})
		}, want: Denied, reason: "request: "},
		{name: "a signature of somebody else", csr: func(r *request) {
			block, _ := pem.Decode(r.Spec.Request)
			block.Bytes[len(block.Bytes)-1] ^= 1
			r.Spec.Request = pem.EncodeToMemory(block)
		}, want: Denied, reason: "signature"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			template, node, key := servingTemplate(), servingNode(), p256
			if tt.template != nil {
				tt.template(template)
			}
			if tt.node != nil {
				tt.node(node)
			}
			if tt.noNode {
				node = nil
			}
			if tt.key != nil {
				key = tt.key
			}
			csr := servingCSR(requestPEM(t, template, key))
			if tt.csr != nil {
				tt.csr(csr)
			}
			got := JudgeKubeletServing(csr, node)
			if got.Decision != tt.want || !strings.Contains(got.Reason, tt.reason) {
				t.Errorf("%s: %s, want %s: …%s…", got.Decision, got.Reason, tt.want, tt.reason)
			}
			if err := signerRefuses(csr); got.Decision == Approved && err != nil {
				t.Errorf("approved, but the signer refuses: %v", err)
			}
		})
	}
}

// signerRefuses are the signer's rules, as ValidateKubeletServingCSR of
// k8s.io/kubernetes v1.36.3 has them.
func signerRefuses(csr *certificatesv1.CertificateSigningRequest) error {
	block, _ := pem.Decode(csr.Spec.Request)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return fmt.Errorf("no PEM block of a request")
	}
	r, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return err
	}
	usages := map[certificatesv1.KeyUsage]bool{}
	for _, u := range csr.Spec.Usages {
		usages[u] = true
	}
	delete(usages, "key encipherment")
	switch {
	case !slices.Equal(r.Subject.Organization, []string{"system:nodes"}):
		return fmt.Errorf("organization %q", r.Subject.Organization)
	case len(r.DNSNames)+len(r.IPAddresses) == 0:
		return fmt.Errorf("no names")
	case len(r.EmailAddresses)+len(r.URIs) > 0:
		return fmt.Errorf("e-mail addresses or URIs")
	case len(usages) != 2 || !usages["digital signature"] || !usages["server auth"]:
		return fmt.Errorf("usages %q", csr.Spec.Usages)
	case !strings.HasPrefix(r.Subject.CommonName, "system:node:"):
		return fmt.Errorf("common name %q", r.Subject.CommonName)
	}
	return r.CheckSignature()
}

// FuzzKubeletServing: whatever the bytes, what is approved passes the signer,
// and names nothing that is not the node's.
func FuzzKubeletServing(f *testing.F) {
	key := ecdsaKey(f, elliptic.P256())
	good := requestPEM(f, servingTemplate(), key)
	other := servingTemplate()
	other.DNSNames = append(other.DNSNames, "other.example.com")
	for _, seed := range [][]byte{good, requestPEM(f, other, key), bytes.ToLower(good), good[:len(good)/2], {}} {
		f.Add(seed, "digital signature,server auth")
	}
	f.Fuzz(func(t *testing.T, request []byte, usages string) {
		csr := servingCSR(request)
		csr.Spec.Usages = nil
		for u := range strings.SplitSeq(usages, ",") {
			csr.Spec.Usages = append(csr.Spec.Usages, certificatesv1.KeyUsage(u))
		}
		verdict := JudgeKubeletServing(csr, servingNode())
		if verdict.Reason == "" {
			t.Fatal("a verdict without a reason")
		}
		if verdict.Decision != Approved {
			return
		}
		if err := signerRefuses(csr); err != nil {
			t.Fatalf("approved, but the signer refuses: %v", err)
		}
		block, _ := pem.Decode(request)
		r, err := x509.ParseCertificateRequest(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		mine := servingTemplate()
		for _, name := range r.DNSNames {
			if !slices.Contains(mine.DNSNames, name) {
				t.Errorf("approved for %s", name)
			}
		}
		for _, ip := range r.IPAddresses {
			if !slices.ContainsFunc(mine.IPAddresses, ip.Equal) {
				t.Errorf("approved for %s", ip)
			}
		}
	})
}
