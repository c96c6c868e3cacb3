//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"k8s.io/client-go/tools/clientcmd"
)

// A verdict is how a request ended, named after what ended it.
type verdict string

const (
	answered        verdict = "answered"
	answeredPlain   verdict = "answered in plain text"
	answeredByWhom  verdict = "answered by a server that cannot be verified"
	claimIgnored    verdict = "answered, the claim is ignored"
	inHandshake     verdict = "refused in the handshake"
	unauthenticated verdict = "401"
	forbidden       verdict = "403"
	notListening    verdict = "nothing listens"
	byFileMode      verdict = "refused by the file's mode"
	notAsked        verdict = "–"
)

// A caller is an identity that a request is made with.
type caller struct {
	who string
	// from is the machine that has the credential, and file where below /etc/kubernetes:
	// a kubeconfig, or a pair without its extension. Empty is nobody.
	from, file string
	// forged is signed at the time of the test by the authority in file, and names forged.
	forged string
}

var nobody = caller{who: "nobody"}

// A request is something to ask a server for.
type request struct {
	what   string
	method string // GET where empty
	path   string
	body   string
	header map[string]string
	// key is read from etcd with one call of gRPC, instead of all above.
	key string
	// http1 is for a server that agrees to HTTP/2 and does not speak it.
	http1 bool
	// says is in the answer, if the server did what it was asked.
	says string
	// to goes before the channel's own server where it is set: MACHINE:PORT.
	to string
}

// certificate reads the caller's pair, or makes it. A stranger has the same subject and
// an authority of its own that has the real one's name.
func (m *matrix) certificate(c caller, stranger bool) (*tls.Certificate, error) {
	if c.file == "" {
		return nil, nil
	}
	pair, err := m.pair(c)
	if err != nil || !stranger {
		return pair, err
	}
	real, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return nil, err
	}
	authority, key, err := anotherAuthority(real.Issuer)
	if err != nil {
		return nil, err
	}
	return issue(authority, key, &x509.Certificate{Subject: real.Subject, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
}

// anotherAuthority makes one that has only its name in common with the cluster's.
func anotherAuthority(name pkix.Name) (*x509.Certificate, crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: name, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, key, err
}

// issue signs a certificate. It knows nothing of internal/pki, whose work the matrix
// judges.
func issue(authority *x509.Certificate, signer crypto.Signer, leaf *x509.Certificate) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	leaf.SerialNumber, leaf.NotBefore, leaf.NotAfter = big.NewInt(2), authority.NotBefore, time.Now().Add(time.Hour)
	leaf.KeyUsage = x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, leaf, authority, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

func (m *matrix) pair(c caller) (*tls.Certificate, error) {
	file := m.file(c.from, "etc/kubernetes", c.file)
	var cert, key []byte
	if strings.HasSuffix(file, ".conf") {
		config, err := clientcmd.LoadFromFile(file)
		if err != nil {
			return nil, err
		}
		user := config.AuthInfos[config.Contexts[config.CurrentContext].AuthInfo]
		cert, key = user.ClientCertificateData, user.ClientKeyData
	} else {
		var err error
		if cert, err = os.ReadFile(file + ".crt"); err != nil {
			return nil, err
		}
		if key, err = os.ReadFile(file + ".key"); err != nil {
			return nil, err
		}
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil || c.forged == "" {
		return &pair, err
	}
	authority, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return nil, err
	}
	return issue(authority, pair.PrivateKey.(crypto.Signer), &x509.Certificate{
		Subject: pkix.Name{CommonName: c.forged}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

// file is a machine's file as the host has it. A cluster with fewer machines has the
// first of their kind in the others' place.
func (m *matrix) file(machine string, parts ...string) string {
	return filepath.Join(append([]string{stateDir, m.cluster.name, "machines", m.machine(machine).name}, parts...)...)
}

// dial connects from inside a machine's network.
func (m *matrix) dial(ctx context.Context, from, address string) (net.Conn, error) {
	target := m.machine(from)
	type made struct {
		conn net.Conn
		err  error
	}
	result := make(chan made, 2)
	go func() {
		// The thread goes home afterwards. Were it the process's first, it could not be
		// given up, and what is below /proc/self would be the machine's for ever.
		runtime.LockOSThread()
		err := inNetwork(target.net, func() error {
			var d net.Dialer
			conn, err := d.DialContext(ctx, "tcp", address)
			result <- made{conn, err}
			return nil
		})
		if err != nil {
			result <- made{err: fmt.Errorf("entering the network of %s: %w", from, err)}
			return
		}
		runtime.UnlockOSThread()
	}()
	r := <-result
	return r.conn, r.err
}

// inNetwork runs f with the calling thread in another network, and goes home.
func inNetwork(file string, f func() error) error {
	home, err := netns.Get()
	if err != nil {
		return err
	}
	defer home.Close()
	there, err := netns.GetFromPath(file)
	if err != nil {
		return err
	}
	defer there.Close()
	if err := netns.Set(there); err != nil {
		return err
	}
	return errors.Join(f(), netns.Set(home))
}

// ask makes a request and says how it ended. roots is what the server is verified
// against: nil does not verify.
func (m *matrix) ask(t *testing.T, from, to string, r request, pair *tls.Certificate, roots *x509.CertPool) verdict {
	t.Helper()
	address := m.address(to)
	v, err := m.once(t.Context(), from, address, r, pair, roots)
	if err != nil {
		return verdict("no answer: " + err.Error())
	}
	return v
}

// judged shakes hands, sends nothing and waits for what the server says of the
// certificate. In TLS 1.3 that comes after the handshake, and a request on its way
// meanwhile can make the kernel drop it.
func (m *matrix) judged(ctx context.Context, from, address string, config *tls.Config) error {
	raw, err := m.dial(ctx, from, address)
	if err != nil {
		return err
	}
	conn := tls.Client(raw, config)
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(3 * time.Second)); err != nil {
		return err
	}
	if err := conn.HandshakeContext(ctx); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	return err
}

// refusesCertificate is whether the other side ended a handshake because of the client's
// certificate, or because it has none.
func refusesCertificate(err error) bool {
	return err != nil && strings.Contains(err.Error(), "remote error: tls:") && strings.Contains(err.Error(), "certificate")
}

func (m *matrix) once(ctx context.Context, from, address string, r request, pair *tls.Certificate, roots *x509.CertPool) (verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	verified := roots == nil
	config := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // verified below, where the reason can be told from others
		NextProtos:         []string{"h2", "http/1.1"},
		VerifyConnection: func(s tls.ConnectionState) error {
			if roots == nil {
				return nil
			}
			host, _, _ := net.SplitHostPort(address)
			options := x509.VerifyOptions{Roots: roots, DNSName: host, Intermediates: x509.NewCertPool()}
			_, err := s.PeerCertificates[0].Verify(options)
			verified = err == nil
			return nil
		},
		// Without a question, crypto/tls keeps back a certificate of an authority that
		// the server does not name.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if pair == nil {
				return &tls.Certificate{}, nil
			}
			return pair, nil
		},
	}
	if r.http1 {
		config.NextProtos = []string{"http/1.1"}
	}
	transport := &http.Transport{
		TLSClientConfig: config, ForceAttemptHTTP2: !r.http1, DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return m.dial(ctx, from, address) },
	}
	defer transport.CloseIdleConnections()
	res, err := send(ctx, transport, "https://"+address, r)
	if err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
		if judgement := m.judged(ctx, from, address, config); refusesCertificate(judgement) {
			return inHandshake, nil
		}
	}
	var notTLS tls.RecordHeaderError
	if err != nil && (errors.As(err, &notTLS) || strings.Contains(err.Error(), "HTTP response to HTTPS client") || errors.Is(err, io.EOF)) {
		transport.Protocols = new(http.Protocols)
		transport.Protocols.SetHTTP1(r.key == "")
		transport.Protocols.SetUnencryptedHTTP2(r.key != "")
		plain, plainErr := send(ctx, transport, "http://"+address, r)
		switch {
		case plainErr != nil:
			return "", fmt.Errorf("%w, and in plain text: %w", err, plainErr)
		case plain.did(r):
			return answeredPlain, nil
		default:
			return plain.verdict() + " in plain text", nil
		}
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return notListening, nil
	case err != nil:
		return "", err
	case res.did(r) && !verified:
		return answeredByWhom, nil
	case res.did(r):
		return answered, nil
	}
	return res.verdict(), nil
}

// A reply is what a server answered.
type reply struct {
	code int
	body string
	// status is gRPC's, empty for other protocols.
	status, message string
}

func (r reply) did(want request) bool {
	return r.code/100 == 2 && (r.status == "" || r.status == "0") && strings.Contains(r.body, want.says)
}

func (r reply) verdict() verdict {
	switch {
	case r.status == "7":
		return forbidden
	case r.status == "16" || r.status == "3" && strings.Contains(r.message, "user name is empty"):
		return unauthenticated
	case r.status != "" && r.status != "0":
		return verdict("gRPC status " + r.status + ": " + r.message)
	case r.code/100 == 2:
		return claimIgnored
	case r.code == http.StatusUnauthorized || r.code == http.StatusForbidden:
		return verdict(fmt.Sprint(r.code))
	}
	return verdict(fmt.Sprintf("%d: %.200s", r.code, r.body))
}

func send(ctx context.Context, transport http.RoundTripper, server string, r request) (reply, error) {
	method, path, body := r.method, r.path, []byte(r.body)
	if r.key != "" {
		method, path, body = http.MethodPost, "/etcdserverpb.KV/Range", rangeRequest(r.key)
	}
	req, err := http.NewRequestWithContext(ctx, method, server+path, bytes.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	switch {
	case r.key != "":
		req.Header.Set("Content-Type", "application/grpc")
		req.Header.Set("TE", "trailers")
	case method == http.MethodPatch:
		req.Header.Set("Content-Type", "application/merge-patch+json")
	case r.body != "":
		req.Header.Set("Content-Type", "application/json")
	}
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return reply{}, err
	}
	out := reply{code: resp.StatusCode, body: string(text)}
	if r.key != "" {
		// An error without a message comes in the header alone.
		out.status, out.message = resp.Trailer.Get("Grpc-Status")+resp.Header.Get("Grpc-Status"), resp.Trailer.Get("Grpc-Message")+resp.Header.Get("Grpc-Message")
	}
	return out, nil
}

// rangeRequest is a message of gRPC: etcd's RangeRequest of one key, without its value.
func rangeRequest(key string) []byte {
	const keyField, keysOnlyField, delimited = 1, 8, 2
	message := append([]byte{keyField<<3 | delimited, byte(len(key))}, key...)
	message = append(message, keysOnlyField<<3, 1)
	frame := make([]byte, 5, 5+len(message)) // not compressed, and how long
	binary.BigEndian.PutUint32(frame[1:], uint32(len(message)))
	return append(frame, message...)
}
