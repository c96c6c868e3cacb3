package signature

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Layouts is the store of OCI layouts, folders as skopeo and `cosign save` make them,
// named oci:FOLDER, oci:FOLDER:TAG or oci:FOLDER@DIGEST. Other references go to the next
// store.
type Layouts struct {
	// Next has the images that are not in a layout.
	Next Store
	// As is the repository that the images in layouts are of. A layout says so too, but
	// whoever made it would then choose the rule that counts. Empty: it is not known, and
	// only rules for ** count.
	As string
}

// Open finds a layout's folder.
func (l Layouts) Open(ref string) (Repository, string, error) {
	rest, ok := strings.CutPrefix(ref, "oci:")
	if !ok {
		return l.Next.Open(ref)
	}
	as := ""
	if l.As != "" {
		repo, err := name.NewRepository(l.As)
		if err != nil {
			return nil, "", fmt.Errorf("repository %.200q: %w", l.As, err)
		}
		as = repo.Name()
	}
	dir, identifier, ok := strings.Cut(rest, "@")
	if ok && !isDigest(identifier) {
		return nil, "", fmt.Errorf("reference %.200q: want a sha256 digest after @", ref)
	}
	if !ok {
		// A colon may also stand in the path.
		if i := strings.LastIndexByte(dir, ':'); i > strings.LastIndexByte(dir, '/') {
			dir, identifier = dir[:i], dir[i+1:]
		}
	}
	if dir == "" {
		return nil, "", fmt.Errorf("reference %.200q: want oci:FOLDER, oci:FOLDER:TAG or oci:FOLDER@DIGEST", ref)
	}
	return &layout{dir, as}, identifier, nil
}

type layout struct{ dir, as string }

func (l *layout) Name() string { return l.as }

// file reads a file below the folder. No link leads out of it.
func (l *layout) file(file string, limit int64) ([]byte, error) {
	root, err := os.OpenRoot(l.dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	info, err := root.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %s", ErrNotFound, path.Join(l.dir, file))
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: not a file", path.Join(l.dir, file))
	}
	f, err := root.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := readAll(f, limit)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path.Join(l.dir, file), err)
	}
	return data, nil
}

// An entry is one of the layout's index.
type entry struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	ArtifactType string            `json:"artifactType"`
	Annotations  map[string]string `json:"annotations"`
}

// The annotations by which the entries of a layout are told apart: the specification's
// (image-layout.md), and that of `cosign save` (cosign v2, pkg/oci/layout/write.go).
const (
	annotationRef  = "org.opencontainers.image.ref.name"
	annotationKind = "kind"
	cosignSigs     = "dev.cosignproject.cosign/sigs"
	cosignAtts     = "dev.cosignproject.cosign/atts"
)

func (l *layout) index() ([]entry, error) {
	data, err := l.file("index.json", maxManifest)
	if err != nil {
		if errors.Is(err, ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s is no OCI layout: %w", l.dir, err)
		}
		return nil, err
	}
	var index struct {
		Manifests []entry `json:"manifests"`
	}
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, fmt.Errorf("%s: index.json is not the JSON that it should be", l.dir)
	}
	return index.Manifests, nil
}

// attachment reports whether an entry is attached to an image instead of being one.
func (e entry) attachment() bool {
	kind, ref := e.Annotations[annotationKind], e.Annotations[annotationRef]
	switch e.ArtifactType {
	case "", "application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json":
	default:
		return true
	}
	return kind == cosignSigs || kind == cosignAtts || strings.HasPrefix(tagOfName(ref), "sha256-")
}

// tagOfName is the tag of a name that may be a whole reference.
func tagOfName(ref string) string {
	if i := strings.LastIndexByte(ref, ':'); i > strings.LastIndexByte(ref, '/') {
		return ref[i+1:]
	}
	return ref
}

func (l *layout) Manifest(ctx context.Context, identifier string) (*Manifest, error) {
	all, err := l.index()
	if err != nil {
		return nil, err
	}
	found := entry{Digest: identifier}
	if !isDigest(identifier) {
		var match []entry
		for _, e := range all {
			ref, kind := e.Annotations[annotationRef], e.Annotations[annotationKind]
			switch {
			case identifier == "" && !e.attachment(),
				identifier != "" && tagOfName(ref) == identifier,
				strings.HasSuffix(identifier, ".sig") && kind == cosignSigs,
				strings.HasSuffix(identifier, ".att") && kind == cosignAtts:
				match = append(match, e)
			}
		}
		switch {
		case len(match) == 0:
			return nil, fmt.Errorf("%w: %q in %s", ErrNotFound, identifier, l.dir)
		case len(match) > 1 && identifier == "":
			return nil, fmt.Errorf("%s holds %d images, want oci:FOLDER:TAG or oci:FOLDER@DIGEST", l.dir, len(match))
		}
		found = match[0]
	}
	data, err := l.Blob(ctx, found.Digest, maxManifest)
	if err != nil {
		return nil, err
	}
	return &Manifest{Digest: found.Digest, MediaType: found.MediaType, Bytes: data}, nil
}

func (l *layout) Blob(_ context.Context, digest string, limit int64) ([]byte, error) {
	if !isDigest(digest) {
		return nil, fmt.Errorf("blob %.80q: want a sha256 digest", digest)
	}
	data, err := l.file(path.Join("blobs", "sha256", strings.TrimPrefix(digest, "sha256:")), limit)
	if err != nil {
		return nil, err
	}
	return data, check(data, digest)
}

// Referrers looks at every entry of the index, and at the tag that stands in for the list
// where a registry has none.
func (l *layout) Referrers(ctx context.Context, digest string) ([]v1.Descriptor, error) {
	all, err := l.index()
	if err != nil {
		return nil, err
	}
	var out []v1.Descriptor
	add := func(e entry) {
		if h, err := v1.NewHash(e.Digest); err == nil && isDigest(e.Digest) {
			out = append(out, v1.Descriptor{Digest: h, ArtifactType: e.ArtifactType})
		}
	}
	for i, e := range all {
		if i == maxReferrers {
			return nil, fmt.Errorf("%s: more than %d entries: %w", l.dir, maxReferrers, errTooLarge)
		}
		if e.Digest == digest || !isDigest(e.Digest) {
			continue
		}
		data, err := l.Blob(ctx, e.Digest, maxManifest)
		if err != nil {
			continue // an entry that nobody can read refers to nothing
		}
		var head struct {
			Subject *struct {
				Digest string `json:"digest"`
			} `json:"subject"`
			Manifests []entry `json:"manifests"`
		}
		if json.Unmarshal(data, &head) != nil {
			continue
		}
		switch {
		case head.Subject != nil && head.Subject.Digest == digest:
			add(e)
		case tagOfName(e.Annotations[annotationRef]) == strings.Replace(digest, ":", "-", 1):
			for _, m := range head.Manifests {
				add(m)
			}
		}
	}
	return out, nil
}
