//go:build unix

package gather

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/pki"
	"github.com/bulwark-k8s/bulwark/internal/trust"
)

var issued = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func authority(t *testing.T, name string) *pki.Authority {
	t.Helper()
	a, err := pki.Issuer{Now: time.Now()}.Authority(name)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func issue(t *testing.T, a *pki.Authority, user string, usage pki.Usage, ips ...string) *pki.Pair {
	t.Helper()
	leaf := pki.Leaf{Subject: pki.Subject{CommonName: user}, Usage: usage}
	if usage != pki.Client {
		leaf.DNSNames = []string{user}
	}
	for _, ip := range ips {
		leaf.IPs = append(leaf.IPs, netip.MustParseAddr(ip))
	}
	pair, err := pki.Issuer{Now: time.Now()}.Issue(a, leaf)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func keyPEM(t *testing.T, p *pki.Pair) []byte {
	t.Helper()
	key, err := pki.EncodeKey(p.Key)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func write(t *testing.T, path string, parts ...[]byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Join(parts, nil), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, dir string) *trust.Facts {
	t.Helper()
	r := New(Options{Machine: "here"})
	if err := r.Folder(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	return r.Facts(dir)
}

// places are where the certificates stand, on which machine and what for.
func places(f *trust.Facts) []string {
	var out []string
	for _, c := range f.Certificates {
		purpose := ""
		if c.Purpose != nil {
			purpose = c.Purpose.Name
		}
		out = append(out, fmt.Sprintf("%s:%s %s = %s", c.Place.Machine, c.Place.Name, c.Subject.CommonName, purpose))
	}
	slices.Sort(out)
	return out
}

func TestBundlesOfMachines(t *testing.T) {
	dir := t.TempDir()
	ca := authority(t, "kubernetes")
	kubelet := issue(t, ca, "system:node:node-1", pki.Client)
	cert := pki.EncodeCertificate(ca.Certificate)
	write(t, dir+"/cp-1/etc/kubernetes/pki/ca.crt", cert)
	write(t, dir+"/cp-1/etc/kubernetes/pki/ca.key", keyPEM(t, &ca.Pair))
	write(t, dir+"/node-1/etc/kubernetes/pki/ca.crt", cert)
	write(t, dir+"/node-1/var/lib/kubelet/pki/kubelet-client-2026-01-01-00-00-00.pem", pki.EncodeCertificate(kubelet.Certificate), keyPEM(t, kubelet))
	// A rotated one that is kept, and the absolute link to the one in use: it means a file
	// of that machine.
	write(t, dir+"/node-1/var/lib/kubelet/pki/kubelet-client-2025-01-01-00-00-00.pem", pki.EncodeCertificate(kubelet.Certificate))
	if err := os.Symlink("/var/lib/kubelet/pki/kubelet-client-2026-01-01-00-00-00.pem", dir+"/node-1/var/lib/kubelet/pki/kubelet-client-current.pem"); err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/node-1/etc/kubernetes/kubelet.conf", []byte(`apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://10.0.0.1:6443", certificate-authority: pki/ca.crt}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
users: [{name: u, user: {client-certificate: /var/lib/kubelet/pki/kubelet-client-current.pem, client-key: /var/lib/kubelet/pki/kubelet-client-current.pem}}]
`))
	f := read(t, dir)
	if diff := cmp.Diff([]string{
		"cp-1:/etc/kubernetes/pki/ca.crt kubernetes = cluster CA",
		"node-1:/etc/kubernetes/kubelet.conf kubernetes = ",
		"node-1:/etc/kubernetes/kubelet.conf system:node:node-1 = kubelet to kube-apiserver",
		"node-1:/etc/kubernetes/pki/ca.crt kubernetes = cluster CA",
		"node-1:/var/lib/kubelet/pki/kubelet-client-current.pem system:node:node-1 = kubelet to kube-apiserver",
	}, places(f)); diff != "" {
		t.Errorf("want -, got +\n%s", diff)
	}
	if len(f.Gaps) > 0 {
		t.Errorf("gaps: %v", f.Gaps)
	}
	a := f.Kubeconfigs[0].Accesses[0]
	if a.KeyID != cluster.KeyID(kubelet.Certificate) || len(a.CAs) != 1 || a.Server != "https://10.0.0.1:6443" {
		t.Errorf("access is %+v", a)
	}
	if k := f.Keys[0]; k.ID != cluster.KeyID(ca.Certificate) || k.Algorithm != "ECDSA" || k.Place.Machine != "cp-1" {
		t.Errorf("key is %+v", k)
	}
}

// TestK3sLayout: every file that k3s-io/k3s names in CreateRuntimeCertFiles
// (pkg/daemons/control/deps/deps.go) and in its agent's folder is known for what it is.
func TestK3sLayout(t *testing.T) {
	for _, program := range []string{"k3s", "rke2"} {
		t.Run(program, func(t *testing.T) {
			root := t.TempDir()
			base := "/var/lib/rancher/" + program
			controller := map[string]string{"k3s": "k3s controller to kube-apiserver", "rke2": "RKE2 controller to kube-apiserver"}[program]
			cloud := map[string]string{"k3s": "k3s cloud controller to kube-apiserver", "rke2": "RKE2 cloud controller to kube-apiserver"}[program]
			ca, leaf := authority(t, "ca"), issue(t, authority(t, "ca"), "x", pki.Client)
			want := map[string]string{}
			for file, purpose := range map[string]string{
				"/server/tls/client-ca": "client CA", "/server/tls/client-ca.nochain": "client CA",
				"/server/tls/server-ca": "server CA", "/server/tls/server-ca.nochain": "server CA",
				"/server/tls/request-header-ca": "front-proxy CA", "/server/tls/etcd/server-ca": "etcd CA", "/server/tls/etcd/peer-ca": "etcd peer CA",
				"/agent/client-ca": "client CA", "/agent/server-ca": "server CA",
			} {
				write(t, root+"/srv-1"+base+file+".crt", pki.EncodeCertificate(ca.Certificate))
				want[base+file+".crt"] = purpose
			}
			for file, purpose := range map[string]string{
				"/server/tls/client-admin": "administrator", "/server/tls/client-supervisor": "supervisor to kube-apiserver",
				"/server/tls/client-controller": "kube-controller-manager to kube-apiserver", "/server/tls/client-scheduler": "kube-scheduler to kube-apiserver",
				"/server/tls/client-kube-apiserver": "kube-apiserver to kubelets", "/server/tls/client-kube-proxy": "kube-proxy to kube-apiserver",
				"/server/tls/client-" + program + "-controller": controller, "/server/tls/client-" + program + "-cloud-controller": cloud,
				"/server/tls/serving-kube-apiserver": "kube-apiserver, serving", "/server/tls/client-auth-proxy": "kube-apiserver to aggregated APIs",
				"/server/tls/etcd/server-client": "etcd, serving clients", "/server/tls/etcd/peer-server-client": "etcd, between members", "/server/tls/etcd/client": "kube-apiserver to etcd",
				"/server/tls/temporary-certs/apiserver-loopback-client__":     "kube-apiserver to itself",
				"/server/tls/kube-controller-manager/kube-controller-manager": "kube-controller-manager, serving",
				"/server/tls/kube-scheduler/kube-scheduler":                   "kube-scheduler, serving",
				"/agent/client-kubelet":                                       "kubelet to kube-apiserver", "/agent/serving-kubelet": "kubelet, serving",
				"/agent/client-kube-proxy": "kube-proxy to kube-apiserver", "/agent/client-" + program + "-controller": controller,
			} {
				write(t, root+"/srv-1"+base+file+".crt", pki.EncodeCertificate(leaf.Certificate))
				write(t, root+"/srv-1"+base+file+".key", keyPEM(t, leaf))
				want[base+file+".crt"], want[base+file+".key"] = purpose, purpose
			}
			for _, key := range []string{"/server/tls/service.key", "/server/tls/service.current.key"} {
				write(t, root+"/srv-1"+base+key, keyPEM(t, leaf))
				want[base+key] = "service-account tokens"
			}
			f := read(t, root)
			got := map[string]string{}
			put := func(name string, p *trust.Purpose) {
				if got[name] = "?"; p != nil {
					got[name] = p.Name
				}
			}
			for _, c := range f.Certificates {
				put(c.Place.Name, c.Purpose)
			}
			for _, k := range f.Keys {
				put(k.Place.Name, k.Purpose)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("want -, got +\n%s", diff)
			}
			if len(f.Gaps) > 0 {
				t.Errorf("gaps: %v", f.Gaps)
			}
		})
	}
}

// TestK3sBeside: what k3s and RKE2 keep in other forms than PEM in .crt and .key.
func TestK3sBeside(t *testing.T) {
	root := t.TempDir()
	const base = "/srv-1/var/lib/rancher/rke2/"
	ca := authority(t, "rke2-server-ca")
	pair := issue(t, ca, "rke2", pki.Server, "10.0.0.1")
	secret := func(pair *pki.Pair) []byte {
		raw, err := json.Marshal(corev1.Secret{Data: map[string][]byte{"tls.crt": pki.EncodeCertificate(pair.Certificate), "tls.key": keyPEM(t, pair)}})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	write(t, root+base+"server/tls/dynamic-cert.json", secret(pair))
	write(t, root+"/srv-2/var/lib/rancher/rke2/server/tls/dynamic-cert.json", []byte(`{"data":{"tls.crt":"no base64: sesame"}}`))
	write(t, root+"/srv-1/etc/rancher/rke2/rke2.yaml", []byte("apiVersion: v1\nkind: Config\nclusters:\n- {name: c, cluster: {server: https://127.0.0.1:6443}}\ncontexts:\n- {name: c, context: {cluster: c, user: u}}\nusers:\n- {name: u, user: {}}\n"))
	write(t, root+"/srv-1/etc/rancher/rke2/config.yaml", []byte("token: sesame\n"))
	write(t, root+base+"agent/pod-manifests/etcd.yaml", []byte("apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - {name: etcd, command: [etcd], args: [--client-cert-auth=true]}\n"))
	write(t, root+base+"agent/etc/kubelet.conf.d/00-rke2-defaults.conf", []byte("apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nauthentication: {x509: {clientCAFile: /var/lib/rancher/rke2/agent/client-ca.crt}}\n"))

	f := read(t, root)
	if len(f.Certificates) != 1 || f.Certificates[0].Purpose == nil || f.Certificates[0].Purpose.Name != "supervisor, serving" {
		t.Errorf("certificates are %v", places(f))
	}
	if len(f.Keys) != 1 || f.Keys[0].ID != cluster.KeyID(pair.Certificate) {
		t.Errorf("keys are %+v", f.Keys)
	}
	if len(f.Kubeconfigs) != 1 || f.Kubeconfigs[0].Purpose == nil || f.Kubeconfigs[0].Purpose.Name != "administrator" {
		t.Errorf("kubeconfigs are %+v", f.Kubeconfigs)
	}
	var names []string
	for _, c := range f.Components {
		names = append(names, c.Name)
	}
	if slices.Sort(names); !slices.Equal(names, []string{"etcd", "kubelet"}) {
		t.Errorf("components are %v", names)
	}
	if len(f.Gaps) != 1 || f.Gaps[0].Reason != "no Secret with a tls.crt" {
		t.Errorf("gaps are %v", f.Gaps)
	}
	if strings.Contains(fmt.Sprintf("%+v", f), "sesame") {
		t.Error("a value is among the facts")
	}
}

// TestHostileFiles: whatever lies in a folder, reading ends, soon, and says what it could
// not read.
func TestHostileFiles(t *testing.T) {
	dir := t.TempDir()
	ca := authority(t, "kubernetes")
	good := pki.EncodeCertificate(ca.Certificate)
	write(t, dir+"/good.crt", good)
	write(t, dir+"/garbage.crt", []byte("\x00\xff not a certificate"))
	write(t, dir+"/empty.key", nil)
	write(t, dir+"/cut.crt", good[:len(good)/2])
	write(t, dir+"/der.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("no DER")}))
	write(t, dir+"/mixed.crt", []byte("a comment\n"), good, []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	write(t, dir+"/huge.crt", bytes.Repeat([]byte("A"), maxFile+1))
	write(t, dir+"/key.key", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: bytes.Repeat([]byte{1}, maxKeyBlock+1)}))
	write(t, dir+"/many.crt", bytes.Repeat(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{1}}), 5000))
	write(t, dir+"/begin.crt", bytes.Repeat([]byte("-----BEGIN CERTIFICATE-----\n"), 20000))
	write(t, dir+"/admin.conf", []byte("kind: Config\nclusters: 7\n"))
	write(t, dir+"/bomb.kubeconfig", []byte("kind: Config\na: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e]\n"))
	for link, to := range map[string]string{"loop-a.crt": "loop-b.crt", "loop-b.crt": "loop-a.crt", "up": "..", "nowhere.crt": "/nonexistent/x.crt", "null.crt": "/dev/null", "zero.crt": "/dev/zero"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(dir+"/fifo.crt", 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	f := read(t, dir)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	got := map[string]string{}
	for _, g := range f.Gaps {
		got[filepath.Base(g.What)] = g.Reason
	}
	for file, want := range map[string]string{
		"garbage.crt": "no certificate, key or kubeconfig", "empty.key": "it is empty", "cut.crt": "begins as PEM and does not end so",
		"der.crt": "PEM block 1: no certificate that can be parsed", "mixed.crt": "PEM block 2", "huge.crt": "larger than 1024 KiB",
		"key.key": "a private key of more than 16 KiB", "many.crt": "no certificate that can be parsed", "begin.crt": "begins as PEM",
		"admin.conf": "no certificate, key or kubeconfig", "bomb.kubeconfig": "no ", "loop-a.crt": "too many levels of symbolic links",
		"nowhere.crt": "no such file", "null.crt": "no regular file", "zero.crt": "no regular file", "fifo.crt": "no regular file",
	} {
		if !strings.Contains(got[file], want) {
			t.Errorf("%s: gap is %q, want %q", file, got[file], want)
		}
	}
	if n := len(f.Certificates); n != 2 {
		t.Errorf("%d certificates, want those of good.crt and mixed.crt", n)
	}
	// The same in a machine's bundle, where links are followed by hand.
	bundle := t.TempDir() + "/m/etc/kubernetes"
	if err := os.MkdirAll(bundle, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/kubernetes/b.crt", bundle+"/a.crt"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/kubernetes/a.crt", bundle+"/b.crt"); err != nil {
		t.Fatal(err)
	}
	if f := read(t, bundle); len(f.Gaps) != 2 || !strings.Contains(f.Gaps[0].Reason, "go round in circles") {
		t.Errorf("gaps are %v", f.Gaps)
	}
}

func TestFolderThatIsTooLarge(t *testing.T) {
	dir := t.TempDir()
	for i := range 20 {
		write(t, fmt.Sprintf("%s/%02d.crt", dir, i), pki.EncodeCertificate(authority(t, "a").Certificate))
	}
	r := New(Options{Limit: 10})
	if err := r.Folder(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	f := r.Facts(dir)
	if len(f.Certificates) != 10 || len(f.Gaps) != 1 || !strings.Contains(f.Gaps[0].Reason, "more than 10 files") {
		t.Errorf("%d certificates, gaps %v", len(f.Certificates), f.Gaps)
	}
}

// TestKeysOfEveryForm: the public half is the certificate's, whatever the file's form, and
// what is encrypted is told to be so.
func TestKeysOfEveryForm(t *testing.T) {
	pair := issue(t, authority(t, "ca"), "x", pki.Client)
	id := cluster.KeyID(pair.Certificate)
	public, err := pki.EncodePublicKey(pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		data []byte
		want keyFact
	}{
		"PKCS #8":            {keyPEM(t, pair), keyFact{id: id, algorithm: "ECDSA", bits: 256}},
		"public":             {public, keyFact{id: id, algorithm: "ECDSA", bits: 256, public: true}},
		"age":                {[]byte("age-encryption.org/v1\n-> X25519 x\n"), keyFact{encrypted: true}},
		"age, armored":       {pem.EncodeToMemory(&pem.Block{Type: "AGE ENCRYPTED FILE", Bytes: []byte("x")}), keyFact{encrypted: true}},
		"PKCS #8, encrypted": {pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")}), keyFact{encrypted: true}},
		"openssl's own":      {pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED"}, Bytes: []byte("x")}), keyFact{encrypted: true}},
	} {
		b := parsePEM(tt.data)
		if len(b.keys) != 1 || b.keys[0] != tt.want {
			t.Errorf("%s: got %+v (%v), want %+v", name, b.keys, b.problems, tt.want)
		}
	}
}

func TestKubeconfigCredentials(t *testing.T) {
	path := t.TempDir() + "/config.kubeconfig"
	write(t, path, []byte(`apiVersion: v1
kind: Config
clusters:
- {name: c, cluster: {server: "https://k.test", insecure-skip-tls-verify: true}}
contexts:
- {name: t, context: {cluster: c, user: t}}
- {name: p, context: {cluster: c, user: p}}
- {name: e, context: {cluster: c, user: e}}
- {name: f, context: {cluster: c, user: f}}
- {name: gone, context: {cluster: nobody, user: nobody}}
users:
- {name: t, user: {token: sesame-0123456789}}
- {name: p, user: {username: u, password: hunter2-0123456789}}
- {name: e, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: /opt/bin/aws, args: [secret-arg]}}}
- {name: f, user: {tokenFile: /run/token}}
- {name: spare, user: {token: sesame-9876543210}}
`))
	r := New(Options{})
	if err := r.File(path); err != nil {
		t.Fatal(err)
	}
	f := r.Facts(path)
	got := map[string]string{}
	for _, a := range f.Kubeconfigs[0].Accesses {
		got[a.User] = strings.Join(a.Credentials, ",")
	}
	if diff := cmp.Diff(map[string]string{"t": "static token", "p": "password", "e": "exec plugin aws", "f": "token file", "nobody": "", "spare": "static token"}, got); diff != "" {
		t.Errorf("want -, got +\n%s", diff)
	}
	if text := fmt.Sprintf("%+v", f); strings.Contains(text, "sesame") || strings.Contains(text, "hunter2") || strings.Contains(text, "secret-arg") {
		t.Error("a credential is among the facts")
	}
}

func TestPorts(t *testing.T) {
	ca := authority(t, "kubernetes")
	pair := issue(t, ca, "kube-apiserver", pki.Server, "127.0.0.1")
	config := &tls.Config{
		MinVersion: tls.VersionTLS12, ClientAuth: tls.RequireAnyClientCert,
		Certificates: []tls.Certificate{{Certificate: [][]byte{pair.Certificate.Raw, ca.Certificate.Raw}, PrivateKey: pair.Key}},
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = c.Read(make([]byte, 1))
			}()
		}
	}()
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()

	r := New(Options{Timeout: time.Second})
	for _, address := range []string{listener.Addr().String(), plain.Listener.Addr().String(), closed.Addr().String()} {
		r.Port(t.Context(), address)
	}
	by := map[string]trust.Endpoint{}
	for _, e := range r.Facts("").Endpoints {
		by[e.Address] = e
	}
	e := by[listener.Addr().String()]
	if e.TLS == nil || e.TLS.ClientCert != "required" || !e.TLS.PostQuantum || len(e.Chain) != 2 || !e.Chain[0].Equal(pair.Certificate) {
		t.Errorf("TLS: %+v", e)
	}
	if e := by[plain.Listener.Addr().String()]; !e.Plain || e.Unknown != "" {
		t.Errorf("plain: %+v", e)
	}
	if e := by[closed.Addr().String()]; e.Plain || e.TLS != nil || !strings.Contains(e.Unknown, "connection refused") {
		t.Errorf("closed: %+v", e)
	}
}

// A fakeAPI is a cluster's API server that remembers what it was asked.
type fakeAPI struct {
	t       *testing.T
	answers map[string]any
	denied  map[string]bool

	mu    sync.Mutex
	asked []string
}

func (f *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.asked = append(f.asked, r.Method+" "+r.URL.Path+" "+r.Header.Get("Accept"))
	f.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if f.denied[r.URL.Path] {
		w.WriteHeader(http.StatusForbidden)
		_ = json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Reason: metav1.StatusReasonForbidden, Code: 403})
		return
	}
	if a, ok := f.answers[r.URL.Path]; ok {
		_ = json.NewEncoder(w).Encode(a)
		return
	}
	w.WriteHeader(http.StatusNotFound)
	_ = json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Reason: metav1.StatusReasonNotFound, Code: 404})
}

func startAPI(t *testing.T, f *fakeAPI) *rest.Config {
	t.Helper()
	f.t = t
	s := httptest.NewTLSServer(f)
	t.Cleanup(s.Close)
	return &rest.Config{Host: s.URL, TLSClientConfig: rest.TLSClientConfig{CAData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})}}
}

func TestCluster(t *testing.T) {
	ca, proxy := authority(t, "kubernetes"), authority(t, "front-proxy-ca")
	web := issue(t, ca, "guard", pki.Server)
	csr := func(user string) []byte {
		pair := issue(t, ca, user, pki.Client)
		der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pair.Certificate.Subject}, pair.Key)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	}
	const secretKey = "the-private-key-of-somebody"
	f := &fakeAPI{denied: map[string]bool{"/api/v1/nodes": true}, answers: map[string]any{
		"/version": map[string]string{"gitVersion": "v1.36.3"},
		"/api/v1/namespaces/default/services/kubernetes": corev1.Service{Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.1"}},
		"/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication": corev1.ConfigMap{Data: map[string]string{
			"client-ca-file": string(pki.EncodeCertificate(ca.Certificate)), "requestheader-client-ca-file": string(pki.EncodeCertificate(proxy.Certificate)),
			"requestheader-allowed-names": `["front-proxy-client"]`,
		}},
		"/api/v1/namespaces/kube-system/configmaps/kube-root-ca.crt": corev1.ConfigMap{Data: map[string]string{"ca.crt": string(pki.EncodeCertificate(ca.Certificate))}},
		"/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations": map[string]any{"items": []any{map[string]any{
			"metadata": map[string]any{"name": "guard"},
			"webhooks": []any{
				map[string]any{"name": "a", "clientConfig": map[string]any{"service": map[string]any{"name": "guard", "namespace": "shop"}, "caBundle": pki.EncodeCertificate(ca.Certificate)}},
				map[string]any{"name": "b", "clientConfig": map[string]any{"service": map[string]any{"name": "guard", "namespace": "shop"}, "caBundle": []byte("garbage")}},
			},
		}}},
		"/apis/apiextensions.k8s.io/v1/customresourcedefinitions": map[string]any{"items": []any{
			map[string]any{"metadata": map[string]any{"name": "plain.example.test"}, "spec": map[string]any{"conversion": map[string]any{"strategy": "None"}}},
			map[string]any{"metadata": map[string]any{"name": "carts.example.test"}, "spec": map[string]any{"conversion": map[string]any{"strategy": "Webhook", "webhook": map[string]any{
				"conversionReviewVersions": []string{"v1"},
				"clientConfig":             map[string]any{"service": map[string]any{"name": "guard", "namespace": "shop", "port": 8443}, "caBundle": pki.EncodeCertificate(ca.Certificate)},
			}}}},
		}},
		"/apis/apiregistration.k8s.io/v1/apiservices": map[string]any{"items": []any{
			map[string]any{"metadata": map[string]any{"name": "v1."}, "spec": map[string]any{}},
			map[string]any{"metadata": map[string]any{"name": "v1beta1.metrics.k8s.io"}, "spec": map[string]any{"service": map[string]any{"name": "m", "namespace": "kube-system"}, "insecureSkipTLSVerify": true}},
		}},
		"/apis/certificates.k8s.io/v1/certificatesigningrequests": certificatesv1.CertificateSigningRequestList{Items: []certificatesv1.CertificateSigningRequest{
			{ObjectMeta: metav1.ObjectMeta{Name: "ann"}, Spec: certificatesv1.CertificateSigningRequestSpec{SignerName: "kubernetes.io/kube-apiserver-client", Username: "ann", Request: csr("ann")}},
			{ObjectMeta: metav1.ObjectMeta{Name: "bad"}, Spec: certificatesv1.CertificateSigningRequestSpec{Request: []byte("x")}, Status: certificatesv1.CertificateSigningRequestStatus{Conditions: []certificatesv1.CertificateSigningRequestCondition{{Type: "Denied"}}}},
		}},
		"/api/v1/secrets":                       map[string]any{"items": []any{map[string]any{"metadata": map[string]any{"name": "guard", "namespace": "shop"}}}},
		"/api/v1/namespaces/shop/secrets/guard": corev1.Secret{Data: map[string][]byte{"tls.crt": pki.EncodeCertificate(web.Certificate), "tls.key": []byte(secretKey)}},
	}}
	config := startAPI(t, f)
	r := New(Options{Secrets: true})
	if err := r.Cluster(t.Context(), config, "lab"); err != nil {
		t.Fatal(err)
	}
	facts := r.Facts("lab")
	c := facts.Cluster
	switch {
	case c.Version != "v1.36.3" || c.ServiceIP != "10.96.0.1" || len(c.ClientCAs) != 1 || len(c.ProxyCAs) != 1 || len(c.RootCAs) != 1:
		t.Errorf("cluster is %+v", c)
	case !slices.Equal(c.ProxyNames, []string{"front-proxy-client"}):
		t.Errorf("proxy names are %v", c.ProxyNames)
	case len(c.Hooks) != 4 || !c.Hooks[0].Insecure || len(c.Hooks[2].CABundle) != 1 || c.Hooks[3].Problem == "":
		t.Errorf("hooks are %+v", c.Hooks)
	case c.Hooks[1].Subject() != "customresourcedefinition carts.example.test (conversion)" || c.Hooks[1].Port != 8443 || len(c.Hooks[1].CABundle) != 1:
		t.Errorf("the conversion webhook is %+v", c.Hooks[1])
	case len(c.Requests) != 2 || c.Requests[0].CommonName != "ann" || c.Requests[0].State != "pending" || c.Requests[1].State != "denied" || c.Requests[1].Unreadable == "":
		t.Errorf("requests are %+v", c.Requests)
	}
	if len(facts.Gaps) != 1 || !strings.HasPrefix(facts.Gaps[0].What, "nodes of cluster lab") || !strings.Contains(facts.Gaps[0].Reason, "403") {
		t.Errorf("gaps are %v", facts.Gaps)
	}
	if !slices.ContainsFunc(facts.Certificates, func(c trust.Certificate) bool {
		return c.Place.Name == "secret shop/guard" && c.Equal(web.Certificate)
	}) {
		t.Error("the Secret's certificate was not read")
	}
	if strings.Contains(fmt.Sprintf("%+v", facts), secretKey) {
		t.Error("a Secret's key is among the facts")
	}
	if len(facts.Endpoints) != 1 || facts.Endpoints[0].TLS == nil || facts.Endpoints[0].Component != "kube-apiserver" {
		t.Errorf("endpoints are %+v", facts.Endpoints)
	}
	for _, line := range f.asked {
		if !strings.HasPrefix(line, "GET ") {
			t.Errorf("asked %s: only reading is allowed", line)
		}
		if strings.HasPrefix(line, "GET /api/v1/secrets ") && !strings.Contains(line, "as=PartialObjectMetadataList") {
			t.Errorf("asked %s: a list of Secrets would bring their values", line)
		}
	}

	// A second cluster is not mixed with the first.
	two := New(Options{})
	for _, name := range []string{"one", "two"} {
		if err := two.Cluster(t.Context(), config, name); err != nil {
			t.Fatal(err)
		}
	}
	if got := two.Facts(""); got.Cluster.Name != "one" || !slices.ContainsFunc(got.Gaps, func(g trust.Gap) bool { return g.What == "cluster two" }) {
		t.Errorf("two clusters: %s, gaps %v", got.Cluster.Name, got.Gaps)
	}

	// Without --secrets none is asked for.
	f.asked = nil
	if err := New(Options{}).Cluster(t.Context(), config, "lab"); err != nil {
		t.Fatal(err)
	}
	for _, line := range f.asked {
		if strings.Contains(line, "/secrets") {
			t.Errorf("asked %s without being told to", line)
		}
	}
}

func TestClusterThatCannotBeAsked(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	config := startAPI(t, &fakeAPI{})
	for name, tt := range map[string]struct {
		config *rest.Config
		want   string
	}{
		"nobody there":      {&rest.Config{Host: "https://" + closed.Addr().String()}, "cannot be reached from here (connect: connection refused)"},
		"another authority": {&rest.Config{Host: config.Host}, "signed by an authority that the kubeconfig does not trust"},
	} {
		r := New(Options{})
		if err := r.Cluster(t.Context(), tt.config, "c"); err != nil {
			t.Fatal(err)
		}
		f := r.Facts("c")
		if len(f.Gaps) != 1 || !strings.Contains(f.Gaps[0].Reason, tt.want) || f.Cluster != nil {
			t.Errorf("%s: gaps are %v, want %q", name, f.Gaps, tt.want)
		}
	}
}

// TestStrangersAreNotTheCluster: an address that the cluster told may be somebody else's
// where we are.
func TestStrangersAreNotTheCluster(t *testing.T) {
	ca, other := authority(t, "kubernetes"), authority(t, "egress-proxy")
	a := &asker{c: &trust.Cluster{RootCAs: []*x509.Certificate{ca.Certificate}}}
	for name, tt := range map[string]struct {
		chain []*x509.Certificate
		known bool
	}{
		"the cluster's":    {[]*x509.Certificate{issue(t, ca, "node-1", pki.Server).Certificate}, true},
		"made by the node": {[]*x509.Certificate{issue(t, authority(t, "node-1-ca@1700000000"), "node-1", pki.Server).Certificate}, true},
		"somebody else's":  {[]*x509.Certificate{issue(t, other, "proxy", pki.Server).Certificate, other.Certificate}, false},
		"nothing to go by": {nil, true},
	} {
		e := trust.Endpoint{Machine: "node-1", TLS: &cluster.TLS{}, Chain: tt.chain}
		a.recognise(&e)
		if (e.Unknown == "") != tt.known {
			t.Errorf("%s: unknown is %q", name, e.Unknown)
		}
	}
}

// FuzzPEM: whatever the bytes, what is read of certificates can be written and read again,
// and no problem quotes the input.
func FuzzPEM(f *testing.F) {
	a, err := pki.Issuer{Now: issued}.Authority("ca")
	if err != nil {
		f.Fatal(err)
	}
	key, err := pki.EncodeKey(a.Key)
	if err != nil {
		f.Fatal(err)
	}
	cert := pki.EncodeCertificate(a.Certificate)
	f.Add(cert)
	f.Add(append(slices.Clone(cert), key...))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n"))
	f.Add([]byte("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"))
	f.Add([]byte("age-encryption.org/v1"))
	f.Fuzz(func(t *testing.T, data []byte) {
		b := parsePEM(slices.Clone(data))
		var again []byte
		for _, c := range b.certs {
			again = append(again, pki.EncodeCertificate(c)...)
		}
		second := parsePEM(again)
		if len(second.certs) != len(b.certs) || len(second.problems) > 0 {
			t.Errorf("%d certificates were read, and %d of them again: %v", len(b.certs), len(second.certs), second.problems)
		}
		for i := range second.certs {
			if !second.certs[i].Equal(b.certs[i]) {
				t.Error("a certificate changed by being written")
			}
		}
		if len(b.problems) > 5 {
			t.Error("problems are not limited")
		}
		for _, p := range b.problems {
			for word := range bytes.FieldsSeq(data) {
				if len(word) > 16 && strings.Contains(p, string(word)) {
					t.Errorf("problem %q quotes the input", p)
				}
			}
		}
	})
}

// FuzzSecretFile: whatever lies in dynamic-cert.json, either its tls.crt is read or there
// is a gap, and no value is among the facts.
func FuzzSecretFile(f *testing.F) {
	a, err := pki.Issuer{Now: issued}.Authority("ca")
	if err != nil {
		f.Fatal(err)
	}
	good, err := json.Marshal(corev1.Secret{Data: map[string][]byte{"tls.crt": pki.EncodeCertificate(a.Certificate), "tls.key": []byte("sesame-0123456789")}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"data":{"tls.crt":"c2VzYW1lLTAxMjM0NTY3ODk=","tls.key":"c2VzYW1lLTAxMjM0NTY3ODk="}}`))
	f.Add([]byte(`{"data":{"tls.crt":"sesame-0123456789"}}`))
	f.Add([]byte(`{"data":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := New(Options{})
		r.secretFile(trust.Place{Name: "k"}, nil, nil, slices.Clone(data))
		if len(r.facts.Certificates)+len(r.facts.Keys)+len(r.facts.Gaps) == 0 {
			t.Error("nothing was read, and that is no gap")
		}
		if strings.Contains(fmt.Sprintf("%+v", r.facts), "sesame-0123456789") {
			t.Error("a value is among the facts")
		}
	})
}

// FuzzKubeconfig: whatever the bytes, no token, password or key that a kubeconfig holds is
// among the facts.
func FuzzKubeconfig(f *testing.F) {
	f.Add([]byte("kind: Config\nclusters: [{name: c, cluster: {server: 'https://x'}}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {token: sesame-0123456789}}]\n"))
	f.Add([]byte("kind: Config\nusers: [{name: u, user: {username: u, password: sesame-0123456789}}]\n"))
	f.Add([]byte(`{"kind":"Config","users":[{"name":"u","user":{"client-key-data":"c2VzYW1lLTAxMjM0NTY3ODk="}}]}`))
	f.Add([]byte("kind: Config\nusers: [{name: u, user: {exec: {command: aws, args: [sesame-0123456789]}}}]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if !isKubeconfig(data) {
			return
		}
		r := New(Options{})
		r.kubeconfig(filepath.Join(t.TempDir(), "k"), trust.Place{Name: "k"}, nil, nil, slices.Clone(data))
		config, err := clientcmd.Load(data)
		if err != nil {
			if len(r.facts.Gaps) == 0 {
				t.Error("it cannot be parsed, and that is no gap")
			}
			return
		}
		text := fmt.Sprintf("%+v", r.facts)
		for _, u := range config.AuthInfos {
			for _, secret := range []string{u.Token, u.Password, string(u.ClientKeyData)} {
				// What also stands where it is no secret, as a name, cannot be told from it.
				if len(secret) >= 8 && bytes.Count(data, []byte(secret)) <= 1 && strings.Contains(text, secret) {
					t.Errorf("%q is among the facts", secret)
				}
			}
		}
	})
}
