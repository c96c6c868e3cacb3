// Package handshake finds out how a TCP port answers: in plain text or in TLS, which
// versions and weak cipher suites it agrees to, whether it wants a client certificate,
// and what certificate it shows.
//
// It shakes hands and hangs up: no request is ever sent, no credential is offered, and
// nothing is verified, because a bad certificate is a fact to report and not a reason
// to stop. It does not know what listens, and leaves to its caller how to get there.
//
// It can only be agreed with on what crypto/tls speaks: TLS 1.0 to 1.3, and the suites
// of tls.InsecureCipherSuites. SSL 3.0 and finite-field Diffie-Hellman are not seen.
package handshake

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// ErrPlain is the answer of a port that speaks something other than TLS.
var ErrPlain = errors.New("answers in plain text")

// DefaultTimeout is how long one answer may take where Options do not say.
const DefaultTimeout = 2 * time.Second

// answers is how many times Options.Timeout the whole of Ask may take.
const answers = 5

// Options say how to ask. Their zero value works with Dial set.
type Options struct {
	// Dial connects to the port. Ask calls it some ten to thirty times, one after the
	// other, and closes every connection.
	Dial func(context.Context) (net.Conn, error)
	// Timeout is how long one answer may take; the port as a whole may take five
	// times as long. Zero means DefaultTimeout.
	Timeout time.Duration
}

// Ask reports how a port answers TLS, or ErrPlain. Any other error says why it could
// not be told; there is no partial answer, since half of one would look like a good one.
func Ask(ctx context.Context, opts Options) (*cluster.TLS, error) {
	if opts.Timeout <= 0 {
		opts.Timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, answers*opts.Timeout)
	defer cancel()
	a := &asker{Options: opts}

	first, err := a.greet(ctx)
	if err != nil {
		return nil, err
	}
	return a.learn(ctx, first)
}

// versions are what is tried, oldest first.
var versions = []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13}

type asker struct {
	Options
	// asked is whether the server ever asked for a client certificate.
	asked bool
}

// An offer is what one ClientHello proposes.
type offer struct {
	min, max uint16
	suites   []uint16      // nil: all that crypto/tls can speak
	curves   []tls.CurveID // nil: the usual ones
}

// A reply is what came back on one connection.
type reply struct {
	// agreed is the state right after the server's certificate, nil if the server
	// refused the offer. The handshake may still have ended badly after that: a server
	// that requires a client certificate agrees on a version first.
	agreed *tls.ConnectionState
	// asked is whether the server asked for a client certificate, and accepted whether
	// it went on without one. Only meaningful with agreed.
	asked, accepted bool
	// first holds the server's first bytes, err how the handshake ended.
	first []byte
	err   error
}

// greet offers everything and finds out whether TLS is spoken at all.
func (a *asker) greet(ctx context.Context) (reply, error) {
	r, err := a.try(ctx, offer{min: tls.VersionTLS10, max: tls.VersionTLS13})
	if err != nil && !errors.Is(err, errSilent) {
		return r, err
	}
	switch {
	case speaksTLS(r.first):
		return r, err
	case len(r.first) > 0:
		return r, ErrPlain
	}
	// A server that only knows HTTP/2 without TLS hangs up, or waits, on what it
	// cannot read. The preface is not a request: it asks for nothing.
	silence := "closed the connection on a TLS hello without an answer"
	if err != nil {
		silence = "gave no answer to a TLS hello within " + a.Timeout.String()
	}
	plain, err := a.preface(ctx)
	switch {
	case plain:
		return r, ErrPlain
	case err != nil && !errors.Is(err, errSilent):
		return r, fmt.Errorf("%s, and then %w", silence, err)
	}
	return r, errors.New(silence)
}

// learn asks a port that speaks TLS for everything else.
func (a *asker) learn(ctx context.Context, first reply) (*cluster.TLS, error) {
	t := &cluster.TLS{}
	byVersion := map[uint16]reply{}
	for _, v := range versions {
		r, err := a.try(ctx, offer{min: v, max: v})
		if err != nil {
			return nil, fmt.Errorf("asking for %s: %w", tls.VersionName(v), err)
		}
		if r.agreed != nil && r.agreed.Version == v {
			byVersion[v] = r
			t.Versions = append(t.Versions, tls.VersionName(v))
			first = r
		}
	}
	if len(byVersion) == 0 {
		return nil, fmt.Errorf("speaks TLS but refused every hello: %w", first.err)
	}
	var err error
	if t.WeakCiphers, err = a.weak(ctx, byVersion); err != nil {
		return nil, err
	}
	if _, ok := byVersion[tls.VersionTLS13]; ok {
		r, err := a.try(ctx, offer{min: tls.VersionTLS13, max: tls.VersionTLS13, curves: []tls.CurveID{tls.X25519MLKEM768}})
		if err != nil {
			return nil, fmt.Errorf("asking for X25519MLKEM768: %w", err)
		}
		t.PostQuantum = r.agreed != nil && r.agreed.CurveID == tls.X25519MLKEM768
	}
	if t.ClientCert, err = a.clientCert(ctx, byVersion); err != nil {
		return nil, err
	}
	if chain := first.agreed.PeerCertificates; len(chain) > 0 {
		t.Subject, t.Issuer, t.NotAfter = chain[0].Subject.String(), chain[0].Issuer.String(), chain[0].NotAfter
		said := cluster.Describe(chain[0])
		t.NotBefore, t.Key, t.Signature = said.NotBefore, said.Key, said.Signature
		t.SelfSigned = selfMade(chain)
	}
	return t, nil
}

// weak collects the insecure suites that the server agrees to, one handshake each.
// A suite found with one version is not offered again with an older one.
func (a *asker) weak(ctx context.Context, agreed map[uint16]reply) ([]string, error) {
	found := map[uint16]bool{}
	var names []string
	for _, v := range slices.Backward(versions) {
		if _, ok := agreed[v]; !ok || v == tls.VersionTLS13 {
			continue
		}
		for {
			var left []uint16
			for _, s := range tls.InsecureCipherSuites() {
				if !found[s.ID] && slices.Contains(s.SupportedVersions, v) {
					left = append(left, s.ID)
				}
			}
			if len(left) == 0 {
				break
			}
			r, err := a.try(ctx, offer{min: v, max: v, suites: left})
			if err != nil {
				return nil, fmt.Errorf("asking for weak cipher suites: %w", err)
			}
			// The second condition ends the loop whatever a server does.
			if r.agreed == nil || !slices.Contains(left, r.agreed.CipherSuite) {
				break
			}
			found[r.agreed.CipherSuite] = true
			names = append(names, tls.CipherSuiteName(r.agreed.CipherSuite))
		}
	}
	slices.Sort(names)
	return names, nil
}

// clientCert tells none from requested from required. Up to TLS 1.2 the handshake
// ends only after the server has judged the missing certificate; in TLS 1.3 the client
// is through before, and the verdict is what the server sends next.
func (a *asker) clientCert(ctx context.Context, byVersion map[uint16]reply) (string, error) {
	if !a.asked {
		return "none", nil
	}
	for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS11, tls.VersionTLS10} {
		if r, ok := byVersion[v]; ok && r.asked {
			if r.accepted {
				return "requested", nil
			}
			return "required", nil
		}
	}
	return a.verdict(ctx)
}

// errSilent is the outcome of a connection on which no answer came in time.
var errSilent = errors.New("no answer in time")

// try makes one handshake. Its error means that nothing was learnt: no connection, or
// no answer in time. A refusal is a reply without agreed.
func (a *asker) try(ctx context.Context, o offer) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, a.Timeout)
	defer cancel()
	raw, err := a.Dial(ctx)
	if err != nil {
		return reply{}, err
	}
	tap := &tap{Conn: raw}
	var r reply
	conn := tls.Client(tap, a.config(o, &r))
	defer raw.Close() // not conn.Close, which would wait to say goodbye
	r.err = conn.HandshakeContext(ctx)
	r.first = tap.first
	r.accepted = r.err == nil
	a.asked = a.asked || r.asked
	if r.err != nil && silent(ctx, r.err) {
		return r, errSilent
	}
	return r, nil
}

// verdict completes a TLS 1.3 handshake without a certificate and waits for what the
// server makes of it: a ticket or data where it does not mind, an alert where it does.
// A server that stays silent has not refused.
func (a *asker) verdict(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, a.Timeout)
	defer cancel()
	raw, err := a.Dial(ctx)
	if err != nil {
		return "", fmt.Errorf("asking whether a client certificate is required: %w", err)
	}
	defer raw.Close()
	hangUp := func() { _ = raw.SetDeadline(past) }
	var r reply
	config := a.config(offer{min: tls.VersionTLS13, max: tls.VersionTLS13}, &r)
	tickets := &ticketBox{arrived: hangUp}
	config.ClientSessionCache = tickets
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		if silent(ctx, err) {
			return "", fmt.Errorf("asking whether a client certificate is required: %w", errSilent)
		}
		return "required", nil
	}
	stop := context.AfterFunc(ctx, hangUp)
	defer stop()
	_, err = conn.Read(make([]byte, 1))
	if err == nil || tickets.got || errors.Is(err, os.ErrDeadlineExceeded) {
		return "requested", nil
	}
	return "required", nil
}

// past is a deadline that ends a blocked read at once.
var past = time.Unix(1, 0)

func (a *asker) config(o offer, r *reply) *tls.Config {
	suites := o.suites
	if suites == nil {
		for _, s := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
			suites = append(suites, s.ID)
		}
	}
	return &tls.Config{
		InsecureSkipVerify: true, //nolint:gosec // the certificate is what is being looked at
		MinVersion:         o.min,
		MaxVersion:         o.max,
		CipherSuites:       suites,
		CurvePreferences:   o.curves,
		VerifyConnection: func(s tls.ConnectionState) error {
			r.agreed = &s
			return nil
		},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			r.asked = true
			return &tls.Certificate{}, nil // none
		},
	}
}

// preface opens an HTTP/2 connection without TLS and reports whether the server
// answers as one that speaks HTTP.
func (a *asker) preface(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, a.Timeout)
	defer cancel()
	conn, err := a.Dial(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(past) })
	defer stop()
	const settings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00" // an empty SETTINGS frame
	if _, err := io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"+settings); err != nil {
		return false, nil // it hung up, which tells nothing
	}
	answer := make([]byte, 512)
	n, err := io.ReadAtLeast(conn, answer, len(settings))
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		return false, errSilent
	}
	return plainHTTP(answer[:n]), nil
}

// plainHTTP reports whether an answer to an HTTP/2 preface is that of a server without
// TLS: SETTINGS on stream 0, or HTTP/1 that does not complain of missing TLS.
func plainHTTP(answer []byte) bool {
	if bytes.HasPrefix(answer, []byte("HTTP/1.")) {
		return !bytes.Contains(answer, []byte("HTTPS"))
	}
	return len(answer) >= 9 && answer[3] == 4 && bytes.Equal(answer[5:9], []byte{0, 0, 0, 0})
}

// speaksTLS reports whether bytes begin a TLS record that may open a conversation: a
// handshake or an alert.
func speaksTLS(b []byte) bool {
	return len(b) >= 2 && (b[0] == 0x16 || b[0] == 0x15) && b[1] == 3
}

// silent reports whether a handshake ended because the time was up.
func silent(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded)
}

// throwaway is the name of the authority that Kubernetes components make for
// themselves at start, where they were given no certificate: host-ca@1700000000.
var throwaway = regexp.MustCompile(`-ca@\d+$`)

// selfMade reports whether the first certificate vouches for itself, or is vouched for
// only by an authority that the component made at start.
func selfMade(chain []*x509.Certificate) bool {
	if signedBy(chain[0], chain[0]) {
		return true
	}
	return len(chain) == 2 && throwaway.MatchString(chain[1].Subject.CommonName) &&
		signedBy(chain[1], chain[1]) && signedBy(chain[0], chain[1])
}

// signedBy reports whether parent's key signed c. Signatures too old to be checked
// (MD5, SHA-1) are taken at the names' word.
func signedBy(c, parent *x509.Certificate) bool {
	if !bytes.Equal(c.RawIssuer, parent.RawSubject) {
		return false
	}
	err := parent.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature)
	var insecure x509.InsecureAlgorithmError
	return err == nil || errors.As(err, &insecure)
}

// A tap remembers the first bytes that it passes on.
type tap struct {
	net.Conn
	first []byte
}

func (t *tap) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	if room := 8 - len(t.first); room > 0 {
		t.first = append(t.first, b[:min(n, room)]...)
	}
	return n, err
}

// A ticketBox tells when a session ticket arrives. It is used from the goroutine that
// reads the connection, only.
type ticketBox struct {
	arrived func()
	got     bool
}

func (*ticketBox) Get(string) (*tls.ClientSessionState, bool) { return nil, false }

func (b *ticketBox) Put(_ string, s *tls.ClientSessionState) {
	if s != nil {
		b.got = true
		b.arrived()
	}
}
