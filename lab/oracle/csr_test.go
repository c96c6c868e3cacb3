package oracle

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/url"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/kubernetes/pkg/apis/certificates"

	"github.com/bulwark-k8s/bulwark/internal/pki"
)

// A csrContent is what a request for a kubelet's serving certificate says inside.
type csrContent struct {
	commonName    string
	organizations []string
	unit          bool
	names         []string
	addresses     []string
	email, uri    bool
}

// The small scopes: each has what is right, what is another's, and what is absent.
var (
	csrCommonNames   = []string{"system:node:node-1", "system:node:node-2", "system:node:", "ann", ""}
	csrOrganizations = [][]string{{"system:nodes"}, nil, {"system:masters"}, {"system:nodes", "system:masters"}}
	csrNames         = [][]string{nil, {"node-1"}, {"node-2"}, {"node-1", "*.example.test"}}
	csrAddresses     = [][]string{nil, {"10.0.0.1"}, {"10.0.0.1", "10.0.0.2"}}
	csrUsages        = []certificatesv1.KeyUsage{"digital signature", "key encipherment", "server auth", "client auth"}
	csrUsers         = []string{"system:node:node-1", "system:node:node-2", "system:node:", "ann"}
)

func (c csrContent) sign(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	r := &x509.CertificateRequest{Subject: pkix.Name{CommonName: c.commonName, Organization: c.organizations}, DNSNames: c.names}
	if c.unit {
		r.Subject.OrganizationalUnit = []string{"x"}
	}
	for _, a := range c.addresses {
		r.IPAddresses = append(r.IPAddresses, net.ParseIP(a))
	}
	if c.email {
		r.EmailAddresses = []string{"ann@example.test"}
	}
	if c.uri {
		r.URIs = []*url.URL{{Scheme: "spiffe", Host: "example.test"}}
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, r, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

func servingNode() *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1"}, Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{
		{Type: corev1.NodeHostName, Address: "node-1"}, {Type: corev1.NodeInternalIP, Address: "10.0.0.1"},
	}}}
}

// A signer is kube-controller-manager's, which signs whatever is approved and passes
// this. The signature is the API server's to check when the request is made
// (pkg/apis/certificates/validation/validation.go, validateCSR).
type signer struct {
	request *x509.CertificateRequest
	err     error
}

func readBySigner(request []byte) signer {
	parsed, err := certificates.ParseCSR(request)
	if err == nil {
		err = parsed.CheckSignature()
	}
	return signer{parsed, err}
}

func (s signer) refuses(usages []certificatesv1.KeyUsage) error {
	if s.err != nil {
		return s.err
	}
	set := sets.NewString()
	for _, u := range usages {
		set.Insert(string(u))
	}
	return certificates.ValidateKubeletServingCSR(s.request, set)
}

// A csrTally holds our judge against the signer and counts.
type csrTally struct{ approved, refused, stricter int }

func (n *csrTally) compare(t *testing.T, s signer, spec certificatesv1.CertificateSigningRequestSpec, node *corev1.Node) {
	t.Helper()
	spec.SignerName = certificatesv1.KubeletServingSignerName
	verdict := pki.JudgeKubeletServing(&certificatesv1.CertificateSigningRequest{Spec: spec}, node)
	refused := s.refuses(spec.Usages)
	switch {
	case refused != nil:
		n.refused++
		if verdict.Decision != pki.Denied {
			t.Fatalf("the signer refuses (%v), and ours is %s (%s):\nuser %s, groups %v, usages %q\n%s", refused, verdict.Decision, verdict.Reason, spec.Username, spec.Groups, spec.Usages, spec.Request)
		}
	case verdict.Decision == pki.Approved:
		n.approved++
		n.ownOnly(t, s.request, spec)
	default:
		n.stricter++
	}
}

// ownOnly says in other words than the judge's what may be approved.
func (n *csrTally) ownOnly(t *testing.T, r *x509.CertificateRequest, spec certificatesv1.CertificateSigningRequestSpec) {
	t.Helper()
	other := sets.New(r.DNSNames...).Delete("node-1").Len() > 0
	for _, ip := range r.IPAddresses {
		other = other || ip.String() != "10.0.0.1"
	}
	if other || spec.Username != "system:node:node-1" || r.Subject.CommonName != spec.Username {
		t.Fatalf("approved for user %s: %s, names %v, addresses %v", spec.Username, r.Subject, r.DNSNames, r.IPAddresses)
	}
}

func (n *csrTally) report(t *testing.T) {
	t.Helper()
	t.Logf("%d requests: %d approved, all of which the signer accepts; %d refused by the signer, all of them denied; %d denied that the signer would accept",
		n.approved+n.refused+n.stricter, n.approved, n.refused, n.stricter)
	if n.approved == 0 || n.refused == 0 || n.stricter == 0 {
		t.Error("the requests do not cover all three outcomes")
	}
}

// TestKubeletServingEveryRequest tries every combination of the small scopes: of contents
// with usages, and of contents with who asks.
func TestKubeletServingEveryRequest(t *testing.T) {
	_, key, err := ed25519.GenerateKey(rand.Reader) // the fastest to sign and verify
	if err != nil {
		t.Fatal(err)
	}
	var n csrTally
	node := servingNode()
	asks := everyAsk()
	for _, c := range everyContent() {
		request := c.sign(t, key)
		s := readBySigner(request)
		for _, spec := range asks {
			spec.Request = request
			n.compare(t, s, spec, node)
		}
	}
	n.report(t)
}

func everyContent() []csrContent {
	var out []csrContent
	for _, cn := range csrCommonNames {
		for _, o := range csrOrganizations {
			for _, names := range csrNames {
				for _, addresses := range csrAddresses {
					for extra := range 4 { // nothing, or one thing besides
						out = append(out, csrContent{cn, o, extra == 1, names, addresses, extra == 2, extra == 3})
					}
				}
			}
		}
	}
	return out
}

// everyAsk is every set of usages asked for by the node, and the right ones by everybody.
func everyAsk() []certificatesv1.CertificateSigningRequestSpec {
	nodes := []string{"system:nodes", "system:authenticated"}
	var out []certificatesv1.CertificateSigningRequestSpec
	for subset := range 1 << len(csrUsages) {
		var usages []certificatesv1.KeyUsage
		for i, u := range csrUsages {
			if subset&(1<<i) > 0 {
				usages = append(usages, u)
			}
		}
		out = append(out, certificatesv1.CertificateSigningRequestSpec{Username: csrUsers[0], Groups: nodes, Usages: usages})
	}
	right := []certificatesv1.KeyUsage{"digital signature", "server auth"}
	out = append(out, certificatesv1.CertificateSigningRequestSpec{Username: csrUsers[0], Groups: nodes[1:], Usages: right})
	for _, user := range csrUsers[1:] {
		out = append(out, certificatesv1.CertificateSigningRequestSpec{Username: user, Groups: nodes, Usages: right})
	}
	return out
}

// A generator makes random requests out of small alphabets.
type generator struct{ *mathrand.Rand }

func (g generator) maybe(p float64) bool { return g.Float64() < p }

func pick[T any](g generator, from ...T) T { return from[g.IntN(len(from))] }

// TestKubeletServingRandomRequests adds what cannot be counted through: keys of every
// kind, usages twice and in any order, PEM that is damaged or has company, nodes that are
// not there yet.
func TestKubeletServingRandomRequests(t *testing.T) {
	const requests = 1000
	g := generator{mathrand.New(mathrand.NewPCG(1, 2))}
	keys := signingKeys(t)
	var n csrTally
	for range requests {
		c := csrContent{
			pick(g, csrCommonNames...), pick(g, csrOrganizations...), g.maybe(0.1), pick(g, csrNames...), pick(g, csrAddresses...), g.maybe(0.1), g.maybe(0.1),
		}
		if g.maybe(0.5) {
			c = csrContent{commonName: csrCommonNames[0], organizations: csrOrganizations[0], names: csrNames[1], addresses: csrAddresses[1]}
		}
		request := damage(g, c.sign(t, pick(g, keys...)))
		spec := certificatesv1.CertificateSigningRequestSpec{
			Username: csrUsers[0], Groups: []string{"system:nodes"}, Request: request,
			Usages: []certificatesv1.KeyUsage{"digital signature", "server auth"},
		}
		if g.maybe(0.4) {
			spec.Usages = nil
			for range g.IntN(5) {
				spec.Usages = append(spec.Usages, pick(g, append(csrUsages, "any", "cert sign", "")...))
			}
		}
		node := servingNode()
		switch {
		case g.maybe(0.05):
			node = nil
		case g.maybe(0.05):
			node.Status.Addresses = nil
		}
		n.compare(t, readBySigner(request), spec, node)
	}
	n.report(t)
}

func signingKeys(t *testing.T) []crypto.Signer {
	t.Helper()
	var keys []crypto.Signer
	add := func(key crypto.Signer, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P256(), elliptic.P384(), elliptic.P224()} {
		add(ecdsa.GenerateKey(curve, rand.Reader))
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	add(ed, err)
	add(rsa.GenerateKey(rand.Reader, 2048))
	return keys
}

// damage leaves most requests as they are.
func damage(g generator, request []byte) []byte {
	switch g.IntN(12) {
	case 0: // one byte of the content
		block, _ := pem.Decode(request)
		block.Bytes[g.IntN(len(block.Bytes))] ^= byte(1 << g.IntN(8))
		return pem.EncodeToMemory(block)
	case 1: // one byte of the text
		request[g.IntN(len(request))] ^= byte(1 << g.IntN(8))
	case 2:
		return request[:g.IntN(len(request))]
	case 3:
		return append(request, request...)
	case 4:
		return append([]byte(fmt.Sprintf("%d\n", g.IntN(100))), request...)
	}
	return request
}
