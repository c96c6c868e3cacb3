package signature

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// A Store is where images are, with what is attached to them.
type Store interface {
	// Open finds the repository that a reference is of, and what the reference names in
	// it: a tag or a digest. It does not look whether it is there. An error says that the
	// reference is none.
	Open(ref string) (repo Repository, identifier string, err error)
}

// A Repository is what belongs together: an image, its tags and what refers to it.
// What it returns was written by strangers; every limit of size is the caller's to give.
type Repository interface {
	// Name is the repository's with its registry, "registry.example/shop/web"; empty where
	// it is not known.
	Name() string
	// Manifest returns what a tag or digest names, of at most 4 MiB. The bytes are those of
	// the digest that is returned with them. The error wraps ErrNotFound if there is none.
	Manifest(ctx context.Context, identifier string) (*Manifest, error)
	// Blob returns a blob of at most max bytes, which are those of the digest.
	Blob(ctx context.Context, digest string, max int64) ([]byte, error)
	// Referrers lists the manifests whose subject is the digest. They are claims: the
	// caller looks at the manifests themselves.
	Referrers(ctx context.Context, digest string) ([]v1.Descriptor, error)
}

// A Manifest is an image's, an index, or that of something attached.
type Manifest struct {
	// Digest is that of Bytes, "sha256:…".
	Digest    string
	MediaType string
	Bytes     []byte
}

// ErrNotFound says that a repository does not have what was asked for.
var ErrNotFound = errors.New("not found")

// errTooLarge says that something is larger than is read.
var errTooLarge = errors.New("larger than is read")

// digestOf is the digest by which everything is known here.
func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// isDigest reports whether an identifier is a digest of the one kind that is understood:
// 32 bytes in lower case, so that none has two spellings.
func isDigest(s string) bool {
	hexa, ok := strings.CutPrefix(s, "sha256:")
	if !ok || len(hexa) != 2*sha256.Size {
		return false
	}
	return strings.Trim(hexa, "0123456789abcdef") == ""
}

// check compares what was fetched with the digest it was asked by.
func check(b []byte, digest string) error {
	if got := digestOf(b); got != digest {
		return fmt.Errorf("what was answered has digest %s, want %s", got, digest)
	}
	return nil
}

// A budget is what may still be read for one image. It stands between the verifier and a
// repository.
type budget struct {
	Repository
	left int64
}

func (b *budget) spend(n int) error {
	if b.left -= int64(n); b.left < 0 {
		return fmt.Errorf("what is attached to the image has more than %d MiB: %w", maxTotal>>20, errTooLarge)
	}
	return nil
}

func (b *budget) Manifest(ctx context.Context, identifier string) (*Manifest, error) {
	if b.left <= 0 {
		return nil, b.spend(1)
	}
	m, err := b.Repository.Manifest(ctx, identifier)
	if err != nil {
		return nil, err
	}
	return m, b.spend(len(m.Bytes))
}

func (b *budget) Blob(ctx context.Context, digest string, limit int64) ([]byte, error) {
	if b.left <= 0 {
		return nil, b.spend(1)
	}
	data, err := b.Repository.Blob(ctx, digest, min(limit, b.left))
	if err != nil {
		return nil, err
	}
	return data, b.spend(len(data))
}
