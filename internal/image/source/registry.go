package source

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
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
	under := o.Transport
	if under == nil {
		under = newTransport(o.Insecure)
	}
	auth, err := authn.Resolve(ctx, keychain, r.Context())
	if err != nil {
		return nil, fmt.Errorf("credentials for %s: %w", r.Context(), err)
	}
	rt := transport.NewUserAgent(&patient{under: under, first: firstPause}, "bulwark")
	if rt, err = transport.NewWithContext(ctx, r.Context().Registry, auth, rt, []string{r.Scope(transport.PullScope)}); err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	puller, err := remote.NewPuller(remote.WithTransport(rt))
	if err != nil {
		return nil, err
	}
	d, err := puller.Get(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	in := &registry{puller: puller, client: &http.Client{Transport: rt, CheckRedirect: outward}, repository: r.Context(), given: d}
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
	client     *http.Client
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
	b := &download{ctx: ctx, registry: r, digest: d}
	size, err := b.open()
	return b, size, err
}

// outward lets a registry send readers on, as many do to where their blobs are kept, but
// not from the world into this network or onto this machine, nor to plain HTTP.
func outward(req *http.Request, via []*http.Request) error {
	from, to := via[0].URL, req.URL
	if len(via) > 5 {
		return errors.New("redirected more than 5 times")
	}
	if from.Hostname() == to.Hostname() {
		return nil
	}
	if from.Scheme == "https" && to.Scheme != "https" {
		return fmt.Errorf("redirected to %s, from TLS to none", to.Host)
	}
	if ip := net.ParseIP(to.Hostname()); ip != nil && (ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsUnspecified()) {
		return fmt.Errorf("redirected to %s, an address of this network", to.Host)
	}
	return nil
}

// A download is a blob on its way. Where the connection breaks it goes on from there.
type download struct {
	ctx      context.Context //nolint:containedctx,nolintlint // the stream's, which goes on after Open
	registry *registry
	digest   v1.Hash
	body     io.ReadCloser
	at       int64
	breaks   int
	whole    bool // the registry knows no ranges
}

const maxBreaks = 3

func (b *download) open() (size int64, err error) {
	repository := b.registry.repository
	u := url.URL{Scheme: repository.Scheme(), Host: repository.RegistryStr(), Path: "/v2/" + repository.RepositoryStr() + "/blobs/" + b.digest.String()}
	req, err := http.NewRequestWithContext(b.ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return 0, err
	}
	if b.at > 0 && !b.whole {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", b.at))
	}
	resp, err := b.registry.client.Do(req)
	if err != nil {
		return 0, err
	}
	if resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && !b.whole {
		resp.Body.Close()
		b.whole = true
		return b.open()
	}
	if err := transport.CheckError(resp, http.StatusOK, http.StatusPartialContent); err != nil {
		resp.Body.Close()
		return 0, err
	}
	b.body = resp.Body
	if b.at > 0 && resp.StatusCode == http.StatusOK { // all of it again
		if _, err := io.CopyN(io.Discard, b.body, b.at); err != nil {
			return 0, err
		}
	}
	return resp.ContentLength, nil
}

func (b *download) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	b.at += int64(n)
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	for b.ctx.Err() == nil && b.breaks < maxBreaks {
		b.breaks++
		b.body.Close()
		if _, again := b.open(); again == nil {
			return n, nil
		}
	}
	return n, err
}

func (b *download) Close() error {
	if b.body == nil {
		return nil
	}
	return b.body.Close()
}

// A patient asks again, a little later each time, where a registry is overloaded or
// wants fewer requests; for as long as the registry says, where it does.
type patient struct {
	under http.RoundTripper
	first time.Duration // the first pause; each is three times the one before
}

const (
	tries      = 5
	firstPause = time.Second
	maxPause   = time.Minute
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
