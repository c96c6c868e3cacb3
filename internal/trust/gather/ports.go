package gather

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/host/handshake"
	"github.com/bulwark-k8s/bulwark/internal/trust"
)

// Port asks how an address that the user named answers.
func (r *Reader) Port(ctx context.Context, address string) {
	r.opts.Progress(address)
	_, port, _ := net.SplitHostPort(address)
	e := trust.Endpoint{Address: address, Component: trust.ComponentOfPort(port), Asked: true}
	r.ask(ctx, &e)
	r.addEndpoint(e)
}

func (r *Reader) addEndpoint(e trust.Endpoint) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.facts.Endpoints = append(r.facts.Endpoints, e)
	for i, cert := range e.Chain {
		r.facts.Certificates = append(r.facts.Certificates, trust.Certificate{
			Certificate: cert, Position: i,
			Place: trust.Place{Origin: trust.OnPort, Machine: e.Machine, Name: e.Address},
		})
	}
}

// ask shakes hands with an address. What it learns goes into e.
func (r *Reader) ask(ctx context.Context, e *trust.Endpoint) {
	dial := func(ctx context.Context) (net.Conn, error) {
		d := net.Dialer{Timeout: r.opts.Timeout}
		if !e.Asked {
			d.Timeout = min(d.Timeout, patience)
		}
		return d.DialContext(ctx, "tcp", e.Address)
	}
	answer, err := handshake.Ask(ctx, handshake.Options{Dial: dial, Timeout: r.opts.Timeout})
	switch {
	case errors.Is(err, handshake.ErrPlain):
		e.Plain = true
		return
	case err != nil:
		e.Unknown = unreachable(err)
		return
	}
	e.TLS = answer
	host, _, _ := net.SplitHostPort(e.Address)
	chain, err := served(ctx, dial, host, r.opts.Timeout)
	if err != nil {
		e.Unknown, e.TLS = "its certificate could not be read: "+err.Error(), nil
		return
	}
	e.Chain = chain
}

// served is the chain that a server shows. The handshake may end badly after that: a
// server that demands a client certificate has shown its own before.
func served(ctx context.Context, dial func(context.Context) (net.Conn, error), name string, timeout time.Duration) ([]*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*timeout)
	defer cancel()
	raw, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	defer raw.Close()
	var chain []*x509.Certificate
	if net.ParseIP(name) != nil {
		name = ""
	}
	conn := tls.Client(raw, &tls.Config{
		InsecureSkipVerify: true, //nolint:gosec // the certificate is what is being looked at
		ServerName:         name,
		MinVersion:         tls.VersionTLS10,
		VerifyConnection: func(s tls.ConnectionState) error {
			chain = s.PeerCertificates
			return nil
		},
	})
	if err := conn.HandshakeContext(ctx); err != nil && chain == nil {
		return nil, err
	}
	return chain, nil
}

// unreachable says in few words why nobody answered.
func unreachable(err error) string {
	var op *net.OpError
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(err, &dns):
		return "its name cannot be resolved"
	case errors.As(err, &op) && op.Op == "dial" && errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return "cannot be reached from here (no answer in time)"
	case errors.As(err, &op) && op.Op == "dial":
		return "cannot be reached from here (" + op.Err.Error() + ")"
	}
	return err.Error()
}
