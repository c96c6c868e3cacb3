package signature

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
)

// A candidate is something attached to an image that may be a signature or attestation
// of it.
type candidate struct {
	// at says where it was found, for people.
	at string
	// predicate is the type that it claims to attest, which saves reading what nobody asked
	// for; empty where it does not say.
	predicate string
	// size is that of its blob, as is claimed.
	size int64
	// read fetches it.
	read func(context.Context) (*attached, error)
}

// An attached is a candidate that was read.
type attached struct {
	at string
	// payload is what a classic signature signs; nil for bundles and envelopes.
	payload []byte
	// certificate is set if it may be verified with a certificate, key if with a key.
	certificate, key *bundle.Bundle
}

// A finding is what stood in the way of looking at something attached.
type finding struct {
	at  string
	err error
}

// collector gathers what is attached to one digest. What it cannot ask for is unknown,
// what it can is not trusted.
type collector struct {
	repo       Repository
	candidates []candidate
	unknown    []finding
	wrong      []finding
	seen       map[string]bool
	more       int
}

func collect(ctx context.Context, repo Repository, digest string) *collector {
	c := &collector{repo: repo, seen: map[string]bool{}}
	tag := strings.Replace(digest, ":", "-", 1)
	for _, suffix := range []string{".sig", ".att"} {
		at := "tag " + tag[:len("sha256-")+12] + "…" + suffix
		m, err := repo.Manifest(ctx, tag+suffix)
		switch {
		case errors.Is(err, ErrNotFound):
		case err != nil:
			c.unknown = append(c.unknown, finding{at, err})
		default:
			c.manifest(at, m, suffix == ".att")
		}
	}
	all, err := repo.Referrers(ctx, digest)
	if err != nil {
		c.unknown = append(c.unknown, finding{"referrers", err})
	}
	if len(all) > maxReferrers {
		c.more += len(all) - maxReferrers
		all = all[:maxReferrers]
	}
	looked := 0
	for _, d := range all {
		if !mayBeSigned(d.ArtifactType) {
			continue
		}
		if looked++; looked > maxCandidates || len(c.candidates) >= maxCandidates {
			c.more++
			continue
		}
		at := "referrer " + Short(d.Digest.String())
		m, err := repo.Manifest(ctx, d.Digest.String())
		switch {
		case errors.Is(err, ErrNotFound):
			c.wrong = append(c.wrong, finding{at, err})
		case err != nil:
			c.unknown = append(c.unknown, finding{at, err})
		default:
			c.referrer(at, m, digest)
		}
	}
	return c
}

// The kinds of artifacts that are looked at: Sigstore bundles of any version, and what
// cosign attaches as a referrer without one (cosign v2, pkg/oci/remote/write.go).
const (
	bundlePrefix  = "application/vnd.dev.sigstore.bundle"
	cosignSigType = "application/vnd.dev.cosign.artifact.sig.v1+json"
	cosignAttType = "application/vnd.dev.cosign.artifact.att.v1+json"
	intotoType    = "application/vnd.in-toto+json"
	dsseType      = "application/vnd.dsse.envelope.v1+json"
	simpleType    = "application/vnd.dev.cosign.simplesigning.v1+json"
)

// mayBeSigned reports whether a referrer of this kind is read. Some lists leave the kind
// out.
func mayBeSigned(artifactType string) bool {
	switch artifactType {
	case "", cosignSigType, cosignAttType, intotoType, dsseType, simpleType, "application/vnd.oci.empty.v1+json", "application/vnd.oci.image.config.v1+json":
		return true
	}
	return strings.HasPrefix(artifactType, bundlePrefix)
}

// referrer looks into a manifest that says it refers to the digest.
func (c *collector) referrer(at string, m *Manifest, digest string) {
	var head struct {
		Subject *v1.Descriptor `json:"subject"`
	}
	if err := json.Unmarshal(m.Bytes, &head); err != nil || head.Subject == nil || head.Subject.Digest.String() != digest {
		c.wrong = append(c.wrong, finding{at, errors.New("its subject is not the image")})
		return
	}
	c.manifest(at, m, false)
}

// manifest makes candidates of the layers of something attached. What a layer is, its
// media type says; cosign's attestations of before it gave them one stand in .att.
func (c *collector) manifest(at string, m *Manifest, attestations bool) {
	if c.seen[m.Digest] {
		return
	}
	c.seen[m.Digest] = true
	var parsed struct {
		Annotations map[string]string `json:"annotations"`
		Layers      []struct {
			MediaType   string            `json:"mediaType"`
			Digest      string            `json:"digest"`
			Size        int64             `json:"size"`
			Annotations map[string]string `json:"annotations"`
		} `json:"layers"`
	}
	if err := json.Unmarshal(m.Bytes, &parsed); err != nil {
		c.wrong = append(c.wrong, finding{at, errors.New("not a manifest")})
		return
	}
	for _, l := range parsed.Layers {
		if len(c.candidates) >= maxCandidates {
			c.more++
			continue
		}
		cand := candidate{at: at, predicate: l.Annotations[annotationPredicate], size: l.Size}
		limit := int64(maxBundle)
		var parse func([]byte) (*attached, error)
		switch {
		case strings.HasPrefix(l.MediaType, bundlePrefix):
			if cand.predicate == "" {
				cand.predicate = parsed.Annotations["dev.sigstore.bundle.predicateType"]
			}
			parse = fromBundle
		case l.MediaType == simpleType:
			limit = maxPayload
			parse = classic(l.Annotations, true)
		case l.MediaType == dsseType, l.MediaType == intotoType, attestations:
			parse = classic(l.Annotations, false)
		default:
			continue
		}
		if !isDigest(l.Digest) {
			c.wrong = append(c.wrong, finding{at, fmt.Errorf("layer %.80q: want a sha256 digest", l.Digest)})
			continue
		}
		cand.read = func(ctx context.Context) (*attached, error) {
			data, err := c.repo.Blob(ctx, l.Digest, limit)
			if err != nil {
				return nil, err
			}
			a, err := parse(data)
			if err != nil {
				return nil, &unusable{err}
			}
			a.at = at
			return a, nil
		}
		c.candidates = append(c.candidates, cand)
	}
}

// An unusable was read, and is nothing that could be verified.
type unusable struct{ error }

func fromBundle(data []byte) (*attached, error) {
	b, err := parseBundle(data)
	if err != nil {
		return nil, err
	}
	content, err := b.VerificationContent()
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	if content.Certificate() != nil {
		return &attached{certificate: b}, nil
	}
	return &attached{key: b}, nil
}

// classic reads a layer of one of cosign's images. With a certificate beside it the
// signature may be meant for either; which it is, verifying tells.
func classic(annotations map[string]string, signature bool) func([]byte) (*attached, error) {
	return func(data []byte) (*attached, error) {
		make, a := classicAttestation, &attached{}
		if signature {
			make, a.payload = classicSignature, data
		}
		var err error
		if a.key, err = make(data, annotations, true); err != nil {
			return nil, err
		}
		if annotations[annotationCertificate] != "" {
			if a.certificate, err = make(data, annotations, false); err != nil {
				return nil, err
			}
		}
		return a, nil
	}
}
