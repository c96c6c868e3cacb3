package trust_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/pki"
	"github.com/bulwark-k8s/bulwark/internal/trust"
	"github.com/bulwark-k8s/bulwark/internal/trust/trusttest"
)

const dir = "/etc/kubernetes/pki/"

// lines are the findings from low upwards and those that are unknown, one a line.
func lines(r *trust.Result) []string {
	var out []string
	for _, f := range r.Findings {
		if f.Severity == trust.Note && !f.Unknown {
			continue
		}
		state := f.Severity.String()
		if f.Unknown {
			state = "unknown"
		}
		out = append(out, fmt.Sprintf("%s %s: %s: %s", state, f.Kind.ID, f.Subject, f.Evidence))
	}
	return out
}

// want compares findings with the beginnings of lines, and both ways: nothing may be
// missing and nothing too much.
func want(t *testing.T, r *trust.Result, beginnings ...string) {
	t.Helper()
	got := lines(r)
	for _, w := range beginnings {
		i := slices.IndexFunc(got, func(g string) bool { return strings.HasPrefix(g, w) })
		if i < 0 {
			t.Errorf("no finding %q in:\n%s", w, strings.Join(got, "\n"))
			continue
		}
		got = slices.Delete(got, i, i+1)
	}
	if len(got) > 0 {
		t.Errorf("findings that nobody wants:\n%s", strings.Join(got, "\n"))
	}
}

func TestASoundClusterHasNotesOnly(t *testing.T) {
	r := trusttest.New(t).Judge()
	want(t, r)
	if r.Incomplete() {
		t.Error("nothing is unknown")
	}
	var notes []string
	for _, f := range r.Findings {
		notes = append(notes, f.Kind.ID+" "+f.Subject)
	}
	if diff := cmp.Diff([]string{
		"ca-key-plain key /etc/kubernetes/pki/ca.key",
		"ca-key-plain key /etc/kubernetes/pki/etcd/ca.key",
		"ca-key-plain key /etc/kubernetes/pki/front-proxy-ca.key",
		"ca-key-present key /etc/kubernetes/pki/etcd/ca.key",
		"ca-key-present key /etc/kubernetes/pki/front-proxy-ca.key",
	}, notes); diff != "" {
		t.Errorf("notes: want -, got +\n%s", diff)
	}
}

func TestFindings(t *testing.T) {
	day := 24 * time.Hour
	server := []string{"kubernetes.default.svc", "localhost"}
	tests := map[string]struct {
		spoil func(*trusttest.Scene)
		want  []string
	}{
		"a leaf has expired": {
			func(s *trusttest.Scene) {
				s.ReplacePair(dir+"apiserver-etcd-client", s.IssueAt(pki.Issuer{Now: trusttest.Now.Add(-366 * day)}, s.Etcd, "kube-apiserver-etcd-client", nil, pki.Client, nil))
			},
			[]string{"high expired: certificate /etc/kubernetes/pki/apiserver-etcd-client.crt: it ended on 2026-02-28, 1 day ago"},
		},
		"a leaf expires soon": {
			func(s *trusttest.Scene) {
				s.ReplacePair(dir+"apiserver-etcd-client", s.IssueAt(pki.Issuer{Now: trusttest.Now.Add(-345 * day)}, s.Etcd, "kube-apiserver-etcd-client", nil, pki.Client, nil))
			},
			[]string{"medium expires-soon: certificate /etc/kubernetes/pki/apiserver-etcd-client.crt: it ends on 2026-03-21, in 20 days"},
		},
		"a leaf that is renewed by itself has time": {
			func(s *trusttest.Scene) {
				pair := s.IssueAt(pki.Issuer{Now: trusttest.Now.Add(-345 * day), Lifetime: 365 * day}, s.CA, "system:node:node-1", []string{pki.GroupNodes}, pki.Client, nil)
				s.Add(trusttest.Node, "/var/lib/kubelet/pki/kubelet-client-current.pem", s.IssueAt(pki.Issuer{Now: trusttest.Now.Add(-70 * day), Lifetime: 90 * day}, s.CA, "system:node:node-1", []string{pki.GroupNodes}, pki.Client, nil))
				_ = pair
			},
			nil,
		},
		"a leaf is not valid yet": {
			func(s *trusttest.Scene) {
				s.ReplacePair(dir+"apiserver-etcd-client", s.IssueAt(pki.Issuer{Now: trusttest.Now.Add(2 * day)}, s.Etcd, "kube-apiserver-etcd-client", nil, pki.Client, nil))
			},
			[]string{"high not-yet-valid: certificate /etc/kubernetes/pki/apiserver-etcd-client.crt: it begins on 2026-03-03"},
		},
		"an authority expires soon": {
			func(s *trusttest.Scene) {
				a, err := pki.Issuer{Now: trusttest.Issued, AuthorityLifetime: 360 * day}.Authority("old")
				if err != nil {
					t.Fatal(err)
				}
				b, err := pki.Issuer{Now: trusttest.Now.Add(-359 * day), AuthorityLifetime: 360 * day}.Authority("older")
				if err != nil {
					t.Fatal(err)
				}
				s.AddCertificate("", "/certs/extra-ca.crt", a.Certificate)
				s.AddCertificate("", "/certs/older-ca.crt", b.Certificate)
			},
			[]string{"high expires-soon: certificate /certs/older-ca.crt: it ends on 2026-03-02, in 1 day"},
		},
		"the key is another's": {
			func(s *trusttest.Scene) {
				s.Key(dir + "apiserver.key").ID = s.Key(dir + "apiserver-etcd-client.key").ID
			},
			[]string{"high key-mismatch: key /etc/kubernetes/pki/apiserver.key: its public half is not the one in apiserver.crt"},
		},
		"a kubeconfig's key is another's": {
			func(s *trusttest.Scene) { s.Access("/etc/kubernetes/scheduler.conf").KeyID = "00" },
			[]string{"high key-mismatch: kubeconfig /etc/kubernetes/scheduler.conf: the key of user system:kube-scheduler"},
		},
		"a server's certificate may only be a client": {
			func(s *trusttest.Scene) {
				s.ReplacePair(dir+"apiserver", s.Issue(s.CA, "kube-apiserver", nil, pki.Client, append(server, trusttest.ControlPlane), "10.0.0.1", "10.96.0.1"))
			},
			[]string{"high wrong-usage: certificate /etc/kubernetes/pki/apiserver.crt: extended key usage is clientAuth, want serverAuth for kube-apiserver, serving"},
		},
		"a client's certificate may only serve": {
			func(s *trusttest.Scene) {
				s.ReplacePair(dir+"front-proxy-client", s.Issue(s.FrontProxy, "front-proxy-client", nil, pki.Server, []string{"x"}))
			},
			[]string{"high wrong-usage: certificate /etc/kubernetes/pki/front-proxy-client.crt: extended key usage is serverAuth, want clientAuth"},
		},
		"a leaf is signed by another authority": {
			func(s *trusttest.Scene) {
				s.ReplacePair(dir+"apiserver-etcd-client", s.Issue(s.CA, "kube-apiserver-etcd-client", nil, pki.Client, nil))
			},
			[]string{"high wrong-authority: certificate /etc/kubernetes/pki/apiserver-etcd-client.crt: it is signed by kubernetes, and the etcd CA there is etcd-ca"},
		},
		"the API server lacks the name in a kubeconfig": {
			func(s *trusttest.Scene) {
				s.Access("/etc/kubernetes/admin.conf").Server = "https://api.example.test:6443"
			},
			[]string{"medium missing-name: certificate /etc/kubernetes/pki/apiserver.crt: api.example.test is not among its SANs"},
		},
		"the API server lacks the name by which pods dial it": {
			func(s *trusttest.Scene) {
				s.ReplacePair(dir+"apiserver", s.Issue(s.CA, "kube-apiserver", nil, pki.Server, []string{"localhost"}, "10.0.0.1"))
				s.Cluster = &trust.Cluster{Name: "c", ServiceIP: "10.96.0.1"}
			},
			[]string{
				"medium missing-name: certificate /etc/kubernetes/pki/apiserver.crt: kubernetes.default.svc is not among its SANs (localhost, 10.0.0.1)",
				"medium missing-name: certificate /etc/kubernetes/pki/apiserver.crt: 10.96.0.1 is not among",
			},
		},
		"a kubelet lacks its node's address": {
			func(s *trusttest.Scene) {
				s.Cluster = &trust.Cluster{Name: "c", Nodes: []trust.Node{{Name: trusttest.Node, InternalIPs: []string{"10.0.0.102"}}}}
			},
			[]string{"medium missing-name: certificate /var/lib/kubelet/pki/kubelet-server-current.pem: 10.0.0.102 is not among its SANs (node-1, 10.0.0.101), and kube-apiserver dials it so"},
		},
		"an etcd member lacks its address": {
			func(s *trusttest.Scene) {
				s.ReplacePair(dir+"etcd/server", s.Issue(s.Etcd, "cp-1", nil, pki.ServerAndClient, []string{"cp-1"}, "10.0.0.9"))
				s.Components = append(s.Components, trust.Component{Name: "etcd", Machine: trusttest.ControlPlane, Flags: cluster.ParseFlags([]string{"--advertise-client-urls=https://10.0.0.1:2379"})})
			},
			[]string{
				"medium missing-name: certificate /etc/kubernetes/pki/etcd/server.crt: 127.0.0.1 is not among",
				"medium missing-name: certificate /etc/kubernetes/pki/etcd/server.crt: 10.0.0.1 is not among",
			},
		},
		"one authority for etcd and clients": {
			func(s *trusttest.Scene) {
				s.Replace(dir+"etcd/ca.crt", s.CA.Certificate)
				s.Key(dir + "etcd/ca.key").ID = cluster.KeyID(s.CA.Certificate)
				for _, name := range []string{"apiserver-etcd-client", "etcd/server", "etcd/peer"} {
					s.ReplacePair(dir+name, s.Issue(s.CA, "e", nil, pki.ServerAndClient, []string{"localhost"}, "127.0.0.1"))
				}
			},
			[]string{"high ca-shared-etcd: authority kubernetes: the same key is believed by kube-apiserver for clients, kubelet for clients and by etcd for clients and members, kube-apiserver for etcd"},
		},
		"one authority for front proxies and clients": {
			func(s *trusttest.Scene) {
				s.Replace(dir+"front-proxy-ca.crt", s.CA.Certificate)
				s.Key(dir + "front-proxy-ca.key").ID = cluster.KeyID(s.CA.Certificate)
				s.ReplacePair(dir+"front-proxy-client", s.Issue(s.CA, "front-proxy-client", nil, pki.Client, nil))
			},
			[]string{"critical ca-shared-front-proxy: authority kubernetes: the same key is believed for clients and for front proxies; --requestheader-allowed-names is not known"},
		},
		"the same, with allowed names": {
			func(s *trusttest.Scene) {
				s.Cluster = &trust.Cluster{Name: "c", AuthenticationRead: true, ClientCAs: []*x509.Certificate{s.CA.Certificate}, ProxyCAs: []*x509.Certificate{s.CA.Certificate}, ProxyNames: []string{"front-proxy-client"}}
			},
			[]string{"high ca-shared-front-proxy: authority kubernetes: the same key is believed for clients and for front proxies; only the common names front-proxy-client"},
		},
		"etcd's authority by the API server's flag": {
			func(s *trusttest.Scene) {
				s.Components = append(s.Components, trust.Component{Name: "kube-apiserver", Machine: trusttest.ControlPlane, Source: "manifest", Flags: cluster.ParseFlags([]string{
					"--etcd-cafile=/etc/kubernetes/pki/ca.crt", "--etcd-servers=https://127.0.0.1:2379", "--kubelet-certificate-authority=/etc/kubernetes/pki/ca.crt",
				})})
			},
			[]string{"high ca-shared-etcd: authority kubernetes"},
		},
		"the authority's key on a node": {
			func(s *trusttest.Scene) {
				k := *s.Key(dir + "ca.key")
				k.Place.Machine = trusttest.Node
				s.Keys = append(s.Keys, k)
			},
			[]string{"high ca-key-present: key /etc/kubernetes/pki/ca.key: it is the key of the cluster CA, and no API server runs on this machine"},
		},
		"a key that others can read": {
			func(s *trusttest.Scene) {
				s.Key(dir + "apiserver.key").File = &trust.File{Mode: 0o644, Owner: "root", Group: "root"}
				s.Key(dir + "etcd/peer.key").File = &trust.File{Mode: 0o640, Owner: "root", Group: "etcd", GID: 7}
				s.Key(dir + "etcd/server.key").File = &trust.File{Mode: 0o640, Owner: "root", Group: "root"}
			},
			[]string{
				"high key-readable: key /etc/kubernetes/pki/apiserver.key: mode is 0644, owner root:root, want 0600",
				"medium key-readable: key /etc/kubernetes/pki/etcd/peer.key: mode is 0640, owner root:etcd",
				"low key-readable: key /etc/kubernetes/pki/etcd/server.key: mode is 0640",
			},
		},
		"a certificate that others can change": {
			func(s *trusttest.Scene) { s.Certificates[0].File = &trust.File{Mode: 0o666} },
			[]string{"high trust-writable: certificate /etc/kubernetes/pki/ca.crt: mode is 0666"},
		},
		"system:masters where it does not belong": {
			func(s *trusttest.Scene) {
				s.ReplacePair(dir+"apiserver-kubelet-client", s.Issue(s.CA, pki.UserKubeletClient, []string{pki.GroupMasters}, pki.Client, nil))
				s.AddKubeconfig("", "/home/ann/.kube/config", s.Issue(s.CA, "ann", []string{pki.GroupMasters}, pki.Client, nil), "https://10.0.0.1:6443")
				s.AddKubeconfig(trusttest.ControlPlane, "/etc/kubernetes/super-admin.conf", s.Issue(s.CA, "kubernetes-super-admin", []string{pki.GroupMasters}, pki.Client, nil), "https://10.0.0.1:6443")
			},
			[]string{
				"high masters: certificate /etc/kubernetes/pki/apiserver-kubelet-client.crt: user kube-apiserver-kubelet-client is in group system:masters, until 2027-02-19",
				"medium masters: kubeconfig /home/ann/.kube/config (user ann): user ann is in group system:masters",
			},
		},
		"kubeconfigs that verify nothing or carry too much": {
			func(s *trusttest.Scene) {
				a := s.Access("/etc/kubernetes/admin.conf")
				a.Insecure = true
				b := s.Access("/etc/kubernetes/scheduler.conf")
				b.Server, b.Credentials = "http://10.0.0.1:8080", []string{trust.ByToken}
				c := s.Access("/etc/kubernetes/controller-manager.conf")
				c.Credentials = []string{trust.ByPassword, trust.ByExec + "aws"}
				c.HasCA, c.CAs = false, nil
			},
			[]string{
				"high insecure-skip-verify: kubeconfig /etc/kubernetes/admin.conf: insecure-skip-tls-verify is true for https://10.0.0.1:6443",
				"high plain-server: kubeconfig /etc/kubernetes/scheduler.conf: server is http://10.0.0.1:8080",
				"medium static-credential: kubeconfig /etc/kubernetes/scheduler.conf: user system:kube-scheduler has a static token",
				"high static-credential: kubeconfig /etc/kubernetes/controller-manager.conf: user system:kube-controller-manager has a password",
				"low no-authority: kubeconfig /etc/kubernetes/controller-manager.conf",
			},
		},
		"leaves that live long": {
			func(s *trusttest.Scene) {
				s.ReplacePair(dir+"apiserver-etcd-client", s.IssueAt(pki.Issuer{Now: trusttest.Issued, Lifetime: 1000 * day}, s.Etcd, "c", nil, pki.Client, nil))
				s.ReplacePair(dir+"front-proxy-client", s.IssueAt(pki.Issuer{Now: trusttest.Issued, Lifetime: 3000 * day}, s.FrontProxy, "front-proxy-client", nil, pki.Client, nil))
			},
			[]string{"low long-lived: certificate /etc/kubernetes/pki/apiserver-etcd-client.crt: it lives for 1000 days", "medium long-lived: certificate /etc/kubernetes/pki/front-proxy-client.crt"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := trusttest.New(t)
			tt.spoil(s)
			want(t, s.Judge(), tt.want...)
		})
	}
}

// TestForgedCertificates are ones that package pki refuses to make.
func TestForgedCertificates(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	forge := func(s *trusttest.Scene, template x509.Certificate, public any) *x509.Certificate {
		template.SerialNumber = big.NewInt(1)
		template.NotBefore, template.NotAfter = trusttest.Issued, trusttest.Now.AddDate(0, 6, 0)
		der, err := x509.CreateCertificate(rand.Reader, &template, s.CA.Certificate, public, s.CA.Key)
		if err != nil {
			s.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			s.Fatal(err)
		}
		return c
	}
	client := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	serve := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	tests := map[string]struct {
		spoil func(*trusttest.Scene)
		want  []string
	}{
		"a short RSA key": {
			func(s *trusttest.Scene) {
				s.AddCertificate("", "/certs/weak.crt", forge(s, x509.Certificate{Subject: pkix.Name{CommonName: "bob"}, ExtKeyUsage: client}, weak.Public()))
			},
			[]string{"high weak-key: certificate /certs/weak.crt: key is RSA 1024, want 2048 or more"},
		},
		"a short curve": {
			func(s *trusttest.Scene) {
				s.AddCertificate("", "/certs/weak.crt", forge(s, x509.Certificate{Subject: pkix.Name{CommonName: "bob"}, ExtKeyUsage: client}, p224.Public()))
			},
			[]string{"high weak-key: certificate /certs/weak.crt: key is ECDSA P-224"},
		},
		"a signature with SHA-1": {
			func(s *trusttest.Scene) {
				c := forge(s, x509.Certificate{Subject: pkix.Name{CommonName: "bob"}, ExtKeyUsage: client}, s.CA.Key.Public())
				c.SignatureAlgorithm = x509.ECDSAWithSHA1
				s.AddCertificate("", "/certs/weak.crt", c)
			},
			[]string{"high weak-key: certificate /certs/weak.crt: signature is ECDSA-SHA1, want SHA-256 or more"},
		},
		"a leaf that may sign": {
			func(s *trusttest.Scene) {
				s.Replace(dir+"apiserver-kubelet-client.crt", forge(s, x509.Certificate{Subject: pkix.Name{CommonName: "x"}, ExtKeyUsage: client, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, s.CA.Key.Public()))
				s.Key(dir + "apiserver-kubelet-client.key").ID = cluster.KeyID(s.CA.Certificate)
			},
			[]string{"high leaf-is-ca: certificate /etc/kubernetes/pki/apiserver-kubelet-client.crt: it has CA:TRUE"},
		},
		"a server without names": {
			func(s *trusttest.Scene) {
				s.AddCertificate("", "/certs/web.crt", forge(s, x509.Certificate{Subject: pkix.Name{CommonName: "web"}, ExtKeyUsage: serve}, s.CA.Key.Public()))
			},
			[]string{"high no-names: certificate /certs/web.crt: it has no DNS name and no address"},
		},
		"an authority that may not sign": {
			func(s *trusttest.Scene) {
				s.Replace(dir+"front-proxy-ca.crt", forge(s, x509.Certificate{Subject: pkix.Name{CommonName: "front-proxy-ca"}, IsCA: false, BasicConstraintsValid: true}, s.FrontProxy.Key.Public()))
			},
			[]string{"high not-a-ca: certificate /etc/kubernetes/pki/front-proxy-ca.crt: it is the front-proxy CA and has no CA:TRUE"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := trusttest.New(t)
			tt.spoil(s)
			want(t, s.Judge(), tt.want...)
		})
	}
}

func TestEndpoints(t *testing.T) {
	s := trusttest.New(t)
	good := s.Issue(s.CA, "kube-apiserver", nil, pki.Server, []string{"localhost"}, "10.0.0.1").Certificate
	foreign := s.Issue(s.Authority("other"), "kube-apiserver", nil, pki.Server, nil, "10.0.0.1").Certificate
	etcd := s.Issue(s.Etcd, "cp-1", nil, pki.ServerAndClient, nil, "10.0.0.1").Certificate
	self := s.Authority("node-1-ca@1700000000")
	kubelet := s.Issue(self, "node-1@1700000000", nil, pki.Server, []string{"node-1"}).Certificate
	modern := cluster.TLS{Versions: []string{"TLS 1.2", "TLS 1.3"}, ClientCert: "requested", PostQuantum: true}
	with := func(change func(*cluster.TLS)) *cluster.TLS {
		c := modern
		change(&c)
		return &c
	}
	tests := map[string]struct {
		endpoint trust.Endpoint
		want     []string
	}{
		"as it should be": {trust.Endpoint{Address: "10.0.0.1:6443", Component: "kube-apiserver", TLS: &modern, Chain: []*x509.Certificate{good}}, nil},
		"old versions and suites": {
			trust.Endpoint{Address: "10.0.0.1:6443", Component: "kube-apiserver", Chain: []*x509.Certificate{good}, TLS: with(func(c *cluster.TLS) {
				c.Versions, c.WeakCiphers = []string{"TLS 1.0", "TLS 1.1", "TLS 1.2"}, []string{"TLS_RSA_WITH_RC4_128_SHA"}
			})},
			[]string{"medium old-tls: endpoint 10.0.0.1:6443 (kube-apiserver): it agrees to TLS 1.0 and TLS 1.1", "medium weak-cipher: endpoint 10.0.0.1:6443 (kube-apiserver): it agrees to TLS_RSA_WITH_RC4_128_SHA"},
		},
		"etcd asks for no certificate": {
			trust.Endpoint{Address: "10.0.0.1:2379", Component: "etcd", Chain: []*x509.Certificate{etcd}, TLS: with(func(c *cluster.TLS) { c.ClientCert = "none" })},
			[]string{"critical no-client-certificate: endpoint 10.0.0.1:2379 (etcd)"},
		},
		"a kubelet asks for no certificate, and made its own": {
			trust.Endpoint{Address: "10.0.0.101:10250", Component: "kubelet", Chain: []*x509.Certificate{kubelet, self.Certificate}, TLS: with(func(c *cluster.TLS) { c.ClientCert = "none" })},
			[]string{"high no-client-certificate: endpoint 10.0.0.101:10250 (kubelet)", "low self-signed: endpoint 10.0.0.101:10250 (kubelet): it is signed by node-1-ca@1700000000"},
		},
		"dialled by a name that it has not": {
			trust.Endpoint{Address: "10.0.0.2:6443", Component: "kube-apiserver", TLS: &modern, Chain: []*x509.Certificate{good}},
			[]string{"medium missing-name: endpoint 10.0.0.2:6443 (kube-apiserver): 10.0.0.2 is not among its SANs (localhost, 10.0.0.1)"},
		},
		"somebody else's certificate": {
			trust.Endpoint{Address: "10.0.0.1:6443", Component: "kube-apiserver", TLS: &modern, Chain: []*x509.Certificate{foreign}},
			[]string{"high untrusted-server: endpoint 10.0.0.1:6443 (kube-apiserver): it is signed by other"},
		},
		"etcd in plain text":           {trust.Endpoint{Address: "127.0.0.1:2379", Component: "etcd", Plain: true}, []string{"critical plaintext: endpoint 127.0.0.1:2379 (etcd)"}},
		"etcd's metrics, to itself":    {trust.Endpoint{Address: "127.0.0.1:2381", Component: "etcd", Plain: true}, []string{"low plaintext"}},
		"the kubelet's read-only port": {trust.Endpoint{Address: "10.0.0.101:10255", Component: "kubelet", Plain: true}, []string{"high plaintext"}},
		"nobody answers":               {trust.Endpoint{Address: "10.0.0.9:1", Unknown: "connection refused"}, []string{"unknown endpoint-unknown: endpoint 10.0.0.9:1: connection refused"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			scene := *s
			scene.T = t
			scene.Certificates = slices.Clone(s.Certificates)
			scene.Endpoints = []trust.Endpoint{tt.endpoint}
			for i, c := range tt.endpoint.Chain {
				scene.Certificates = append(scene.Certificates, trust.Certificate{Certificate: c, Position: i, Place: trust.Place{Origin: trust.OnPort, Name: tt.endpoint.Address}})
			}
			want(t, scene.Judge(), tt.want...)
		})
	}
}

func TestHooks(t *testing.T) {
	s := trusttest.New(t)
	ca := s.Authority("guard-ca")
	other := s.Authority("other-ca")
	served := s.Issue(ca, "guard", nil, pki.Server, []string{"guard.shop.svc"})
	old, err := pki.Issuer{Now: trusttest.Now.AddDate(-20, 0, 0)}.Authority("old-ca")
	if err != nil {
		t.Fatal(err)
	}
	base := trust.Hook{Kind: "ValidatingWebhookConfiguration", Object: "guard", Name: "a", Service: "guard", Namespace: "shop", Port: 443}
	with := func(change func(*trust.Hook)) trust.Hook {
		h := base
		change(&h)
		return h
	}
	const subject = "validatingwebhookconfiguration guard (a)"
	bundle := func(certs ...*x509.Certificate) func(*trust.Hook) {
		return func(h *trust.Hook) { h.HasBundle, h.CABundle = true, certs }
	}
	tests := map[string]struct {
		hook   trust.Hook
		secret bool
		want   []string
	}{
		"matches the Secret":             {with(bundle(ca.Certificate)), true, nil},
		"one of several matches":         {with(bundle(other.Certificate, ca.Certificate)), true, nil},
		"does not match":                 {with(bundle(other.Certificate)), true, []string{"high bundle-mismatch: " + subject + ": the certificate for guard.shop.svc in secret shop/guard is signed by another authority"}},
		"nothing to compare with":        {with(bundle(ca.Certificate)), false, []string{"unknown bundle-unchecked: " + subject}},
		"missing":                        {base, true, []string{"high bundle-missing: " + subject}},
		"missing, at an address outside": {with(func(h *trust.Hook) { h.Service, h.URL = "", "https://guard.example.test/x" }), true, []string{"medium bundle-missing: " + subject}},
		"garbage":                        {with(func(h *trust.Hook) { h.HasBundle, h.Problem = true, "no certificate in it" }), true, []string{"high bundle-broken: " + subject + ": caBundle: no certificate in it"}},
		"expired":                        {with(bundle(old.Certificate)), true, []string{"high bundle-broken: " + subject + ": caBundle: no certificate in it is valid today"}},
		"not verified at all":            {with(func(h *trust.Hook) { h.Insecure = true }), true, []string{"high bundle-insecure: " + subject}},
		"without TLS":                    {with(func(h *trust.Hook) { h.Service, h.URL = "", "http://guard.example.test/x" }), true, []string{"high plaintext: " + subject}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			facts := &trust.Facts{Cluster: &trust.Cluster{Name: "c", Hooks: []trust.Hook{tt.hook}}}
			if tt.secret {
				facts.Certificates = []trust.Certificate{{Certificate: served.Certificate, Place: trust.Place{Origin: trust.InCluster, Name: "secret shop/guard", Detail: "tls.crt"}}}
			}
			want(t, trust.Judge(facts, trust.Options{Now: trusttest.Now}), tt.want...)
		})
	}
}

func TestRequests(t *testing.T) {
	node := trust.Request{Name: "r", Signer: "kubernetes.io/kubelet-serving", Requester: "system:node:node-1", State: "pending", CommonName: "system:node:node-1", Organizations: []string{"system:nodes"}, IPs: []string{"10.0.0.101"}}
	person := trust.Request{Name: "r", Signer: "kubernetes.io/kube-apiserver-client", Requester: "ann", State: "pending", CommonName: "ann"}
	with := func(r trust.Request, change func(*trust.Request)) trust.Request {
		change(&r)
		return r
	}
	tests := map[string]struct {
		request trust.Request
		want    string // the reason, or nothing
	}{
		"a node's own serving certificate": {node, ""},
		"another's address":                {with(node, func(r *trust.Request) { r.IPs = []string{"10.0.0.1"} }), "the address 10.0.0.1 is not one of the node's"},
		"another node":                     {with(node, func(r *trust.Request) { r.CommonName = "system:node:node-2" }), "a node asks for itself only"},
		"a serving certificate for ann":    {with(node, func(r *trust.Request) { r.Requester = "ann" }), "only a node asks this signer"},
		"a person":                         {person, ""},
		"above RBAC":                       {with(person, func(r *trust.Request) { r.Organizations = []string{"system:masters"} }), "system:masters is above RBAC"},
		"a person who would be a node":     {with(person, func(r *trust.Request) { r.CommonName = "system:node:node-1" }), "it would be a node"},
		"a person who would be a part":     {with(person, func(r *trust.Request) { r.CommonName = "system:kube-scheduler" }), "the names system: are Kubernetes' own"},
		"an administrator":                 {with(person, func(r *trust.Request) { r.Organizations = []string{"kubeadm:cluster-admins"} }), "it would be an administrator"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for state, severity := range map[string]string{"pending": "high", "issued": "high", "denied": "note"} {
				tt.request.State = state
				facts := &trust.Facts{Cluster: &trust.Cluster{Name: "c", Requests: []trust.Request{tt.request}, Nodes: []trust.Node{{Name: "node-1", InternalIPs: []string{"10.0.0.101"}}}}}
				var got []string
				for _, f := range trust.Judge(facts, trust.Options{Now: trusttest.Now}).Findings {
					if f.Kind.ID == "request-too-much" {
						got = append(got, f.Severity.String()+" "+f.Evidence)
					}
				}
				switch {
				case tt.want == "" && len(got) > 0:
					t.Errorf("%s: got %q, want nothing", state, got)
				case tt.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], severity) || !strings.Contains(got[0], tt.want)):
					t.Errorf("%s: got %q, want %s … %s", state, got, severity, tt.want)
				}
			}
		})
	}
}

func TestIdentities(t *testing.T) {
	s := trusttest.New(t)
	s.AddKubeconfig("", "/home/ann/config", s.Issue(s.CA, "ann", []string{"dev"}, pki.Client, nil), "https://10.0.0.1:6443")
	s.AddKubeconfig("", "/home/root/config", s.Issue(s.CA, "root", []string{pki.GroupMasters}, pki.Client, nil), "https://10.0.0.1:6443")
	s.AddCertificate("", "/home/who/who.crt", s.Issue(s.Authority("elsewhere"), "who", nil, pki.Client, nil).Certificate)
	may := func() map[string]string {
		out := map[string]string{}
		for _, id := range s.Judge().Identities {
			out[string(id.Realm)+" "+id.User] = strings.Join(id.May, " | ")
		}
		return out
	}
	got := may()
	for who, want := range map[string]string{
		"cluster ann":                     "what the cluster's RBAC gives ann and its groups; no cluster was asked",
		"cluster root":                    "everything, past RBAC; cannot be revoked before it expires",
		"cluster system:node:node-1":      "Node authorizer: only what runs on node-1",
		"cluster system:kube-scheduler":   "ClusterRole system:kube-scheduler: binds pods to nodes (by default)",
		"front proxy front-proxy-client":  "speaks to the API server in the name of any user",
		"etcd kube-apiserver-etcd-client": "etcd: everything in it, every Secret included, unless etcd's own roles say otherwise",
		"unknown who":                     "its authority was not read, so who believes it is unknown",
		"cluster kubernetes-admin":        "everything, by kubeadm's ClusterRoleBinding kubeadm:cluster-admins; revoked by removing it (by default)",
	} {
		if got[who] != want {
			t.Errorf("%s may %q, want %q", who, got[who], want)
		}
	}
	if _, ok := got["cluster kube-apiserver"]; ok {
		t.Error("a serving certificate is nobody who logs in")
	}

	b := cluster.NewBuilder("c", true)
	b.Add("rbac.authorization.k8s.io/v1", "ClusterRole", &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "reader"}, Rules: []rbacv1.PolicyRule{{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"secrets"}}}}, cluster.Source{})
	b.Add("rbac.authorization.k8s.io/v1", "ClusterRole", &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "all"}, Rules: []rbacv1.PolicyRule{{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}}}}, cluster.Source{})
	b.Add("rbac.authorization.k8s.io/v1", "RoleBinding", &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "dev", Namespace: "shop"}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "reader"}, Subjects: []rbacv1.Subject{{Kind: "Group", Name: "dev"}}}, cluster.Source{})
	b.Add("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "adm"}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "all"}, Subjects: []rbacv1.Subject{{Kind: "User", Name: "kubernetes-admin"}}}, cluster.Source{})
	s.Cluster = &trust.Cluster{Name: "c", RBAC: b.Snapshot()}
	got = may()
	for who, want := range map[string]string{
		"cluster ann":                   "ClusterRole reader in shop (group dev): reads Secrets",
		"cluster kubernetes-admin":      "everything, by ClusterRole all; revoked by removing clusterrolebinding adm",
		"cluster system:kube-scheduler": "no more than anybody who logs in",
	} {
		if got[who] != want {
			t.Errorf("with RBAC %s may %q, want %q", who, got[who], want)
		}
	}

	s.Components = []trust.Component{{Name: "kube-apiserver", Flags: cluster.ParseFlags([]string{"--authorization-mode=RBAC", "--kubelet-certificate-authority=x"})}}
	if got := may()["cluster system:node:node-1"]; got != "no more than anybody who logs in" {
		t.Errorf("without the Node authorizer a node may %q", got)
	}
	s.Components[0].Flags = cluster.ParseFlags([]string{"--authorization-mode=AlwaysAllow"})
	if got := may()["cluster ann"]; !strings.HasPrefix(got, "everything, as everybody") {
		t.Errorf("with AlwaysAllow ann may %q", got)
	}
}

func TestChannels(t *testing.T) {
	states := func(s *trusttest.Scene) map[string]trust.State {
		out := map[string]trust.State{}
		for _, c := range s.Judge().Channels {
			out[c.From+" → "+c.To] = c.State
		}
		return out
	}
	s := trusttest.New(t)
	if diff := cmp.Diff(map[string]trust.State{
		"kube-apiserver → etcd": trust.Mutual, "etcd → etcd": trust.Mutual, "kube-apiserver → kubelet": trust.Mutual,
		"kube-controller-manager → kube-apiserver": trust.Mutual, "kube-scheduler → kube-apiserver": trust.Mutual,
		"kubelet → kube-apiserver": trust.Mutual, "kube-proxy → kube-apiserver": trust.Untold, "people → kube-apiserver": trust.Mutual,
	}, states(s)); diff != "" {
		t.Errorf("want -, got +\n%s", diff)
	}

	s.Access("/etc/kubernetes/scheduler.conf").Insecure = true
	a := s.Access("/etc/kubernetes/admin.conf")
	a.Client, a.Credentials = nil, []string{trust.ByToken}
	s.Components = []trust.Component{{Name: "kube-apiserver", Flags: cluster.ParseFlags([]string{"--etcd-servers=http://10.0.0.1:2379"})}}
	got := states(s)
	for channel, want := range map[string]trust.State{
		"kube-apiserver → etcd": trust.Plaintext, "etcd → etcd": trust.Untold, "kube-apiserver → kubelet": trust.Unverified,
		"kube-scheduler → kube-apiserver": trust.Unverified, "people → kube-apiserver": trust.ServerOnly,
	} {
		if got[channel] != want {
			t.Errorf("%s is %q, want %q", channel, got[channel], want)
		}
	}
}

// TestJudgeIsSteady: the same facts in another order give the same verdict.
func TestJudgeIsSteady(t *testing.T) {
	s := trusttest.New(t)
	s.Key(dir + "apiserver.key").File.Mode = 0o666
	first := lines(s.Judge())
	slices.Reverse(s.Certificates)
	slices.Reverse(s.Keys)
	slices.Reverse(s.Kubeconfigs)
	if diff := cmp.Diff(first, lines(s.Judge())); diff != "" {
		t.Errorf("another order gives other findings: -, +\n%s", diff)
	}
}

func TestPurposes(t *testing.T) {
	for path, want := range map[string]string{
		"/etc/kubernetes/pki/ca.crt":                                  "cluster CA",
		"/etc/kubernetes/pki/etcd/ca.crt":                             "etcd CA",
		"/etc/kubernetes/pki/ca.key.age":                              "cluster CA",
		"/etc/kubernetes/admin.conf":                                  "administrator",
		"/var/lib/kubelet/pki/kubelet-client-current.pem":             "kubelet to kube-apiserver",
		"/var/lib/kubelet/pki/kubelet.crt":                            "kubelet, serving",
		"/var/lib/rancher/k3s/server/tls/client-ca.crt":               "client CA",
		"/var/lib/rancher/k3s/server/tls/etcd/server-ca.crt":          "etcd CA",
		"/var/lib/rancher/k3s/server/tls/server-ca.crt":               "server CA",
		"/var/lib/rancher/rke2/server/tls/serving-kube-apiserver.crt": "kube-apiserver, serving",
		"/var/lib/rancher/rke2/server/tls/client-rke2-controller.crt": "RKE2 controller to kube-apiserver",
		"/var/lib/rancher/rke2/agent/client-kubelet.key":              "kubelet to kube-apiserver",
		"/var/lib/rancher/k3s/server/tls/request-header-ca.crt":       "front-proxy CA",
		"/home/ann/photo.crt":                                         "",
		"":                                                            "",
	} {
		got := ""
		if p := trust.PurposeOf(path); p != nil {
			got = p.Name
		}
		if got != want {
			t.Errorf("%s is for %q, want %q", path, got, want)
		}
	}
}

// TestKindsAreWhole: every kind says what it is and what to do.
func TestKindsAreWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range trust.Kinds() {
		if seen[k.ID] || k.Title == "" || k.Fix == "" || strings.HasSuffix(k.Title, ".") || strings.HasSuffix(k.Fix, ".") {
			t.Errorf("%s: want a title and a fix without full stops, once", k.ID)
		}
		seen[k.ID] = true
		if k.Severity > trust.Note && k.Why == "" {
			t.Errorf("%s: want a why", k.ID)
		}
	}
}
