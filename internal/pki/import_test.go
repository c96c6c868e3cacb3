package pki

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const externalCluster = `
controlPlanes: [{name: cp, addresses: [10.0.0.1]}]
caKeys: {store: external}
`

// signer is somebody else's authority: it reads the CSR and the manifest, and
// nothing of ours.
type signer struct {
	t           *testing.T
	authorities map[string]*Authority
}

func newSigner(t *testing.T) *signer {
	t.Helper()
	s := &signer{t, map[string]*Authority{}}
	for _, base := range []string{ClusterCA, EtcdCA, FrontProxyCA} {
		a, err := (Issuer{Now: now}).Authority("corporate " + base)
		if err != nil {
			t.Fatal(err)
		}
		s.authorities[base] = a
	}
	return s
}

func (s *signer) cas() map[string]Named {
	all := map[string]Named{}
	for base, a := range s.authorities {
		all[base] = Named{base + ".pem", EncodeCertificate(a.Certificate)}
	}
	return all
}

// sign answers a request; change may spoil the answer.
func (s *signer) sign(dir string, r Request, change func(*x509.Certificate)) []byte {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, r.CSR))
	if err != nil {
		s.t.Fatal(err)
	}
	csr, err := ParseRequest(data)
	if err != nil {
		s.t.Fatal(err)
	}
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	template := &x509.Certificate{
		SerialNumber: serial, Subject: csr.Subject, DNSNames: csr.DNSNames, IPAddresses: csr.IPAddresses,
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(365 * day), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if slices.Contains(r.Usages, "server auth") {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	if slices.Contains(r.Usages, "client auth") {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	if change != nil {
		change(template)
	}
	cert, err := sign(template, s.authorities[r.Signer].Certificate, csr.PublicKey, s.authorities[r.Signer].Key)
	if err != nil {
		s.t.Fatal(err)
	}
	return EncodeCertificate(cert)
}

// requests is the manifest that goes to the signer.
func requests(t *testing.T, dir string) []Request {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, requestsFolder, manifestFile))
	if err != nil {
		t.Fatal(err)
	}
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	return m.Requests
}

func TestRequestsAndTheirAnswers(t *testing.T) {
	dir := t.TempDir()
	config := mustParse(t, externalCluster)
	first := mustInit(t, dir, InitOptions{Config: config})
	if len(first.Requested) != len(config.Bundle().Items) || len(first.MissingAuthorities) != 3 {
		t.Fatalf("requested %v, missing %v", first.Requested, first.MissingAuthorities)
	}
	// What is given away has no key in it.
	for file, content := range tree(t, filepath.Join(dir, requestsFolder)) {
		if strings.Contains(content, "PRIVATE") {
			t.Errorf("requests/%s has a private key in it", file)
		}
	}
	before := tree(t, dir)
	if again := mustInit(t, dir, InitOptions{Config: config}); len(again.Made) > 0 || len(again.Waiting) != len(first.Requested) {
		t.Errorf("the second run made %v, waits for %v", again.Made, again.Waiting)
	}
	if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
		t.Errorf("the second run changed something:\n%s", diff)
	}

	// It does not make authorities of its own beside those that were asked.
	if _, err := Init(dir, InitOptions{Config: mustParse(t, "controlPlanes: [{name: cp, addresses: [10.0.0.1]}]"), Now: now}); err == nil {
		t.Error("made authorities though others are asked")
	}

	s := newSigner(t)
	all := requests(t, dir)
	var half, rest []Named
	for n, r := range all {
		if answer := (Named{"signed", s.sign(dir, r, nil)}); n%2 == 0 {
			half = append(half, answer)
		} else {
			// Several in one file.
			rest = append(rest, answer)
		}
	}
	r, err := Import(dir, ImportOptions{Now: now, Authorities: s.cas(), Signed: half})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Installed) != len(half) || len(r.Missing) != len(rest) || len(r.Refused) > 0 || len(r.InstalledCAs) != 3 {
		t.Fatalf("installed %d, missing %d, refused %v, authorities %v", len(r.Installed), len(r.Missing), r.Refused, r.InstalledCAs)
	}
	var together Named
	for _, a := range rest {
		together.Data = append(together.Data, a.Data...)
	}
	if r, err = Import(dir, ImportOptions{Now: now, Signed: []Named{together}}); err != nil || len(r.Missing)+len(r.Refused) > 0 {
		t.Fatalf("%v, %+v", err, r)
	}
	last := mustInit(t, dir, InitOptions{Config: config})
	if len(last.Made)+len(last.Differs)+len(last.Waiting)+len(last.MissingAuthorities) > 0 {
		t.Errorf("in the end: made %v, differs %v, waits for %v", last.Made, last.Differs, last.Waiting)
	}
	for file := range tree(t, dir) {
		if strings.HasPrefix(file, pendingFolder) || strings.HasPrefix(file, requestsFolder) {
			t.Errorf("%s is left over", file)
		}
	}
	opensslJudges(t, dir, config)

	// Renewing asks again, and does not disturb what is in use.
	before = tree(t, dir)
	renewed, err := Renew(dir, RenewOptions{Names: []string{"cp/apiserver", "scheduler.conf"}, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range renewed.Renewals {
		if n.Action != Requested {
			t.Errorf("%s: %s %s", n.ID, n.Action, n.Reason)
		}
	}
	for file, content := range before {
		if tree(t, dir)[file] != content {
			t.Errorf("%s was changed", file)
		}
	}
	pendingKey := tree(t, dir)["pending/cp/apiserver.key"]
	if _, err := Renew(dir, RenewOptions{All: true, Now: now.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if tree(t, dir)["pending/cp/apiserver.key"] != pendingKey {
		t.Error("the key of a request changed while it waits for its answer")
	}
	var answers []Named
	for _, q := range requests(t, dir) {
		answers = append(answers, Named{q.ID, s.sign(dir, q, nil)})
	}
	if r, err = Import(dir, ImportOptions{Now: now.Add(time.Minute), Signed: answers}); err != nil || len(r.Refused)+len(r.Missing) > 0 || r.Backup == "" {
		t.Fatalf("%v, %+v", err, r)
	}
	if last := mustInit(t, dir, InitOptions{Config: config}); len(last.Made)+len(last.Differs) > 0 {
		t.Errorf("in the end: made %v, differs %v", last.Made, last.Differs)
	}
}

// Whatever is not exactly what was requested is refused, and says why.
func TestAnswersThatAreNotWhatWasAsked(t *testing.T) {
	dir := t.TempDir()
	mustInit(t, dir, InitOptions{Config: mustParse(t, externalCluster)})
	s := newSigner(t)
	all := requests(t, dir)
	find := func(id string) Request {
		r, ok := (Manifest{all}).find(id)
		if !ok {
			t.Fatalf("no request %s", id)
		}
		return r
	}
	if _, err := Import(dir, ImportOptions{Now: now, Authorities: s.cas()}); err != nil {
		t.Fatal(err)
	}
	before := tree(t, dir)
	for name, tc := range map[string]struct {
		id     string
		change func(*x509.Certificate)
		want   string
	}{
		"one more group":      {"admin/monitoring.conf", func(c *x509.Certificate) { c.Subject.Organization = []string{GroupMonitoring, GroupMasters} }, "its groups are"},
		"another user":        {"cp/scheduler.conf", func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "admin"} }, `it names "admin", want system:kube-scheduler`},
		"a name less":         {"cp/apiserver", func(c *x509.Certificate) { c.DNSNames = c.DNSNames[1:] }, "it lacks the names kubernetes"},
		"a name more":         {"cp/apiserver", func(c *x509.Certificate) { c.DNSNames = append(c.DNSNames, "evil.example.com") }, "it has names that nobody asked for: evil.example.com"},
		"an address more":     {"cp/etcd/server", func(c *x509.Certificate) { c.IPAddresses = append(c.IPAddresses, net.IPv4(6, 6, 6, 6)) }, "nobody asked for: 6.6.6.6"},
		"a server that dials": {"cp/apiserver", func(c *x509.Certificate) { c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageClientAuth) }, "its usages are not server auth"},
		"no usage":            {"cp/scheduler.conf", func(c *x509.Certificate) { c.ExtKeyUsage = nil }, "its usages are not client auth"},
		"an authority":        {"cp/apiserver", func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }, "it is an authority"},
		"expired":             {"cp/apiserver", func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Minute) }, "it expired on"},
		"cannot sign":         {"cp/apiserver", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }, "key usage digital signature is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Import(dir, ImportOptions{Now: now, Signed: []Named{{"answer.pem", s.sign(dir, find(tc.id), tc.change)}}})
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Refused) != 1 || !strings.Contains(r.Refused[0].Text, tc.want) || len(r.Installed) > 0 {
				t.Errorf("refused %v, installed %v, want %q", r.Refused, r.Installed, tc.want)
			}
		})
	}
	t.Run("of the wrong authority", func(t *testing.T) {
		q := find("cp/etcd/server")
		q.Signer = ClusterCA
		r, err := Import(dir, ImportOptions{Now: now, Signed: []Named{{"answer.pem", s.sign(dir, q, nil)}}})
		if err != nil || len(r.Refused) != 1 || !strings.Contains(r.Refused[0].Text, "does not lead to authority etcd/ca") {
			t.Errorf("%v, %+v", err, r)
		}
	})
	t.Run("for nobody", func(t *testing.T) {
		stranger, err := (Issuer{Now: now}).Issue(s.authorities[ClusterCA], Leaf{Subject: Subject{CommonName: "x"}, Usage: Client})
		if err != nil {
			t.Fatal(err)
		}
		r, err := Import(dir, ImportOptions{Now: now, Signed: []Named{{"x.pem", EncodeCertificate(stranger.Certificate)}, {"y.pem", []byte("nothing")}}})
		if err != nil || len(r.Refused) != 2 {
			t.Errorf("%v, %+v", err, r)
		}
	})
	if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
		t.Errorf("a refused answer changed something:\n%s", diff)
	}
}

// One authority for two purposes would let the clients of one be clients of
// the other.
func TestAuthoritiesHaveToBeSeparate(t *testing.T) {
	dir := t.TempDir()
	mustInit(t, dir, InitOptions{Config: mustParse(t, externalCluster)})
	s := newSigner(t)
	cas := s.cas()
	cas[EtcdCA] = cas[ClusterCA]
	if _, err := Import(dir, ImportOptions{Now: now, Authorities: cas}); err == nil || !strings.Contains(err.Error(), "one key for both") {
		t.Errorf("got %v", err)
	}
	cas = s.cas()
	cas["other"] = cas[ClusterCA]
	if _, err := Import(dir, ImportOptions{Now: now, Authorities: cas}); err == nil {
		t.Error("an authority that nobody asks was taken")
	}
	if _, err := Import(t.TempDir(), ImportOptions{Now: now}); err == nil {
		t.Error("a folder without requests was taken")
	}
}

// With an intermediate, the file holds the whole way up to the authority.
func TestIntermediates(t *testing.T) {
	dir := t.TempDir()
	mustInit(t, dir, InitOptions{Config: mustParse(t, externalCluster)})
	s := newSigner(t)
	root := s.authorities[ClusterCA]
	root.Certificate.MaxPathLen, root.Certificate.MaxPathLenZero = -1, false
	issuer := Issuer{Now: now}
	rootTemplate, err := issuer.template(Subject{CommonName: "root"}, year)
	if err != nil {
		t.Fatal(err)
	}
	rootTemplate.IsCA, rootTemplate.KeyUsage = true, x509.KeyUsageCertSign
	rootCert, err := sign(rootTemplate, rootTemplate, root.Key.Public(), root.Key)
	if err != nil {
		t.Fatal(err)
	}
	middle, err := issuer.Authority("middle")
	if err != nil {
		t.Fatal(err)
	}
	template, err := issuer.template(Subject{CommonName: "middle"}, year)
	if err != nil {
		t.Fatal(err)
	}
	template.IsCA, template.KeyUsage = true, x509.KeyUsageCertSign
	middleCert, err := sign(template, rootCert, middle.Key.Public(), root.Key)
	if err != nil {
		t.Fatal(err)
	}
	s.authorities[ClusterCA] = &Authority{Pair{middleCert, middle.Key}}
	q, _ := (Manifest{requests(t, dir)}).find("cp/apiserver")
	answer := append(s.sign(dir, q, nil), EncodeCertificate(middleCert)...)
	r, err := Import(dir, ImportOptions{
		Now: now, Signed: []Named{{"chain.pem", answer}},
		Authorities: map[string]Named{ClusterCA: {"root.pem", EncodeCertificate(rootCert)}},
	})
	if err != nil || len(r.Installed) != 1 {
		t.Fatalf("%v, %+v", err, r)
	}
	data, err := os.ReadFile(filepath.Join(dir, "cp/etc/kubernetes/pki/apiserver.crt"))
	if err != nil || len(certsOf(data)) != 2 {
		t.Errorf("%d certificates in the file (%v), want the leaf and the intermediate", len(certsOf(data)), err)
	}
}

// A request that is read asks for what was meant, and errors never quote keys.
func FuzzRequest(f *testing.F) {
	key, err := ECDSAP256.Generate()
	if err != nil {
		f.Fatal(err)
	}
	csr, err := CreateRequest(Leaf{Subject: Subject{"a", []string{"b"}}, Usage: ServerAndClient, DNSNames: []string{"x"}, IPs: []netip.Addr{loopback}}, key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(csr)
	f.Add([]byte("-----BEGIN NEW CERTIFICATE REQUEST-----\nAAAA\n-----END NEW CERTIFICATE REQUEST-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		csr, err := ParseRequest(data)
		if (csr == nil) == (err == nil) && csr == nil {
			t.Fatal("neither request nor error")
		}
		if err == nil && csr.CheckSignature() != nil {
			t.Fatal("accepted without proof of the key")
		}
	})
}

// Changing a user's pair changes nothing else in a kubeconfig.
func FuzzKubeconfig(f *testing.F) {
	issuer := Issuer{Now: now}
	trust, err := issuer.NewTrust()
	if err != nil {
		f.Fatal(err)
	}
	data, err := issuer.Kubeconfig(trust, KubeconfigSpec{File: "a.conf", Server: "https://x:1", Subject: Subject{CommonName: "a"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte("users:\n- name: a\n  user: {client-certificate-data: YQ==, token: t}\ncontexts: [{name: c, context: {user: a}}]\n"))
	f.Add([]byte("users: [{name: a}]\ncontexts: [{name: c}]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		before, err := clientsOf(data)
		if err != nil {
			return
		}
		for i, c := range before {
			if len(c.cert) == 0 {
				continue
			}
			changed, err := withClient(data, c.user, []byte("cert"), []byte("key"))
			if err != nil {
				t.Fatal(err)
			}
			after, err := clientsOf(changed)
			if err != nil || len(after) != len(before) {
				t.Fatalf("%v: %d users before, %d after", err, len(before), len(after))
			}
			for j := range after {
				want := before[j]
				if i == j {
					want.cert, want.key = []byte("cert"), []byte("key")
				}
				if string(want.cert) != string(after[j].cert) || string(want.key) != string(after[j].key) || want.server != after[j].server || want.user != after[j].user {
					t.Fatalf("user %q changed", want.user)
				}
			}
		}
	})
}
