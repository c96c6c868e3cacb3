package pki

import (
	"bytes"
	"crypto/x509"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func testCluster() Cluster {
	return Cluster{
		Name: "demo", DNSDomain: "cluster.local",
		ServiceIP:    netip.MustParseAddr("10.96.0.1"),
		Server:       "https://10.0.0.1:6443",
		APIServerIPs: []netip.Addr{netip.MustParseAddr("10.0.0.1")},

		ComponentServing: true,
	}
}

var testMachine = Machine{Name: "cp-1", IP: netip.MustParseAddr("10.0.0.11"), APIServer: "https://10.0.0.11:6443"}

// Every certificate of a control plane is accepted where it is presented, and
// by nobody else's authority.
func TestCertificatesVerifyWhereTheyAreUsed(t *testing.T) {
	issuer := Issuer{Now: now}
	trust, err := issuer.NewTrust()
	if err != nil {
		t.Fatal(err)
	}
	c := testCluster()
	specs := append(c.ControlPlane(testMachine).Certificates, c.KubeletServing(testMachine))
	for _, spec := range specs {
		t.Run(spec.Base, func(t *testing.T) {
			pair, err := issuer.Issue(trust.Authorities[spec.Authority], spec.Leaf)
			if err != nil {
				t.Fatal(err)
			}
			for base, authority := range trust.Authorities {
				err := verify(authority, pair, spec.Usage, "")
				if own := base == spec.Authority; (err == nil) != own {
					t.Errorf("verified by authority %s: %v, want %v", base, err, own)
				}
			}
			for _, name := range spec.DNSNames {
				if err := verify(trust.Authorities[spec.Authority], pair, spec.Usage, name); err != nil {
					t.Errorf("dialled as %s: %v", name, err)
				}
			}
			for _, ip := range spec.IPs {
				if err := verify(trust.Authorities[spec.Authority], pair, spec.Usage, ip.String()); err != nil {
					t.Errorf("dialled as %s: %v", ip, err)
				}
			}
			if spec.Usage == Client && verify(trust.Authorities[spec.Authority], pair, Server, "") == nil {
				t.Error("a client's certificate may serve")
			}
			if spec.Usage == Server && verify(trust.Authorities[spec.Authority], pair, Client, "") == nil {
				t.Error("a server's certificate may log in")
			}
		})
	}
}

func verify(authority *Authority, pair *Pair, usage Usage, name string) error {
	roots := x509.NewCertPool()
	roots.AddCert(authority.Certificate)
	usages, err := usage.extKeyUsages()
	if err != nil {
		return err
	}
	for _, u := range usages {
		if _, err := pair.Certificate.Verify(x509.VerifyOptions{
			Roots: roots, CurrentTime: now, DNSName: name, KeyUsages: []x509.ExtKeyUsage{u},
		}); err != nil {
			return err
		}
	}
	return nil
}

// Nothing but one break-glass identity is above RBAC.
func TestOneIdentityIsInSystemMasters(t *testing.T) {
	c := testCluster()
	var in []string
	cp, node := c.ControlPlane(testMachine), c.Node(testMachine)
	for _, k := range append(cp.Kubeconfigs, node.Kubeconfigs...) {
		for _, o := range k.Subject.Organizations {
			if o == GroupMasters {
				in = append(in, k.File)
			}
		}
	}
	for _, l := range cp.Certificates {
		for _, o := range l.Subject.Organizations {
			if o == GroupMasters {
				in = append(in, l.Base)
			}
		}
	}
	if len(in) != 1 || in[0] != "super-admin.conf" {
		t.Errorf("in system:masters: %v, want super-admin.conf alone", in)
	}
}

func TestAlgorithms(t *testing.T) {
	for _, a := range append([]Algorithm{""}, Algorithms...) {
		t.Run(string(a), func(t *testing.T) {
			if (a == RSA3072 || a == RSA4096) && testing.Short() {
				t.Skip("drawing long RSA keys takes seconds")
			}
			issuer := Issuer{Now: now, Algorithm: a}
			authority, err := issuer.Authority("ca")
			if err != nil {
				t.Fatal(err)
			}
			pair, err := issuer.Issue(authority, Leaf{Subject: Subject{CommonName: "x"}, Usage: Client})
			if err != nil {
				t.Fatal(err)
			}
			if err := verify(authority, pair, Client, ""); err != nil {
				t.Error(err)
			}
			pem, err := EncodeKey(pair.Key)
			if err != nil {
				t.Fatal(err)
			}
			back, err := ParseKey(pem)
			if err != nil {
				t.Fatal(err)
			}
			again, err := EncodeKey(back)
			if err != nil || !bytes.Equal(pem, again) {
				t.Errorf("read back, the key is another (%v)", err)
			}
		})
	}
	if _, err := ParseAlgorithm("ecdsa-p256"); err != nil {
		t.Errorf("lower case: %v", err)
	}
	if _, err := ParseAlgorithm("RSA-1024"); err == nil {
		t.Error("RSA-1024 was accepted")
	}
	if _, err := Algorithm("RSA-1024").Generate(); err == nil {
		t.Error("RSA-1024 was generated")
	}
}

func TestLeavesThatNobodyWouldAcceptAreRefused(t *testing.T) {
	issuer := Issuer{Now: now}
	authority, err := issuer.Authority("ca")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		leaf Leaf
		want string
	}{
		"no name":                {Leaf{Usage: Client}, "certificate without a common name"},
		"a server nobody dials":  {Leaf{Subject: Subject{CommonName: "x"}, Usage: Server}, "serving certificate of x: no name or address to be dialled by"},
		"neither end":            {Leaf{Subject: Subject{CommonName: "x"}, DNSNames: []string{"x"}}, "certificate of x: usage 0: want client, server or both"},
		"an address that is not": {Leaf{Subject: Subject{CommonName: "x"}, Usage: Server, IPs: []netip.Addr{{}}}, "certificate of x: invalid address among its names"},
	} {
		if _, err := issuer.Issue(authority, tc.leaf); err == nil || err.Error() != tc.want {
			t.Errorf("%s: got %v, want %s", name, err, tc.want)
		}
	}
	if _, err := (Issuer{}).Authority("ca"); err == nil {
		t.Error("an issuer without a time made an authority")
	}
}

func TestALeafNeverOutlivesItsAuthority(t *testing.T) {
	short := Issuer{Now: now, AuthorityLifetime: 24 * time.Hour}
	authority, err := short.Authority("ca")
	if err != nil {
		t.Fatal(err)
	}
	leaf := Leaf{Subject: Subject{CommonName: "x"}, Usage: Client}
	pair, err := short.Issue(authority, leaf)
	if err != nil {
		t.Fatal(err)
	}
	if !pair.Certificate.NotAfter.Equal(authority.Certificate.NotAfter) {
		t.Errorf("ends %s, its authority %s", pair.Certificate.NotAfter, authority.Certificate.NotAfter)
	}
	later := Issuer{Now: now.Add(48 * time.Hour)}
	if _, err := later.Issue(authority, leaf); err == nil {
		t.Error("an expired authority signed")
	}
}

func TestFilesAreWhereKubeadmLooks(t *testing.T) {
	dir := t.TempDir()
	issuer := Issuer{Now: now}
	trust, err := issuer.NewTrust()
	if err != nil {
		t.Fatal(err)
	}
	c := testCluster()
	plan := c.ControlPlane(testMachine)
	if err := (Files{Dir: dir}).Write(issuer, trust, plan); err != nil {
		t.Fatal(err)
	}
	for file, mode := range map[string]fs.FileMode{
		"pki/ca.crt": 0o644, "pki/ca.key": 0o600, "pki/etcd/ca.key": 0o600, "pki/front-proxy-ca.crt": 0o644,
		"pki/apiserver.crt": 0o644, "pki/apiserver.key": 0o600, "pki/etcd/healthcheck-client.key": 0o600,
		"pki/sa.key": 0o600, "pki/sa.pub": 0o600, "admin.conf": 0o600, "super-admin.conf": 0o600,
	} {
		info, err := os.Stat(filepath.Join(dir, file))
		if err != nil {
			t.Error(err)
		} else if info.Mode().Perm() != mode {
			t.Errorf("%s: mode %v, want %v", file, info.Mode().Perm(), mode)
		}
	}
	// A second time nothing is replaced.
	before, err := os.ReadFile(filepath.Join(dir, "pki/ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := issuer.NewTrust()
	if err != nil {
		t.Fatal(err)
	}
	if err := (Files{Dir: dir}).Write(issuer, other, plan); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second write: %v, want that the file exists", err)
	}
	after, err := os.ReadFile(filepath.Join(dir, "pki/ca.key"))
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the authority's key was replaced (%v)", err)
	}
	openssl(t, dir)
}

// openssl is a judge that shares no code with us.
func openssl(t *testing.T, dir string) {
	t.Helper()
	program, err := exec.LookPath("openssl")
	if err != nil {
		t.Log("openssl is not installed: its judgement is left out")
		return
	}
	pki := filepath.Join(dir, "pki")
	for cert, ca := range map[string]string{
		"apiserver.crt": "ca.crt", "apiserver-kubelet-client.crt": "ca.crt",
		"apiserver-etcd-client.crt": "etcd/ca.crt", "etcd/server.crt": "etcd/ca.crt", "etcd/peer.crt": "etcd/ca.crt",
		"front-proxy-client.crt": "front-proxy-ca.crt",
	} {
		out, err := exec.Command(program, "verify", "-x509_strict", "-attime", strconv.FormatInt(now.Unix(), 10),
			"-CAfile", filepath.Join(pki, ca), filepath.Join(pki, cert)).CombinedOutput()
		if err != nil {
			t.Errorf("openssl on %s: %s", cert, out)
		}
	}
}

func TestPlansThatWouldGoAstrayAreRefused(t *testing.T) {
	for name, p := range map[string]Plan{
		"out of the folder": {Certificates: []CertificateSpec{{Base: "../x"}}},
		"absolute":          {Certificates: []CertificateSpec{{Base: "/x"}}},
		"twice":             {Certificates: []CertificateSpec{{Base: "x"}, {Base: "x"}}},
		"no server":         {Kubeconfigs: []KubeconfigSpec{{File: "x.conf"}}},
	} {
		if p.validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestKubeconfigs(t *testing.T) {
	issuer := Issuer{Now: now}
	trust, err := issuer.NewTrust()
	if err != nil {
		t.Fatal(err)
	}
	data, err := issuer.Kubeconfig(trust, KubeconfigSpec{
		File: "admin.conf", Server: "https://10.0.0.1:6443",
		Subject: Subject{CommonName: "kubernetes-admin", Organizations: []string{GroupAdmins}},
	})
	if err != nil {
		t.Fatal(err)
	}
	data, err = Readdress(data, "bulwark-demo", "https://127.0.0.1:1234")
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(data)
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != "https://127.0.0.1:1234" {
		t.Errorf("server %s", config.Host)
	}
	cert, err := ParseCertificate(config.CertData)
	if err != nil {
		t.Fatal(err)
	}
	if cert.Subject.CommonName != "kubernetes-admin" || cert.Subject.Organization[0] != GroupAdmins {
		t.Errorf("issued to %s", cert.Subject)
	}
	if _, err := Readdress([]byte("apiVersion: v1\nkind: Config\n"), "x", "y"); err == nil {
		t.Error("an empty kubeconfig was readdressed")
	}
}

// What is read from strangers is refused or is what it says; errors never
// quote it.
func FuzzParse(f *testing.F) {
	issuer := Issuer{Now: now}
	authority, err := issuer.Authority("ca")
	if err != nil {
		f.Fatal(err)
	}
	key, err := EncodeKey(authority.Key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(key)
	f.Add(EncodeCertificate(authority.Certificate))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if key, err := ParseKey(data); err == nil {
			pem, err := EncodeKey(key)
			if err != nil {
				t.Fatalf("a key that was read cannot be written: %v", err)
			}
			if _, err := ParseKey(pem); err != nil {
				t.Fatalf("a key that was written cannot be read: %v", err)
			}
		}
		if cert, err := ParseCertificate(data); err == nil {
			if again, err := ParseCertificate(EncodeCertificate(cert)); err != nil || !again.Equal(cert) {
				t.Fatalf("a certificate that was written is another: %v", err)
			}
		}
	})
}
