package pki

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
)

// Decision is what becomes of a request. The zero value decides nothing: a
// request that could not be judged is neither approved nor denied.
type Decision int

// An undecided request is for another signer, decided already, or of a node
// that the API does not know yet; it may be looked at again later.
const (
	Undecided Decision = iota
	Approved
	Denied
)

func (d Decision) String() string {
	switch d {
	case Approved:
		return "approved"
	case Denied:
		return "denied"
	case Undecided:
	}
	return "undecided"
}

// Verdict is a decision and why. The reason names what was found and what was
// wanted, and ends up in the request's condition.
type Verdict struct {
	Decision Decision
	Reason   string
}

// RequestingNode is the node whose kubelet made the request, as the apiserver
// authenticated it; "" if the requester is no node.
func RequestingNode(csr *certificatesv1.CertificateSigningRequest) string {
	name, ok := strings.CutPrefix(csr.Spec.Username, NodeUser(""))
	if !ok || !slices.Contains(csr.Spec.Groups, GroupNodes) {
		return ""
	}
	return name
}

// JudgeKubeletServing decides on a kubelet's request for its serving
// certificate. node is the object named [RequestingNode]; nil if there is none.
//
// The signer kubernetes.io/kubelet-serving checks the shape of a request and
// nothing of its content, so any node could ask for any other's name: see
// ValidateKubeletServingCSR in k8s.io/kubernetes/pkg/apis/certificates. Whether
// to approve is left to others: "Never auto-approved by kube-controller-manager"
// (k8s.io/api/certificates/v1, KubeletServingSignerName). Everything approved
// here passes the signer's checks. What is stricter: the requester is the node
// that the request names; every name and address belongs to that node; the
// subject, the extensions and the usages are those of a kubelet and nothing
// besides; the key is strong, and the requester holds it.
//
// A node's addresses are what its kubelet reports. Whoever can tell better, as
// from a cloud's inventory, passes a node with only the addresses that are true.
func JudgeKubeletServing(csr *certificatesv1.CertificateSigningRequest, node *corev1.Node) Verdict {
	if csr.Spec.SignerName != certificatesv1.KubeletServingSignerName {
		return Verdict{Undecided, fmt.Sprintf("signer is %s, not %s", csr.Spec.SignerName, certificatesv1.KubeletServingSignerName)}
	}
	if len(csr.Status.Certificate) > 0 || len(csr.Status.Conditions) > 0 {
		return Verdict{Undecided, "decided already"}
	}
	request, err := servingRequest(&csr.Spec)
	if err != nil {
		return Verdict{Denied, err.Error()}
	}
	name := RequestingNode(csr)
	switch {
	case node == nil:
		return Verdict{Undecided, fmt.Sprintf("node %s is not registered", name)}
	case node.Name != name:
		return Verdict{Denied, fmt.Sprintf("requester is node %s, not %s", name, node.Name)}
	case len(node.Status.Addresses) == 0:
		return Verdict{Undecided, fmt.Sprintf("node %s has no addresses yet", name)}
	}
	if err := namesBelongTo(node, request); err != nil {
		return Verdict{Denied, err.Error()}
	}
	return Verdict{Approved, fmt.Sprintf("asked for by node %s for its own names and addresses", name)}
}

// servingRequest checks all that can be checked without the node.
func servingRequest(spec *certificatesv1.CertificateSigningRequestSpec) (*x509.CertificateRequest, error) {
	if name, isNode := strings.CutPrefix(spec.Username, NodeUser("")); !isNode || name == "" {
		return nil, fmt.Errorf("requester is user %q, want %s and a node's name", spec.Username, NodeUser(""))
	}
	if !slices.Contains(spec.Groups, GroupNodes) {
		return nil, fmt.Errorf("requester %s is not in group %s", spec.Username, GroupNodes)
	}
	request, err := parseRequest(spec.Request)
	if err != nil {
		return nil, err
	}
	if err := checkSubject(request, spec.Username); err != nil {
		return nil, err
	}
	if err := checkUsages(spec.Usages, request.PublicKey); err != nil {
		return nil, err
	}
	if err := checkKey(request.PublicKey); err != nil {
		return nil, err
	}
	return request, checkExtensions(request)
}

const requestBlock = "CERTIFICATE REQUEST"

// parseRequest takes one PEM block and nothing around it, where upstream's
// ParseCSR takes the first block of any text.
func parseRequest(text []byte) (*x509.CertificateRequest, error) {
	trimmed := strings.TrimSpace(string(text))
	block, rest := pem.Decode([]byte(trimmed))
	if block == nil || block.Type != requestBlock || !strings.HasPrefix(trimmed, "-----BEGIN "+requestBlock) {
		return nil, errors.New("request: want one PEM block of type " + requestBlock)
	}
	if len(rest) > 0 || len(block.Headers) > 0 {
		return nil, errors.New("request: more in it than one PEM block")
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	if err := request.CheckSignature(); err != nil {
		return nil, fmt.Errorf("request: signature: %w", err)
	}
	return request, nil
}

func checkSubject(request *x509.CertificateRequest, user string) error {
	subject := request.Subject
	if subject.CommonName != user {
		return fmt.Errorf("common name is %q, want the requester, %s", subject.CommonName, user)
	}
	if !slices.Equal(subject.Organization, []string{GroupNodes}) {
		return fmt.Errorf("organization is %q, want exactly %s", subject.Organization, GroupNodes)
	}
	// The signer copies the subject as it is.
	if len(subject.Names) != 2 {
		return fmt.Errorf("subject has %d attributes, want a common name and an organization", len(subject.Names))
	}
	return nil
}

// checkUsages wants what a kubelet asks for; RSA keys may also encipher keys.
func checkUsages(usages []certificatesv1.KeyUsage, key any) error {
	want := []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageServerAuth}
	sorted := slices.Sorted(slices.Values(usages))
	if slices.Equal(sorted, want) {
		return nil
	}
	if _, isRSA := key.(*rsa.PublicKey); isRSA && slices.Equal(sorted, []certificatesv1.KeyUsage{want[0], certificatesv1.UsageKeyEncipherment, want[1]}) {
		return nil
	}
	return fmt.Errorf("usages are %q, want exactly %q, and with an RSA key also %q", usages, want, certificatesv1.UsageKeyEncipherment)
}

// Keys outside of these are too weak, or so large that every handshake with
// them is work for nothing.
const (
	minRSA = 2048
	maxRSA = 8192
)

func checkKey(key any) error {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() || key.Curve == elliptic.P384() || key.Curve == elliptic.P521() {
			return nil
		}
		return fmt.Errorf("key is on curve %s, want P-256, P-384 or P-521", key.Curve.Params().Name)
	case ed25519.PublicKey:
		return nil
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minRSA || bits > maxRSA {
			return fmt.Errorf("RSA key has %d bits, want %d to %d", bits, minRSA, maxRSA)
		}
		return nil
	}
	return fmt.Errorf("key is a %T, want ECDSA, Ed25519 or RSA", key)
}

var subjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}

// Context tags of RFC 5280's GeneralName.
const (
	tagDNS = 2
	tagIP  = 7
)

// checkExtensions wants the alternative names and no other extension: no basic
// constraints, no key usages beside those of the request's own field.
func checkExtensions(request *x509.CertificateRequest) error {
	found := false
	for _, e := range request.Extensions {
		if !e.Id.Equal(subjectAltName) {
			return fmt.Errorf("extension %s is asked for, want subject alternative names only", e.Id)
		}
		if found {
			return errors.New("subject alternative names are given twice")
		}
		found = true
		if err := checkGeneralNames(e.Value); err != nil {
			return err
		}
	}
	switch {
	case len(request.EmailAddresses) > 0:
		return errors.New("subject alternative names have an e-mail address, want DNS names and IP addresses")
	case len(request.URIs) > 0:
		return errors.New("subject alternative names have a URI, want DNS names and IP addresses")
	case len(request.DNSNames)+len(request.IPAddresses) == 0:
		return errors.New("no DNS name and no IP address among the subject alternative names")
	}
	return nil
}

// checkGeneralNames finds the kinds of names that crypto/x509 passes over.
func checkGeneralNames(der []byte) error {
	var names []asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &names); err != nil || len(rest) > 0 {
		return errors.New("subject alternative names are malformed")
	}
	for _, n := range names {
		if n.Class != asn1.ClassContextSpecific || n.Tag != tagDNS && n.Tag != tagIP {
			return fmt.Errorf("subject alternative names have a name of kind %d, want DNS names and IP addresses", n.Tag)
		}
	}
	return nil
}

func namesBelongTo(node *corev1.Node, request *x509.CertificateRequest) error {
	var names []string
	var addresses []netip.Addr
	for _, a := range node.Status.Addresses {
		ip, err := netip.ParseAddr(a.Address)
		switch a.Type {
		case corev1.NodeHostName:
			if err == nil {
				addresses = append(addresses, ip.Unmap())
			} else {
				names = append(names, a.Address)
			}
		case corev1.NodeInternalDNS, corev1.NodeExternalDNS:
			names = append(names, a.Address)
		case corev1.NodeInternalIP, corev1.NodeExternalIP:
			if err == nil {
				addresses = append(addresses, ip.Unmap())
			}
		}
	}
	for _, name := range request.DNSNames {
		if name == "" || !slices.Contains(names, name) {
			return fmt.Errorf("DNS name %q is not among the addresses of node %s, %q", name, node.Name, names)
		}
	}
	for _, ip := range request.IPAddresses {
		if !slices.Contains(addresses, unmapped(ip)) {
			return fmt.Errorf("IP address %s is not among the addresses of node %s, %s", ip, node.Name, addresses)
		}
	}
	return nil
}

func unmapped(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}
