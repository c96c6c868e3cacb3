package source

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

func openRegistry(ctx context.Context, ref string, o Options) (*Source, error) {
	r, err := parseReference(ref, o.Insecure)
	if err != nil {
		return nil, err
	}
	keychain := o.Keychain
	if keychain == nil {
		keychain = authn.DefaultKeychain
	}
	transport := o.Transport
	if transport == nil {
		transport = newTransport(o.Insecure)
	}
	puller, err := remote.NewPuller(
		remote.WithAuthFromKeychain(keychain),
		remote.WithTransport(&patient{under: transport, first: time.Second}),
		remote.WithUserAgent("bulwark"),
		remote.WithRetryStatusCodes(), // patient's business
	)
	if err != nil {
		return nil, err
	}
	d, err := puller.Get(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	in := &registry{puller: puller, repository: r.Context(), given: d}
	s := &Source{Kind: Registry, Name: ref}
	if err := s.fromIndex(ctx, in, v1.Descriptor{Digest: d.Digest}, o); err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	return s, nil
}

// parseReference reads a registry's reference. Plain HTTP is for registries on this
// machine, as docker has it, and for others only where it was asked for.
func parseReference(ref string, insecure bool) (name.Reference, error) {
	r, err := name.ParseReference(ref, name.WeakValidation)
	if err != nil {
		return nil, fmt.Errorf("reference %q: %w", ref, err)
	}
	if insecure || loopback(r.Context().RegistryStr()) {
		return name.ParseReference(ref, name.WeakValidation, name.Insecure)
	}
	return r, nil
}

func loopback(registry string) bool {
	host, _, err := net.SplitHostPort(registry)
	if err != nil {
		host = registry
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func newTransport(insecure bool) http.RoundTripper {
	t := remote.DefaultTransport.(*http.Transport).Clone()
	t.ResponseHeaderTimeout = time.Minute
	if insecure {
		t.TLSClientConfig = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // G402: asked for by name; content is held to its digest
	}
	return t
}

// A registry is one repository of it. Layers are asked for by their digest and of this
// registry only: the URLs that a manifest may give for them are not followed.
type registry struct {
	puller     *remote.Puller
	repository name.Repository
	given      *remote.Descriptor // what the reference is
}

func (r *registry) manifest(ctx context.Context, digest v1.Hash) ([]byte, error) {
	d := r.given
	if digest != d.Digest {
		var err error
		if d, err = r.puller.Get(ctx, r.repository.Digest(digest.String())); err != nil {
			return nil, err
		}
	}
	if got := digestOf(d.Manifest); got != digest.String() {
		return nil, fmt.Errorf("%s: %w: it is %s", digest, ErrDigest, got)
	}
	return d.Manifest, nil
}

func (r *registry) blob(ctx context.Context, d v1.Hash) (io.ReadCloser, int64, error) {
	l, err := r.puller.Layer(ctx, r.repository.Digest(d.String()))
	if err != nil {
		return nil, 0, err
	}
	rc, err := l.Compressed()
	return rc, -1, err
}

// A patient asks again, a little later each time, where a registry is overloaded or
// wants fewer requests; for as long as the registry says, where it does.
type patient struct {
	under http.RoundTripper
	first time.Duration // the first pause; each is three times the one before
}

const (
	tries    = 5
	maxPause = time.Minute
)

func (p *patient) RoundTrip(r *http.Request) (*http.Response, error) {
	pause := p.first
	for try := 1; ; try++ {
		resp, err := p.under.RoundTrip(r)
		if try == tries || !again(r, resp, err) {
			return resp, err
		}
		wait := pause
		pause *= 3
		if resp != nil {
			if s, serr := time.ParseDuration(resp.Header.Get("Retry-After") + "s"); serr == nil && s >= 0 {
				wait = min(s, maxPause)
			}
			// So that the connection is used again.
			_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
			resp.Body.Close()
		}
		select {
		case <-r.Context().Done():
			return nil, r.Context().Err()
		case <-time.After(wait):
		}
	}
}

// again reports whether a request that changes nothing may go better the next time.
func again(r *http.Request, resp *http.Response, err error) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead || r.Context().Err() != nil {
		return false
	}
	if err != nil {
		var n net.Error
		return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &n) && n.Timeout()
	}
	switch resp.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}
