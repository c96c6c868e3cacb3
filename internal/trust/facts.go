// Package trust says who is who in a cluster's public key infrastructure: whose
// identity each certificate is and what it may do, which authority vouches for it and
// who believes that authority, how each channel between components is protected, and
// what is wrong with any of it.
//
// It judges [Facts] at a given time and refuses to know where they come from: it opens
// no file, dials nobody and has no clock. Package gather reads the facts, package show
// shows the verdict. It never holds a private key; of a key file it knows the public
// half's fingerprint and the file's mode.
package trust

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"io/fs"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// Facts is everything that was read.
type Facts struct {
	// Target is what was asked about, in the words of whoever asked.
	Target       string
	Certificates []Certificate
	Keys         []Key
	Kubeconfigs  []Kubeconfig
	Endpoints    []Endpoint
	// Components are the flags of components, as their static pods or processes tell them.
	Components []Component
	// Cluster is nil where no cluster was asked.
	Cluster *Cluster
	Gaps    []Gap
}

// A Gap is something that was looked for and could not be read.
type Gap struct {
	// What could not be read: a file, an address, a kind of object.
	What   string
	Reason string
}

// An Origin is where a fact stands.
type Origin string

// The origins.
const (
	InFile       Origin = "file"
	InKubeconfig Origin = "kubeconfig"
	OnPort       Origin = "endpoint"
	InCluster    Origin = "cluster"
)

// A Place is where a certificate or a key was found.
type Place struct {
	Origin Origin
	// Machine is the host whose file it is; empty where it is not known to be one's.
	Machine string
	// Name is the path as it was given, the address, or the object: "/etc/kubernetes/pki/ca.crt",
	// "10.0.0.1:6443", "validatingwebhookconfiguration guard".
	Name string
	// Detail is what of it: a kubeconfig's user, a webhook's name.
	Detail string
}

// Less orders places by machine, name and detail.
func (p Place) compare(o Place) int {
	for _, c := range []int{strings.Compare(p.Machine, o.Machine), strings.Compare(p.Name, o.Name), strings.Compare(p.Detail, o.Detail)} {
		if c != 0 {
			return c
		}
	}
	return 0
}

func (p Place) String() string {
	s := p.Name
	if p.Detail != "" {
		s += " (" + p.Detail + ")"
	}
	return s
}

// File is what stat(2) says of a file.
type File struct {
	Mode fs.FileMode
	// UID and GID are -1 where the system does not tell.
	UID, GID int
	// Owner and Group are their names, or their numbers.
	Owner, Group string
}

// A Certificate is one certificate in one place. The same one may stand in many.
type Certificate struct {
	*x509.Certificate
	Place Place
	// Purpose is what the place is for, nil where it does not tell.
	Purpose *Purpose
	// Position is the certificate's number in its file or chain, from 0.
	Position int
	// Trusted is whether it stands where trust is anchored: a CA file, a caBundle.
	Trusted bool
	File    *File
}

// A Key is a private key in one place.
type Key struct {
	Place Place
	// ID is the public half's, as cluster.KeyID gives it; empty where the key is
	// encrypted or its public half could not be told.
	ID        string
	Encrypted bool
	// Bits and Algorithm are the key's strength: 256, "ECDSA".
	Algorithm string
	Bits      int
	Purpose   *Purpose
	File      *File
	// Public is set for a public key alone, as sa.pub is.
	Public bool
}

// A Kubeconfig is one file.
type Kubeconfig struct {
	Place    Place
	Purpose  *Purpose
	File     *File
	Accesses []Access
}

// An Access is one context of a kubeconfig: who goes where, and trusting whom.
type Access struct {
	Context, Cluster, User string
	Current                bool
	Server                 string // URL
	TLSServerName          string
	ProxyURL               string
	Insecure               bool // insecure-skip-tls-verify
	// HasCA is whether an authority is named at all; without one the machine's own are
	// believed.
	HasCA  bool
	CAs    []*x509.Certificate
	Client *x509.Certificate
	// KeyID is the private key's public half; empty where there is none or it could
	// not be read.
	KeyID string
	// HasKey is whether a private key is named.
	HasKey bool
	// Inline is whether the file itself holds a secret.
	Inline bool
	// Credentials are the kinds of what proves the user: "client certificate",
	// "static token", "password", "token file", "exec aws", "auth provider oidc".
	Credentials []string
}

// The kinds of credentials in a kubeconfig.
const (
	ByCertificate = "client certificate"
	ByToken       = "static token"
	ByTokenFile   = "token file"
	ByPassword    = "password"
	ByExec        = "exec plugin "
	ByProvider    = "auth provider "
)

// An Endpoint is a port and how it answered.
type Endpoint struct {
	Address string // host:port
	// Component is who listens, as far as the port's number or the cluster tells.
	Component string
	Machine   string
	// Plain is whether it speaks without TLS. Where Unknown is set, neither it nor TLS tells.
	Plain   bool
	TLS     *cluster.TLS
	Chain   []*x509.Certificate
	Unknown string
	// Asked is whether the address was given by the user, rather than found.
	Asked bool
}

// A Component is one running component's arguments.
type Component struct {
	Name, Machine string
	Source        string
	Flags         cluster.Flags
}

// Cluster is what the API server told.
type Cluster struct {
	Name, Server, Version string
	// RBAC holds roles and bindings; nil where they could not be read.
	RBAC *cluster.Snapshot
	// ServiceIP is the address of the service "kubernetes".
	ServiceIP string
	Nodes     []Node
	// ClientCAs and ProxyCAs are what the API server believes of clients and of front
	// proxies; ProxyNames the common names a front proxy must have, none meaning any.
	// AuthenticationRead is whether they could be read.
	ClientCAs, ProxyCAs []*x509.Certificate
	ProxyNames          []string
	AuthenticationRead  bool
	// RootCAs are what pods are told to believe (kube-root-ca.crt).
	RootCAs []*x509.Certificate
	// InfoCAs are what joining nodes are told to believe (cluster-info).
	InfoCAs  []*x509.Certificate
	Hooks    []Hook
	Requests []Request
	// SecretsRead is whether TLS Secrets were asked for one by one.
	SecretsRead bool
}

// A Node is a node's addresses.
type Node struct {
	Name         string
	InternalIPs  []string
	KubeletPort  int
	ControlPlane bool
}

// A Hook is a server outside the control plane that the API server calls: an admission
// webhook, a conversion webhook or an aggregated API.
type Hook struct {
	Kind   string // "ValidatingWebhookConfiguration", "CustomResourceDefinition", "APIService"
	Object string
	Name   string // the webhook in the object
	// URL, or Service as name.namespace with Port.
	URL       string
	Service   string
	Namespace string
	Port      int
	CABundle  []*x509.Certificate
	// HasBundle is whether anything stands in the field, Problem why it could not be
	// read as certificates.
	HasBundle bool
	Problem   string
	Insecure  bool // insecureSkipTLSVerify
	// Served is what the server showed, where it could be asked.
	Served *Endpoint
}

// Subject is how a finding names the hook.
func (h Hook) Subject() string {
	s := strings.ToLower(h.Kind) + " " + h.Object
	if h.Name != "" && h.Name != h.Object {
		s += " (" + h.Name + ")"
	}
	return s
}

// ServerName is the name that the API server wants in the hook's certificate.
func (h Hook) ServerName() string {
	if h.Service != "" {
		return h.Service + "." + h.Namespace + ".svc"
	}
	host := hostOf(h.URL)
	return host
}

// A Request is a CertificateSigningRequest.
type Request struct {
	Name      string
	Signer    string
	Requester string
	Groups    []string // the requester's
	State     string   // "pending", "approved", "denied", "failed", "issued"
	Usages    []string
	// CSR is nil where it could not be parsed.
	CommonName    string
	Organizations []string
	DNSNames      []string
	IPs           []string
	Unreadable    string
}

// Fingerprint identifies a certificate: the SHA-256 of all its bytes in hexadecimal.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}
