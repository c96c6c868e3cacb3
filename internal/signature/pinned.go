package signature

import (
	"context"
	"fmt"
	"strings"
)

// Pin returns a reference with the digest that it names now. The tag stays, for whoever
// reads it; container runtimes go by the digest. One that has a digest stays as it is, and
// nobody is asked.
func Pin(ctx context.Context, s Store, ref string) (string, error) {
	repo, identifier, err := s.Open(ref)
	if err != nil || isDigest(identifier) {
		return ref, err
	}
	m, err := repo.Manifest(ctx, identifier)
	if err != nil {
		return "", fmt.Errorf("reference %.200q: %w", ref, err)
	}
	return WithDigest(ref, m.Digest), nil
}

// WithDigest gives a reference a digest, if it has none.
func WithDigest(ref, digest string) string {
	if digest == "" || strings.Contains(ref, "@") {
		return ref
	}
	return ref + "@" + digest
}
