// Package trusttest builds facts for tests: a small cluster whose certificates are made
// by package pki, at a fixed time, to be spoiled by each test in its own way. It is used
// by tests only.
package trusttest

import (
	"crypto/x509"
	"io/fs"
	"net/netip"
	"testing"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/pki"
	"github.com/bulwark-k8s/bulwark/internal/trust"
)

// Now is the moment that scenes are judged at; Issued is when their certificates were made.
var (
	Now    = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	Issued = Now.Add(-10 * 24 * time.Hour)
)

// A Scene is facts, and the authorities to make more.
type Scene struct {
	*testing.T
	trust.Facts
	CA, Etcd, FrontProxy *pki.Authority
}

// The machines of a scene.
const (
	ControlPlane = "cp-1"
	Node         = "node-1"
)

// New is a control plane and a node with every certificate as it should be.
func New(t *testing.T) *Scene {
	t.Helper()
	s := &Scene{T: t}
	s.Target = "scene"
	s.CA, s.Etcd, s.FrontProxy = s.Authority("kubernetes"), s.Authority("etcd-ca"), s.Authority("front-proxy-ca")
	const dir = "/etc/kubernetes/pki/"
	s.AddAuthority(ControlPlane, dir+"ca", s.CA)
	s.AddAuthority(ControlPlane, dir+"etcd/ca", s.Etcd)
	s.AddAuthority(ControlPlane, dir+"front-proxy-ca", s.FrontProxy)
	s.AddCertificate(Node, dir+"ca.crt", s.CA.Certificate)

	names := []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", ControlPlane, "localhost"}
	s.Add(ControlPlane, dir+"apiserver", s.Issue(s.CA, "kube-apiserver", nil, pki.Server, names, "10.96.0.1", "10.0.0.1"))
	s.Add(ControlPlane, dir+"apiserver-kubelet-client", s.Issue(s.CA, pki.UserKubeletClient, nil, pki.Client, nil))
	s.Add(ControlPlane, dir+"apiserver-etcd-client", s.Issue(s.Etcd, "kube-apiserver-etcd-client", nil, pki.Client, nil))
	s.Add(ControlPlane, dir+"front-proxy-client", s.Issue(s.FrontProxy, "front-proxy-client", nil, pki.Client, nil))
	s.Add(ControlPlane, dir+"etcd/server", s.Issue(s.Etcd, ControlPlane, nil, pki.ServerAndClient, []string{ControlPlane, "localhost"}, "127.0.0.1", "10.0.0.1"))
	s.Add(ControlPlane, dir+"etcd/peer", s.Issue(s.Etcd, ControlPlane, nil, pki.ServerAndClient, []string{ControlPlane, "localhost"}, "127.0.0.1", "10.0.0.1"))
	s.Add(Node, "/var/lib/kubelet/pki/kubelet-server-current.pem", s.Issue(s.CA, "system:node:"+Node, []string{pki.GroupNodes}, pki.Server, []string{Node}, "10.0.0.101"))

	s.AddKubeconfig(ControlPlane, "/etc/kubernetes/admin.conf", s.Issue(s.CA, "kubernetes-admin", []string{pki.GroupAdmins}, pki.Client, nil), "https://10.0.0.1:6443")
	s.AddKubeconfig(ControlPlane, "/etc/kubernetes/controller-manager.conf", s.Issue(s.CA, "system:kube-controller-manager", nil, pki.Client, nil), "https://10.0.0.1:6443")
	s.AddKubeconfig(ControlPlane, "/etc/kubernetes/scheduler.conf", s.Issue(s.CA, "system:kube-scheduler", nil, pki.Client, nil), "https://10.0.0.1:6443")
	s.AddKubeconfig(Node, "/etc/kubernetes/kubelet.conf", s.Issue(s.CA, "system:node:"+Node, []string{pki.GroupNodes}, pki.Client, nil), "https://10.0.0.1:6443")
	return s
}

// Judge gives the verdict on the scene.
func (s *Scene) Judge() *trust.Result { return trust.Judge(&s.Facts, trust.Options{Now: Now}) }

// Authority makes an authority.
func (s *Scene) Authority(name string) *pki.Authority {
	s.Helper()
	a, err := pki.Issuer{Now: Issued}.Authority(name)
	if err != nil {
		s.Fatal(err)
	}
	return a
}

// Issue makes a pair at the usual time, for a year.
func (s *Scene) Issue(from *pki.Authority, user string, groups []string, usage pki.Usage, names []string, ips ...string) *pki.Pair {
	s.Helper()
	return s.IssueAt(pki.Issuer{Now: Issued}, from, user, groups, usage, names, ips...)
}

// IssueAt makes a pair as an issuer would.
func (s *Scene) IssueAt(issuer pki.Issuer, from *pki.Authority, user string, groups []string, usage pki.Usage, names []string, ips ...string) *pki.Pair {
	s.Helper()
	leaf := pki.Leaf{Subject: pki.Subject{CommonName: user, Organizations: groups}, Usage: usage, DNSNames: names}
	for _, ip := range ips {
		leaf.IPs = append(leaf.IPs, netip.MustParseAddr(ip))
	}
	pair, err := issuer.Issue(from, leaf)
	if err != nil {
		s.Fatal(err)
	}
	return pair
}

// AddAuthority puts an authority and its key at a path without extension.
func (s *Scene) AddAuthority(machine, base string, a *pki.Authority) {
	s.Add(machine, base, &a.Pair)
}

// Add puts a pair at a path: without extension as two files, with .pem as one.
func (s *Scene) Add(machine, base string, pair *pki.Pair) {
	crt, key := base, base
	if len(base) < 4 || base[len(base)-4:] != ".pem" {
		crt, key = base+".crt", base+".key"
	}
	s.AddCertificate(machine, crt, pair.Certificate)
	s.Keys = append(s.Keys, trust.Key{
		Place: trust.Place{Origin: trust.InFile, Machine: machine, Name: key}, ID: cluster.KeyID(pair.Certificate),
		Algorithm: "ECDSA", Bits: 256, Purpose: trust.PurposeOf(key), File: file(0o600),
	})
}

// AddCertificate puts a certificate at a path.
func (s *Scene) AddCertificate(machine, path string, cert *x509.Certificate) {
	p := trust.PurposeOf(path)
	s.Certificates = append(s.Certificates, trust.Certificate{
		Certificate: cert, Place: trust.Place{Origin: trust.InFile, Machine: machine, Name: path}, Purpose: p,
		Trusted: p != nil && p.Authority, File: file(0o644),
	})
}

// AddKubeconfig puts a kubeconfig with an embedded certificate at a path.
func (s *Scene) AddKubeconfig(machine, path string, pair *pki.Pair, server string) {
	at := trust.Place{Origin: trust.InKubeconfig, Machine: machine, Name: path}
	p := trust.PurposeOf(path)
	user := pair.Certificate.Subject.CommonName
	s.Kubeconfigs = append(s.Kubeconfigs, trust.Kubeconfig{Place: at, Purpose: p, File: file(0o600), Accesses: []trust.Access{{
		Context: user, Cluster: "kubernetes", User: user, Current: true, Server: server, HasCA: true,
		CAs: []*x509.Certificate{s.CA.Certificate}, Client: pair.Certificate, KeyID: cluster.KeyID(pair.Certificate), HasKey: true, Inline: true,
		Credentials: []string{trust.ByCertificate},
	}}})
	user = "user " + user
	s.Certificates = append(s.Certificates,
		trust.Certificate{Certificate: s.CA.Certificate, Place: trust.Place{Origin: trust.InKubeconfig, Machine: machine, Name: path, Detail: "cluster kubernetes"}, Trusted: true, File: file(0o600)},
		trust.Certificate{Certificate: pair.Certificate, Place: trust.Place{Origin: trust.InKubeconfig, Machine: machine, Name: path, Detail: user}, Purpose: p, File: file(0o600)})
}

// Replace puts another certificate where one with this path stands.
func (s *Scene) Replace(path string, cert *x509.Certificate) {
	s.Helper()
	for i := range s.Certificates {
		if s.Certificates[i].Place.Name == path && s.Certificates[i].Place.Detail == "" {
			s.Certificates[i].Certificate = cert
			return
		}
	}
	s.Fatalf("no certificate at %s", path)
}

// ReplacePair is Replace with the key.
func (s *Scene) ReplacePair(base string, pair *pki.Pair) {
	s.Helper()
	s.Replace(base+".crt", pair.Certificate)
	s.Key(base + ".key").ID = cluster.KeyID(pair.Certificate)
}

// Key is the key at a path.
func (s *Scene) Key(path string) *trust.Key {
	s.Helper()
	for i := range s.Keys {
		if s.Keys[i].Place.Name == path {
			return &s.Keys[i]
		}
	}
	s.Fatalf("no key at %s", path)
	return nil
}

// Access is the one access of the kubeconfig at a path.
func (s *Scene) Access(path string) *trust.Access {
	s.Helper()
	for i := range s.Kubeconfigs {
		if s.Kubeconfigs[i].Place.Name == path {
			return &s.Kubeconfigs[i].Accesses[0]
		}
	}
	s.Fatalf("no kubeconfig at %s", path)
	return nil
}

func file(mode uint32) *trust.File {
	return &trust.File{Mode: fs.FileMode(mode), Owner: "root", Group: "root"}
}
