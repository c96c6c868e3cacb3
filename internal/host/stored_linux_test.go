package host

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// storedIn answers etcd's Range with the objects below the prefix that is asked for, as
// gRPC and protocol buffers have it, to whoever has a client certificate.
func storedIn(t *testing.T, objects map[string]string) *httptest.Server {
	t.Helper()
	field := func(to []byte, number byte, value []byte) []byte {
		return append(binary.AppendUvarint(append(to, number<<3|2), uint64(len(value))), value...)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		var message []byte
		for key, value := range objects {
			if folder := key[:strings.LastIndexByte(key, '/')+1]; strings.Contains(string(request), folder) {
				message = field(message, 2, field(field(nil, 1, []byte(key)), 5, []byte(value)))
			}
		}
		w.Header().Set("Trailer", "Grpc-Status")
		_, _ = w.Write(append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...))
		w.Header().Set("Grpc-Status", "0")
	}))
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

const encryption = `600 apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets, leases.coordination.k8s.io]
  providers: [{secretbox: {keys: [{name: a, secret: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=}]}}]
- resources: [configmaps]
  providers: [{identity: {}}]
`

// clientPair is a certificate that signs itself, and its key, in PEM.
func clientPair(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	public, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: public})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// TestStored: what an API server is told to encrypt is counted in its etcd, with its
// certificate; what is told to be plain is not, nor what another etcd keeps.
func TestStored(t *testing.T) {
	server := storedIn(t, map[string]string{
		"/registry/secrets/old":      "k8s\x00hunter2",
		"/registry/secrets/new":      "k8s:enc:secretbox:v1:a:xyz",
		"/registry/configmaps/plain": "k8s\x00",
	})
	cert, key := clientPair(t)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	f := newFake(t)
	root := f.tree("host", map[string]string{
		"enc.yaml": encryption, "ca.crt": "644 " + string(ca), "client.crt": "644 " + cert, "client.key": "600 " + key,
	})
	run := func(args ...string) {
		f.process(10, home, root, append([]string{
			"kube-apiserver", "--encryption-provider-config=/enc.yaml", "--etcd-cafile=/ca.crt", "--etcd-certfile=/client.crt",
			"--etcd-servers-overrides=coordination.k8s.io/leases#https://127.0.0.2:2379",
		}, args...)...)
	}
	run("--etcd-keyfile=/client.key", "--etcd-servers=https://127.0.0.1:1,"+server.URL)
	facts := f.read(Options{Stored: true})
	want := []cluster.Stored{{Resource: "secrets", Objects: 2, Plain: 1}}
	if diff := cmp.Diff(want, facts.Machines[0].Stored); diff != "" {
		t.Errorf("stored (-want +got):\n%s\n%v", diff, facts.Gaps)
	}
	if facts := f.read(Options{}); facts.Machines[0].Stored != nil {
		t.Errorf("etcd was asked unasked: %+v", facts.Machines[0].Stored)
	}
}

// TestStoredUnknown: an etcd that cannot be asked is a gap with the reason.
func TestStoredUnknown(t *testing.T) {
	f := newFake(t)
	root := f.tree("host", map[string]string{"enc.yaml": encryption})
	f.process(10, home, root, "kube-apiserver", "--encryption-provider-config=/enc.yaml", "--etcd-servers=https://127.0.0.1:1", "--etcd-cafile=/ca.crt")
	facts := f.read(Options{Stored: true})
	var got []string
	for _, g := range facts.Gaps {
		if g.Need == cluster.StoredObjects {
			got = append(got, g.Reason)
		}
	}
	if len(got) != 1 || !strings.HasPrefix(got[0], "etcd of kube-apiserver (process 10): reading /ca.crt: ") {
		t.Errorf("gaps: %q", got)
	}
}
