// Package probe asks a component whether it is well, the way its own clients
// would: over TLS, verified, with a client certificate.
//
// A probe is data, so that a machine's first process can wait for one before
// it starts something, and `status` can ask the same question from outside.
// The package knows no component by name and no namespace: who asks supplies
// the dialer.
package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Timeout bounds one answer.
const Timeout = 3 * time.Second

// Probe is a question. It holds when the URL answers 200, or, for the scheme
// unix, when the socket accepts.
type Probe struct {
	URL string `json:"url"`
	// CA, Cert and Key are PEM files. Without CA, SkipVerify must be set.
	CA   string `json:"ca,omitempty"`
	Cert string `json:"cert,omitempty"`
	Key  string `json:"key,omitempty"`
	// Kubeconfig stands in for the three, and nothing else is read from it.
	Kubeconfig string `json:"kubeconfig,omitempty"`
	// SkipVerify is for components that made a certificate of their own which
	// nobody can verify.
	SkipVerify bool `json:"skipVerify,omitempty"`
}

// Dial opens a connection; net.Dialer.DialContext is one.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Check asks once. The error is short enough for a table.
func (p Probe) Check(ctx context.Context, dial Dial) error {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	if socket, ok := strings.CutPrefix(p.URL, "unix://"); ok {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
		if err != nil {
			return short(err)
		}
		return conn.Close()
	}
	cfg, err := p.TLS()
	if err != nil {
		return err
	}
	transport := &http.Transport{DialContext: dial, TLSClientConfig: cfg, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL, http.NoBody)
	if err != nil {
		return fmt.Errorf("probe %s: %w", p.URL, err)
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return short(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 4<<10))
	if err != nil {
		return short(err)
	}
	if res.StatusCode == http.StatusOK {
		return nil
	}
	return fmt.Errorf("%s answers %d%s", path(p.URL), res.StatusCode, firstFailure(string(body)))
}

// TLS is what it takes to ask.
func (p Probe) TLS() (*tls.Config, error) {
	if p.Kubeconfig != "" {
		loaded, err := clientcmd.BuildConfigFromFlags("", p.Kubeconfig)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", p.Kubeconfig, err)
		}
		cfg, err := rest.TLSConfigFor(loaded)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", p.Kubeconfig, err)
		}
		cfg.InsecureSkipVerify = p.SkipVerify
		return cfg, nil
	}
	cfg := &tls.Config{InsecureSkipVerify: p.SkipVerify} //nolint:gosec // the field says when
	if p.CA != "" {
		pem, err := os.ReadFile(p.CA)
		if err != nil {
			return nil, fmt.Errorf("reading the authority: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("authority %s: no certificate in it", p.CA)
		}
	}
	if p.Cert != "" {
		pair, err := tls.LoadX509KeyPair(p.Cert, p.Key)
		if err != nil {
			return nil, fmt.Errorf("reading the client certificate: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

// short takes the operation and addresses off a network error: who reads it
// knows what was dialled.
func short(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		var sys *os.SyscallError
		if errors.As(op.Err, &sys) {
			return sys.Err
		}
		return op.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer in %s", Timeout)
	}
	return err
}

func path(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	return u.Path
}

// firstFailure picks the first failed check out of a verbose health page.
func firstFailure(body string) string {
	for line := range strings.Lines(body) {
		if failed, ok := strings.CutPrefix(strings.TrimSpace(line), "[-]"); ok {
			return ": " + failed
		}
	}
	return ""
}
