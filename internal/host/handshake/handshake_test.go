package handshake

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

func TestAsk(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := issue(t, ecKey, "cluster-ca", nil)
	leaf := issue(t, rsaKey, "kube-apiserver", &ca)
	made := issue(t, ecKey, "node-1-ca@1700000000", nil)
	atStart := issue(t, rsaKey, "node-1@1700000000", &made)
	atStart.Certificate = append(atStart.Certificate, made.Certificate[0])

	var insecure []uint16
	var rsaWeak []string
	for _, s := range tls.InsecureCipherSuites() {
		insecure = append(insecure, s.ID)
		if !strings.Contains(s.Name, "ECDSA") {
			rsaWeak = append(rsaWeak, s.Name)
		}
	}
	slices.Sort(rsaWeak)
	modern := []string{"TLS 1.2", "TLS 1.3"}

	tests := map[string]struct {
		cert   tls.Certificate
		config *tls.Config
		want   cluster.TLS
	}{
		"the defaults of crypto/tls": {
			cert: leaf,
			want: cluster.TLS{Versions: modern, ClientCert: "none", PostQuantum: true},
		},
		"TLS 1.0 only": {
			cert:   leaf,
			config: &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10},
			want:   cluster.TLS{Versions: []string{"TLS 1.0"}, ClientCert: "none"},
		},
		"every version and every insecure suite": {
			cert:   leaf,
			config: &tls.Config{MinVersion: tls.VersionTLS10, CipherSuites: insecure},
			want:   cluster.TLS{Versions: []string{"TLS 1.0", "TLS 1.1", "TLS 1.2", "TLS 1.3"}, ClientCert: "none", PostQuantum: true, WeakCiphers: rsaWeak},
		},
		"one weak suite among good ones": {
			cert:   leaf,
			config: &tls.Config{CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA}},
			want:   cluster.TLS{Versions: modern, ClientCert: "none", PostQuantum: true, WeakCiphers: []string{"TLS_RSA_WITH_3DES_EDE_CBC_SHA"}},
		},
		"a weak suite for ECDSA": {
			cert:   issue(t, ecKey, "leaf", &ca),
			config: &tls.Config{CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA}},
			want:   cluster.TLS{Versions: modern, ClientCert: "none", PostQuantum: true, WeakCiphers: []string{"TLS_ECDHE_ECDSA_WITH_RC4_128_SHA"}},
		},
		"client certificate requested": {
			cert:   leaf,
			config: &tls.Config{ClientAuth: tls.VerifyClientCertIfGiven},
			want:   cluster.TLS{Versions: modern, ClientCert: "requested", PostQuantum: true},
		},
		"client certificate required": {
			cert:   leaf,
			config: &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert},
			want:   cluster.TLS{Versions: modern, ClientCert: "required", PostQuantum: true},
		},
		"client certificate requested in TLS 1.3 only": {
			cert:   leaf,
			config: &tls.Config{MinVersion: tls.VersionTLS13, ClientAuth: tls.RequestClientCert},
			want:   cluster.TLS{Versions: modern[1:], ClientCert: "requested", PostQuantum: true},
		},
		"client certificate requested in TLS 1.3 only, without tickets": {
			cert:   leaf,
			config: &tls.Config{MinVersion: tls.VersionTLS13, ClientAuth: tls.RequestClientCert, SessionTicketsDisabled: true},
			want:   cluster.TLS{Versions: modern[1:], ClientCert: "requested", PostQuantum: true},
		},
		"client certificate required in TLS 1.3 only": {
			cert:   leaf,
			config: &tls.Config{MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAnyClientCert},
			want:   cluster.TLS{Versions: modern[1:], ClientCert: "required", PostQuantum: true},
		},
		"client certificate required in TLS 1.0 only": {
			cert:   leaf,
			config: &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10, ClientAuth: tls.RequireAnyClientCert},
			want:   cluster.TLS{Versions: []string{"TLS 1.0"}, ClientCert: "required"},
		},
		"no post-quantum key exchange": {
			cert:   leaf,
			config: &tls.Config{CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256}},
			want:   cluster.TLS{Versions: modern, ClientCert: "none"},
		},
		"self-signed with Ed25519": {
			cert: issue(t, edKey, "self", nil),
			want: cluster.TLS{Versions: modern, ClientCert: "none", PostQuantum: true, SelfSigned: true},
		},
		"an authority made at start": {
			cert: atStart,
			want: cluster.TLS{Versions: modern, ClientCert: "none", PostQuantum: true, SelfSigned: true},
		},
		"TLS 1.2 only with ECDSA": {
			cert:   issue(t, ecKey, "leaf", &ca),
			config: &tls.Config{MaxVersion: tls.VersionTLS12},
			want:   cluster.TLS{Versions: modern[:1], ClientCert: "none"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := &tls.Config{} // as it is by default
			if tt.config != nil {
				config = tt.config.Clone()
			}
			config.Certificates = []tls.Certificate{tt.cert}
			addr := serve(t, func(c net.Conn) {
				s := tls.Server(c, config)
				_, _ = s.Read(make([]byte, 1)) // shakes hands, then waits for the client
				_ = s.Close()
			})
			got, err := Ask(t.Context(), Options{Dial: dialer(addr), Timeout: 3 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			tt.want.Subject = tt.cert.Leaf.Subject.String()
			tt.want.Issuer = tt.cert.Leaf.Issuer.String()
			said := cluster.Describe(tt.cert.Leaf)
			tt.want.NotAfter, tt.want.NotBefore = tt.cert.Leaf.NotAfter, tt.cert.Leaf.NotBefore
			tt.want.Key, tt.want.Signature = said.Key, said.Signature
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Errorf("want -, got +\n%s", diff)
			}
		})
	}
}

func TestAskWithoutTLS(t *testing.T) {
	h2c := &http.Server{Protocols: new(http.Protocols), ReadHeaderTimeout: time.Minute}
	h2c.Protocols.SetUnencryptedHTTP2(true)
	h1 := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a request was made: %s %s", r.Method, r.URL)
	})}

	tests := map[string]struct {
		addr string
		want string
	}{
		"HTTP/1.1":                 {addr: serveHTTP(t, h1), want: ErrPlain.Error()},
		"HTTP/2":                   {addr: serveHTTP(t, h2c), want: ErrPlain.Error()},
		"a banner":                 {addr: serve(t, func(c net.Conn) { _, _ = io.WriteString(c, "220 hello\r\n"); drain(c) }), want: ErrPlain.Error()},
		"silence":                  {addr: serve(t, drain), want: "gave no answer to a TLS hello within 1s"},
		"hanging up":               {addr: serve(t, func(c net.Conn) { c.Close() }), want: "closed the connection on a TLS hello without an answer"},
		"an alert to everything":   {addr: serve(t, func(c net.Conn) { _, _ = c.Write([]byte{0x15, 3, 1, 0, 2, 2, 40}); drain(c) }), want: "speaks TLS but refused every hello: remote error: tls: handshake failure"},
		"TLS that stops midway":    {addr: serve(t, func(c net.Conn) { _, _ = c.Write([]byte{0x16, 3, 3, 1, 0}); drain(c) }), want: "no answer in time"},
		"HTTP that wants only TLS": {addr: serve(t, picky), want: "closed the connection on a TLS hello without an answer"},
		"nobody there":             {addr: closedPort(t), want: "connection refused"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Ask(t.Context(), Options{Dial: dialer(tt.addr), Timeout: time.Second})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if errors.Is(err, ErrPlain) != (tt.want == ErrPlain.Error()) {
				t.Errorf("plain is %t", errors.Is(err, ErrPlain))
			}
		})
	}
}

// A server that dribbles bytes can hold Ask up for no longer than five timeouts.
func TestAskIsBounded(t *testing.T) {
	t.Parallel()
	addr := serve(t, func(c net.Conn) {
		for {
			if _, err := c.Write([]byte{0x16, 3, 3, 0, 0}[:1]); err != nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := Ask(ctx, Options{Dial: dialer(addr), Timeout: 100 * time.Millisecond}); err == nil {
		t.Error("want an error")
	}
	if ctx.Err() != nil {
		t.Error("took longer than its limit")
	}
}

// Whatever a server answers first, Ask takes it for TLS only where it is a record.
func FuzzPlainHTTP(f *testing.F) {
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n"))
	f.Add([]byte("\x00\x00\x06\x04\x00\x00\x00\x00\x00"))
	f.Add([]byte("\x15\x03\x01\x00\x02\x02\x28"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if plainHTTP(b) && speaksTLS(b) {
			t.Errorf("%q is both plain and TLS", b)
		}
	})
}

// picky hangs up on a TLS hello and answers the rest as an HTTPS server would.
func picky(c net.Conn) {
	b := make([]byte, 1)
	if _, err := c.Read(b); err == nil && b[0] != 0x16 {
		_, _ = io.WriteString(c, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
	}
}

func drain(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// serve answers every connection to a new port of the loopback until the test ends.
func serve(t *testing.T, answer func(net.Conn)) string {
	t.Helper()
	l := listen(t)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				answer(c)
			}()
		}
	}()
	return l.Addr().String()
}

func serveHTTP(t *testing.T, s *http.Server) string {
	t.Helper()
	l := listen(t)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return l.Addr().String()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func closedPort(t *testing.T) string {
	t.Helper()
	l := listen(t)
	defer l.Close()
	return l.Addr().String()
}

func dialer(addr string) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", addr)
	}
}

// issue makes a certificate, signed by parent or, without one, by itself.
func issue(t *testing.T, key crypto.Signer, name string, parent *tls.Certificate) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	signer, authority := key, template
	if parent != nil {
		signer, authority = parent.PrivateKey.(crypto.Signer), parent.Leaf
	}
	der, err := x509.CreateCertificate(rand.Reader, template, authority, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}
