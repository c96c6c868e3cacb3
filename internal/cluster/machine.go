package cluster

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	kubeletv1beta1 "k8s.io/kubelet/config/v1beta1"
)

// FactsVersion is the apiVersion of fact documents: Machine, and what later
// snapshots carry. They may stand in the same files as Kubernetes objects.
const FactsVersion = "facts.bulwark.dev/v1alpha1"

// A Machine is what was seen on one host by a process that ran on it.
type Machine struct {
	// Name is the host name; for a node it equals the Node's name.
	Name      string     `json:"name"`
	Processes []Process  `json:"processes,omitempty"`
	Files     []File     `json:"files,omitempty"`
	Listeners []Listener `json:"listeners,omitempty"`
	// Stored is how etcd holds what the API server on this machine is told to encrypt, by
	// resource; empty where etcd was not asked.
	Stored []Stored `json:"stored,omitempty"`
	// Seen is when it was looked at, by its own clock; zero where nobody says. What
	// expires is judged by it.
	Seen   time.Time `json:"seen,omitzero"`
	Source Source    `json:"-"`
}

// Stored is how many objects of a resource are in etcd, and how many of them as they are.
type Stored struct {
	Resource string `json:"resource"` // "secrets", "deployments.apps"
	Objects  int    `json:"objects"`
	Plain    int    `json:"plain"`
}

// A Process is a running component of Kubernetes.
type Process struct {
	// Component is the plain name: kube-apiserver, etcd, kubelet, containerd.
	Component string   `json:"component"`
	PID       int      `json:"pid"`
	UID       int      `json:"uid"`
	Args      []string `json:"args"`
}

// A FileRole says what a file is for, which decides how open it may be.
type FileRole string

// The roles that files play on a Kubernetes machine.
const (
	Kubeconfig   FileRole = "kubeconfig"    // holds a credential
	PrivateKey   FileRole = "private-key"   // TLS, service account or CA key
	Certificate  FileRole = "certificate"   // public
	StaticPod    FileRole = "static-pod"    // whoever writes it runs as root
	ConfigFile   FileRole = "config"        // a component's configuration
	SecretConfig FileRole = "secret-config" // a configuration that holds keys or tokens
	DataDir      FileRole = "data-dir"      // etcd's
	Directory    FileRole = "directory"
	Socket       FileRole = "socket" // a container runtime's
)

// A File is what stat(2) says of a file that a component uses.
type File struct {
	// Path is absolute, as the machine sees it. For a file that only a container has,
	// it is as the component in it sees it.
	Path string   `json:"path"`
	Role FileRole `json:"role"`
	// UsedBy is the component whose flag or convention led to the file.
	UsedBy string `json:"usedBy,omitempty"`
	// Mode holds the permission bits, with setuid, setgid and sticky as in stat(2).
	Mode uint32 `json:"mode"`
	UID  int    `json:"uid"`
	GID  int    `json:"gid"`
	// Shielded is whether a folder above the file lets nobody through but root and the
	// file's owner, so that the mode's bits for group and others give nothing.
	Shielded bool `json:"shielded,omitempty"`
	// Keys identify the public keys of the certificates in a file with the role
	// Certificate, as KeyID gives them.
	Keys []string `json:"keys,omitempty"`
	// Certificates are those in a file with the role Certificate, and the client's own
	// in one with the role Kubeconfig.
	Certificates []CertificateFacts `json:"certificates,omitempty"`
}

// CertificateFacts are what a certificate, which is public, says of itself.
type CertificateFacts struct {
	Subject   string    `json:"subject"`
	NotBefore time.Time `json:"notBefore"`
	NotAfter  time.Time `json:"notAfter"`
	CA        bool      `json:"ca,omitempty"`
	// Key is the public key's kind and size: "RSA 2048", "ECDSA 256", "Ed25519".
	Key string `json:"key,omitempty"`
	// Signature is the algorithm as Go calls it: "SHA256-RSA".
	Signature string `json:"signature,omitempty"`
}

// Describe returns what a certificate says of itself.
func Describe(c *x509.Certificate) CertificateFacts {
	return CertificateFacts{
		Subject: c.Subject.String(), NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(), CA: c.IsCA,
		Key: keyName(c.PublicKey), Signature: c.SignatureAlgorithm.String(),
	}
}

func keyName(key any) string {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return "RSA " + strconv.Itoa(k.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA " + strconv.Itoa(k.Curve.Params().BitSize)
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return ""
}

// KeyID identifies a public key: the SHA-256 of its subjectPublicKeyInfo in hexadecimal.
// It stays the same when a CA's certificate is renewed with its key.
func KeyID(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

// KeyIDs are the KeyID of each certificate in PEM. What is no certificate is left out.
func KeyIDs(pemBytes []byte) []string {
	var ids []string
	for _, cert := range ParseCertificates(pemBytes) {
		ids = append(ids, KeyID(cert))
	}
	return ids
}

// ParseCertificates returns each certificate in PEM. What is no certificate is left out.
func ParseCertificates(pemBytes []byte) []*x509.Certificate {
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		block, pemBytes = pem.Decode(pemBytes)
		if block == nil {
			return certs
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
			certs = append(certs, cert)
		}
	}
}

// Holds reports whether a certificate with one of the keys is among the machine's files:
// with a cluster's CA, that the machine belongs to the cluster.
func (m *Machine) Holds(keys []string) bool {
	return slices.ContainsFunc(m.Files, func(f File) bool {
		return slices.ContainsFunc(f.Keys, func(k string) bool { return slices.Contains(keys, k) })
	})
}

// A Listener is a TCP port that a component listens on, and how it answered.
type Listener struct {
	Component string `json:"component"`
	// Address is what it is bound to: an IP, "0.0.0.0" or "::" for all.
	Address string `json:"address"`
	Port    int    `json:"port"`
	PID     int    `json:"pid,omitempty"`
	// TLS is nil where the port answered in plain text. Where it could not be
	// told, Unknown says why and both are to be left alone.
	TLS     *TLS   `json:"tls,omitempty"`
	Unknown string `json:"unknown,omitempty"`
}

// TLS is what handshakes with a listener showed.
type TLS struct {
	// Versions are the protocol versions that it agreed to, oldest first: "TLS 1.0" to "TLS 1.3".
	Versions []string `json:"versions"`
	// WeakCiphers are the insecure suites that it agreed to, by IANA name.
	WeakCiphers []string `json:"weakCiphers,omitempty"`
	// ClientCert is "none", "requested" or "required".
	ClientCert string    `json:"clientCert"`
	Subject    string    `json:"subject"`
	Issuer     string    `json:"issuer"`
	NotAfter   time.Time `json:"notAfter"`
	SelfSigned bool      `json:"selfSigned,omitempty"`
	// NotBefore, Key and Signature are as in CertificateFacts; empty where nobody asked.
	NotBefore time.Time `json:"notBefore,omitzero"`
	Key       string    `json:"key,omitempty"`
	Signature string    `json:"signature,omitempty"`
	// PostQuantum is whether it agreed X25519MLKEM768.
	PostQuantum bool `json:"postQuantum,omitempty"`
}

// Wildcard reports whether the listener takes connections on every address.
func (l Listener) Wildcard() bool { return l.Address == "0.0.0.0" || l.Address == "::" }

// Loopback reports whether only the machine itself can connect.
func (l Listener) Loopback() bool {
	return strings.HasPrefix(l.Address, "127.") || l.Address == "::1"
}

// A Component is one running instance of a component of the control plane or of a
// node, with the flags it was started with.
type Component struct {
	Ref
	// Machine is the node or host it runs on, as far as known.
	Machine string
	Flags   Flags
	Source  Source
	// Object is the static pod that it was read from, if it was.
	Object *Object
}

// Flags are command line flags, by name without dashes. A flag given twice keeps
// both values, as the component would see them.
type Flags struct {
	values map[string][]string
	// Complete says that every flag is here with its effective value (/flagz),
	// so that an absent one is truly unknown to this version.
	Complete bool
}

// ParseFlags reads an argument list without its program name. It knows the forms
// --name=value, --name value and the bare boolean --name.
func ParseFlags(args []string) Flags {
	f := Flags{values: map[string][]string{}}
	for i := 0; i < len(args); i++ {
		name, ok := strings.CutPrefix(args[i], "-")
		if !ok {
			continue
		}
		name = strings.TrimPrefix(name, "-")
		if name == "" {
			break // "--" ends the flags
		}
		value := "true"
		if n, v, found := strings.Cut(name, "="); found {
			name, value = n, v
		} else if i+1 < len(args) && (!strings.HasPrefix(args[i+1], "-") || negative(args[i+1])) {
			i++
			value = args[i]
		}
		// pflag takes both spellings; components normalise _ to -.
		name = strings.ReplaceAll(name, "_", "-")
		f.values[name] = append(f.values[name], value)
	}
	return f
}

// negative reports whether an argument is a number below zero rather than a flag.
func negative(arg string) bool {
	_, err := strconv.ParseFloat(arg, 64)
	return err == nil
}

// CompleteFlags makes Flags from effective values.
func CompleteFlags(values map[string]string) Flags {
	f := Flags{values: make(map[string][]string, len(values)), Complete: true}
	for k, v := range values {
		f.values[k] = []string{v}
	}
	return f
}

// Lookup returns the value that takes effect, the last one, and whether the flag was given.
func (f Flags) Lookup(name string) (string, bool) {
	v, ok := f.values[name]
	if !ok || len(v) == 0 {
		return "", false
	}
	return v[len(v)-1], true
}

// Get returns the value that takes effect, or what the component assumes without the flag.
func (f Flags) Get(name, otherwise string) string {
	if v, ok := f.Lookup(name); ok {
		return v
	}
	return otherwise
}

// List returns a comma separated flag's items; repeated flags add up.
func (f Flags) List(name string) []string {
	var out []string
	for _, v := range f.values[name] {
		// /flagz prints slices in brackets.
		v = strings.TrimSuffix(strings.TrimPrefix(v, "["), "]")
		for item := range strings.SplitSeq(v, ",") {
			if item = strings.TrimSpace(item); item != "" {
				out = append(out, item)
			}
		}
	}
	return out
}

// Names returns the flags that were given, sorted.
func (f Flags) Names() []string {
	names := make([]string, 0, len(f.values))
	for n := range f.values {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// A Kubelet is the configuration of one node's kubelet. From /configz every field is
// effective; from a file, an absent field (nil) means the kubelet's own default.
type Kubelet struct {
	// Node is the Node's name, or the file's name for a configuration file.
	Node   string
	Config *kubeletv1beta1.KubeletConfiguration
	Source Source
}

// componentOf returns the component that a program path or name stands for, or "".
func componentOf(program string) string {
	switch name := path.Base(program); name {
	case "kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd", "kubelet", "kube-proxy":
		return name
	}
	return ""
}
