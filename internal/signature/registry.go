package signature

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// RegistryOptions say how registries are asked.
type RegistryOptions struct {
	// Keychain has the credentials; nil: nobody's.
	Keychain authn.Keychain
	// Transport carries the requests; nil: the default one.
	Transport http.RoundTripper
	// Insecure allows plain HTTP with any registry. Those on this machine may always.
	Insecure bool
	// UserAgent is told to the registries.
	UserAgent string
}

// Registry is the store of all registries.
type Registry struct {
	puller  *remote.Puller
	options RegistryOptions
}

// NewRegistry prepares to ask registries. Nothing is asked yet.
func NewRegistry(o RegistryOptions) (*Registry, error) {
	if o.Transport == nil {
		o.Transport = remote.DefaultTransport
	}
	if o.Keychain == nil {
		o.Keychain = authn.NewMultiKeychain()
	}
	p, err := remote.NewPuller(remote.WithTransport(bounded{o.Transport}), remote.WithAuthFromKeychain(o.Keychain), remote.WithUserAgent(o.UserAgent))
	if err != nil {
		return nil, fmt.Errorf("preparing to ask registries: %w", err)
	}
	return &Registry{p, o}, nil
}

// Open reads a reference as Kubernetes does: nginx is docker.io/library/nginx:latest.
func (r *Registry) Open(ref string) (Repository, string, error) {
	var o []name.Option
	if r.options.Insecure {
		o = append(o, name.Insecure)
	}
	parsed, err := name.ParseReference(ref, o...)
	if err != nil {
		return nil, "", fmt.Errorf("reference %.200q: %w", ref, err)
	}
	if d, ok := parsed.(name.Digest); ok && !isDigest(d.DigestStr()) {
		return nil, "", fmt.Errorf("reference %.200q: digest %s, want a sha256 one", ref, d.DigestStr())
	}
	return &registryRepository{r.puller, parsed.Context()}, parsed.Identifier(), nil
}

type registryRepository struct {
	puller *remote.Puller
	repo   name.Repository
}

func (r *registryRepository) Name() string { return r.repo.Name() }

func (r *registryRepository) Manifest(ctx context.Context, identifier string) (*Manifest, error) {
	var ref name.Reference = r.repo.Tag(identifier)
	if isDigest(identifier) {
		ref = r.repo.Digest(identifier)
	}
	d, err := r.puller.Get(ctx, ref)
	if err != nil {
		return nil, found(err)
	}
	m := &Manifest{Digest: digestOf(d.Manifest), MediaType: string(d.MediaType), Bytes: d.Manifest}
	if isDigest(identifier) && m.Digest != identifier {
		return nil, check(d.Manifest, identifier)
	}
	return m, nil
}

func (r *registryRepository) Blob(ctx context.Context, digest string, limit int64) ([]byte, error) {
	if !isDigest(digest) {
		return nil, fmt.Errorf("blob %.80q: want a sha256 digest", digest)
	}
	layer, err := r.puller.Layer(ctx, r.repo.Digest(digest))
	if err != nil {
		return nil, found(err)
	}
	body, err := layer.Compressed()
	if err != nil {
		return nil, found(err)
	}
	defer body.Close()
	data, err := readAll(body, limit)
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", digest, err)
	}
	return data, check(data, digest)
}

func (r *registryRepository) Referrers(ctx context.Context, digest string) ([]v1.Descriptor, error) {
	index, err := remote.Referrers(r.repo.Digest(digest), remote.WithContext(ctx), remote.Reuse(r.puller))
	if err != nil {
		if err := found(err); !errors.Is(err, ErrNotFound) {
			return nil, err
		}
		return nil, nil
	}
	m, err := index.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("referrers of %s: %w", digest, err)
	}
	return m.Manifests, nil
}

// found tells what is not there from what could not be asked.
func found(err error) error {
	var answer *transport.Error
	if errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return err
}

// readAll reads at most limit bytes, and fails if there are more.
func readAll(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("more than %d bytes: %w", limit, errTooLarge)
	}
	return data, nil
}

// bounded limits what answers may hold, and reads all pages of a list of referrers, of
// which go-containerregistry reads the first (pkg/v1/remote/referrers.go).
type bounded struct{ next http.RoundTripper }

func (t bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	limit := int64(maxAnswer)
	switch {
	case r.Method != http.MethodGet:
	case strings.Contains(r.URL.Path, "/blobs/"):
		limit = maxBundle
	case strings.Contains(r.URL.Path, "/manifests/"):
		limit = maxManifest
	case strings.Contains(r.URL.Path, "/referrers/"):
		limit = maxManifest
		if resp.StatusCode == http.StatusOK && resp.Header.Get("Link") != "" {
			return t.pages(r, resp)
		}
	case !strings.HasPrefix(r.URL.Path, "/v2/"):
		limit = maxBundle // where a registry redirects to for blobs
	}
	resp.Body = &limited{resp.Body, limit}
	return resp, nil
}

// pages puts all pages of a list into one answer.
func (t bounded) pages(r *http.Request, first *http.Response) (*http.Response, error) {
	type list struct {
		SchemaVersion int               `json:"schemaVersion"`
		MediaType     string            `json:"mediaType"`
		Manifests     []json.RawMessage `json:"manifests"`
	}
	var all list
	resp, at, size := first, r.URL, 0
	for page := 1; ; page++ {
		data, err := readAll(resp.Body, maxManifest)
		resp.Body.Close()
		if err != nil {
			return nil, fmt.Errorf("referrers: %w", err)
		}
		var more list
		if err := json.Unmarshal(data, &more); err != nil {
			return nil, fmt.Errorf("referrers: page %d: %w", page, err)
		}
		if page == 1 {
			all = more
		} else {
			all.Manifests = append(all.Manifests, more.Manifests...)
		}
		size += len(data)
		to := nextPage(at, resp.Header.Get("Link"))
		if to == nil {
			break
		}
		if page == maxPages || len(all.Manifests) > maxReferrers || size > maxManifest {
			return nil, fmt.Errorf("referrers: more than %d pages, %d entries or %d MiB: %w", maxPages, maxReferrers, maxManifest>>20, errTooLarge)
		}
		again := r.Clone(r.Context())
		again.URL, at = to, to
		if resp, err = t.next.RoundTrip(again); err != nil {
			return nil, err
		}
		if resp.StatusCode != http.StatusOK {
			resp.Body.Close()
			return nil, fmt.Errorf("referrers: page %d: %s", page+1, resp.Status)
		}
	}
	data, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	first.Body, first.ContentLength = io.NopCloser(bytes.NewReader(data)), int64(len(data))
	first.Header.Del("Content-Length")
	return first, nil
}

// nextPage is where a list goes on; nil at its end. Credentials go along, so it is only
// followed within the list: the same host and path.
func nextPage(at *url.URL, link string) *url.URL {
	target, rest, ok := strings.Cut(strings.TrimPrefix(link, "<"), ">")
	if !ok || !strings.HasPrefix(link, "<") || !strings.Contains(strings.ReplaceAll(rest, `"`, ""), "rel=next") {
		return nil
	}
	to, err := at.Parse(target)
	if err != nil || to.Scheme != at.Scheme || to.Host != at.Host || to.Path != at.Path {
		return nil
	}
	return to
}

// limited fails where a body is longer than it may be, instead of ending there.
type limited struct {
	io.ReadCloser
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	if int64(len(p)) > l.left+1 {
		p = p[:l.left+1]
	}
	n, err := l.ReadCloser.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, fmt.Errorf("the registry's answer: %w", errTooLarge)
	}
	return n, err
}
