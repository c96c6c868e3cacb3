// Package source reads where images are kept: registries, archives, layouts, the stores
// of Docker, Podman and containerd, unpacked folders. It gives an image's manifest,
// configuration and layers, each layer as a stream that is decompressed once and
// verified while it is read. What is in a layer is no business of its, and it contacts
// nobody but the registry or the socket that was named.
package source

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// A Kind is a place where images are kept.
type Kind string

// The kinds. Each but Stdin is also the prefix by which a reference asks for it.
const (
	Registry      Kind = "registry"
	DockerArchive Kind = "docker-archive"
	OCIArchive    Kind = "oci-archive"
	OCILayout     Kind = "oci"
	Docker        Kind = "docker"
	Podman        Kind = "podman"
	Containerd    Kind = "containerd"
	Folder        Kind = "dir"
	SBOM          Kind = "sbom"
	Stdin         Kind = "-"
)

// A Source is one image of one platform where it is kept. Close it.
type Source struct {
	Kind Kind
	// Name is the reference or the path, without the kind's prefix.
	Name string
	// Digest is the manifest's, "sha256:…"; empty where there is none.
	Digest string
	// Index is the digest of the index that the image was chosen from; empty without one.
	Index string
	// ID is the configuration's digest; empty for a folder.
	ID string
	// Config is never nil; a folder's is empty.
	Config *v1.ConfigFile
	// Annotations are the manifest's, and those of the index that names it.
	Annotations map[string]string
	// Layers are ordered from the base up.
	Layers []Layer
	// Root is the unpacked root file system of a source of kind Folder; nil otherwise.
	Root *os.Root

	// SBOM is the bill of materials that a source of kind SBOM is; nil otherwise.
	SBOM io.Reader

	closers []io.Closer
}

// Close lets go of files and connections. Streams that are still open are not to be
// read any more.
func (s *Source) Close() error {
	var errs []error
	for _, c := range s.closers {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// A Layer is one of an image's, where it is kept.
type Layer struct {
	// DiffID is the digest of the uncompressed bytes, as the configuration says.
	DiffID string
	// Digest is that of the bytes as they are kept, as the manifest says; empty where no
	// manifest does.
	Digest string
	// MediaType is the manifest's; empty where there is none.
	MediaType string
	// Size is the number of bytes as they are kept; -1 where it is not known.
	Size int64

	limits Options
	open   func(context.Context) (io.ReadCloser, error)
}

// Verified is the digest that Open's stream is compared with: what is learned from the
// stream may be kept under this name, and under no other that the image merely claims.
func (l *Layer) Verified() string {
	if l.Digest != "" {
		return l.Digest
	}
	return l.DiffID
}

// ErrDigest is what reading ends with where content is not what its digest says.
var ErrDigest = errors.New("content is not what its digest says")

// Open gives the layer's uncompressed bytes, a tar stream. Whoever reads it to its end
// gets ErrDigest instead of io.EOF where it is not what the image says.
func (l *Layer) Open(ctx context.Context) (io.ReadCloser, error) {
	if strings.HasSuffix(l.MediaType, "+encrypted") {
		return nil, fmt.Errorf("layer %s: is encrypted", short(l.Verified()))
	}
	rc, err := l.open(ctx)
	if err != nil {
		return nil, fmt.Errorf("layer %s: %w", short(l.Verified()), err)
	}
	return decompress(rc, l.Digest, l.DiffID, l.limits.maxRatio())
}

func short(digest string) string {
	_, hex, _ := strings.Cut(digest, ":")
	return hex[:min(12, len(hex))]
}

// Options are for Open; the zero value works.
type Options struct {
	// Platform is what is chosen of an image for several: "linux/arm64/v8". Empty:
	// linux on this machine's architecture, and where there is only one, that one.
	Platform string
	// Insecure allows plain HTTP and certificates of nobody's to registries that are not
	// on this machine. To those on loopback plain HTTP is always tried.
	Insecure bool
	// Keychain knows the credentials; nil: the configuration of docker and podman of the
	// user, with their helpers.
	Keychain authn.Keychain
	// Transport is what registries are asked through; nil: one with time limits.
	Transport http.RoundTripper
	// Stdin is what "-" reads.
	Stdin io.Reader
	// DockerSocket and PodmanSocket are paths; empty: DOCKER_HOST's, and the usual ones.
	DockerSocket, PodmanSocket string
	// ContainerdRoot is the folder of containerd's state; empty: /var/lib/containerd.
	ContainerdRoot string
	// TempDir is where an archive that is compressed or comes through a pipe is held; it
	// has no name there. Empty: the system's.
	TempDir string
	// MaxArchive is the largest uncompressed archive that is held so, in bytes; 0: 64
	// GiB.
	MaxArchive int64
	// MaxRatio is how many times larger than its compressed bytes a stream may be, once
	// it is over a GiB; 0: 400, which no file system is.
	MaxRatio int64
}

func (o *Options) maxArchive() int64 {
	if o.MaxArchive > 0 {
		return o.MaxArchive
	}
	return 64 << 30
}

func (o *Options) maxRatio() int64 {
	if o.MaxRatio > 0 {
		return o.MaxRatio
	}
	return 400
}

// platform gives the platform that is wanted, and whether it was asked for.
func (o *Options) platform() (p *v1.Platform, asked bool, err error) {
	if o.Platform == "" {
		return &v1.Platform{OS: "linux", Architecture: runtime.GOARCH}, false, nil
	}
	if p, err = v1.ParsePlatform(o.Platform); err != nil || p.OS == "" || p.Architecture == "" {
		return nil, true, fmt.Errorf("platform %q: want os/architecture or os/architecture/variant", o.Platform)
	}
	if p.Architecture == "arm64" && p.Variant == "v8" {
		p.Variant = "" // there is no other, and most indexes do not name it
	}
	return p, true, nil
}

// maxDocument is the size up to which manifests, indexes and configurations are read;
// registries take manifests of up to 4 MiB.
const maxDocument = 8 << 20

// Open finds an image. REF is a kind and a colon before a name, or only a name:
//
//	registry:NAME        registry.example/shop/cart:1.2, or @sha256:…
//	docker-archive:FILE  what docker save writes; FILE:NAME chooses one of several
//	oci-archive:FILE     an OCI layout in a tar archive; FILE:NAME chooses
//	oci:FOLDER           an OCI layout; FOLDER:NAME chooses
//	docker:NAME          of the Docker daemon
//	podman:NAME          of Podman's socket
//	containerd:NAME      of containerd's store; a digest, NAME@DIGEST, or FOLDER@DIGEST
//	dir:FOLDER           an unpacked root file system
//	sbom:FILE            a bill of materials
//	-                    an archive or a bill of materials from standard input
//
// Archives may be compressed with gzip or zstd. Without a kind, a file or folder that
// exists and is one of these is what it is, and anything else a registry's.
func Open(ctx context.Context, ref string, o Options) (*Source, error) {
	kind, name, ok := strings.Cut(ref, ":")
	if ref == "-" {
		kind, name, ok = "-", "standard input", true
	}
	if ok {
		open := map[Kind]func(context.Context, string, Options) (*Source, error){
			Registry: openRegistry, DockerArchive: openDockerArchive, OCIArchive: openOCIArchive, OCILayout: openLayout,
			Docker: openDocker, Podman: openPodman, Containerd: openContainerd, Folder: openFolder, SBOM: openDocument, Stdin: openStdin,
		}[Kind(kind)]
		if open != nil {
			if name == "" {
				return nil, fmt.Errorf("%s: want a name after the colon", ref)
			}
			return open(ctx, name, o)
		}
	}
	return guess(ctx, ref, o)
}

// A store gives manifests and blobs by their digest. Close what it gives.
type store interface {
	manifest(ctx context.Context, digest v1.Hash) ([]byte, error)
	blob(ctx context.Context, digest v1.Hash) (io.ReadCloser, int64, error)
}

// document reads a blob that is small, and holds it to its digest.
func document(ctx context.Context, s store, digest v1.Hash) ([]byte, error) {
	rc, _, err := s.blob(ctx, digest)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", digest, err)
	}
	defer rc.Close()
	b, err := io.ReadAll(io.LimitReader(rc, maxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", digest, err)
	}
	if len(b) > maxDocument {
		return nil, fmt.Errorf("%s: larger than %d bytes, which no manifest or configuration is", digest, maxDocument)
	}
	if got := digestOf(b); got != digest.String() {
		return nil, fmt.Errorf("%s: %w: it is %s", digest, ErrDigest, got)
	}
	return b, nil
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// fromStore fills in an image whose manifest is known.
func (s *Source) fromStore(ctx context.Context, in store, digest v1.Hash, raw []byte, o Options) error {
	var m v1.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return fmt.Errorf("manifest %s: %w", digest, err)
	}
	if m.Config.Digest == (v1.Hash{}) {
		return fmt.Errorf("manifest %s: is not an image's (%s, schema version %d)", digest, m.MediaType, m.SchemaVersion)
	}
	config, err := document(ctx, in, m.Config.Digest)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if err := s.configure(config); err != nil {
		return err
	}
	if len(m.Layers) != len(s.Config.RootFS.DiffIDs) {
		return fmt.Errorf("manifest %s: has %d layers, its configuration %d", digest, len(m.Layers), len(s.Config.RootFS.DiffIDs))
	}
	s.Digest = digest.String()
	if s.Annotations == nil {
		s.Annotations = map[string]string{}
	}
	maps.Copy(s.Annotations, m.Annotations)
	for i, d := range m.Layers {
		s.Layers = append(s.Layers, Layer{
			DiffID: s.Config.RootFS.DiffIDs[i].String(), Digest: d.Digest.String(), MediaType: string(d.MediaType), Size: d.Size, limits: o,
			open: func(ctx context.Context) (io.ReadCloser, error) {
				rc, _, err := in.blob(ctx, d.Digest)
				return rc, err
			},
		})
	}
	return nil
}

// configure reads a configuration. What is not an image's, such as a chart's or a
// signature's, is an error.
func (s *Source) configure(raw []byte) error {
	c := &v1.ConfigFile{}
	if err := json.Unmarshal(raw, c); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if c.RootFS.Type != "layers" && !bytes.Contains(raw, []byte(`"rootfs"`)) {
		return errors.New("configuration: is not an image's; this may be a chart, a signature or another artifact")
	}
	if len(c.RootFS.DiffIDs) > maxLayers {
		return fmt.Errorf("configuration: %d layers, over the limit of %d", len(c.RootFS.DiffIDs), maxLayers)
	}
	s.Config, s.ID = c, digestOf(raw)
	return nil
}

// maxLayers is several times what overlay file systems can mount (500 in Linux, 127 by
// Docker).
const maxLayers = 4096

// fromIndex finds the image of the platform below a descriptor, which may be a manifest
// or an index of them, and fills it in.
func (s *Source) fromIndex(ctx context.Context, in store, d v1.Descriptor, o Options) error {
	for range 4 { // an index may name another
		raw, err := in.manifest(ctx, d.Digest)
		if err != nil {
			return fmt.Errorf("manifest: %w", err)
		}
		index, err := asIndex(raw)
		if err != nil {
			return fmt.Errorf("manifest %s: %w", d.Digest, err)
		}
		if index == nil {
			return s.fromStore(ctx, in, d.Digest, raw, o)
		}
		if s.Annotations == nil {
			s.Annotations = map[string]string{}
		}
		maps.Copy(s.Annotations, index.Annotations)
		if s.Index == "" {
			s.Index = d.Digest.String()
		}
		if d, err = choose(index, o); err != nil {
			return err
		}
		maps.Copy(s.Annotations, d.Annotations)
	}
	return errors.New("index: names indexes that name indexes, deeper than 4")
}

// asIndex reads a document as an index; nil, nil where it is something else.
func asIndex(raw []byte) (*v1.IndexManifest, error) {
	var probe struct {
		Manifests json.RawMessage `json:"manifests"`
	}
	if err := json.Unmarshal(raw, &probe); err != nil {
		return nil, err
	}
	if probe.Manifests == nil {
		return nil, nil //nolint:nilnil // both are asked for
	}
	index := &v1.IndexManifest{}
	return index, json.Unmarshal(raw, index)
}

// choose gives the descriptor of the wanted platform. Attestations, which BuildKit files
// in the index as if they were images of the platform unknown/unknown, are not images.
func choose(index *v1.IndexManifest, o Options) (v1.Descriptor, error) {
	want, asked, err := o.platform()
	if err != nil {
		return v1.Descriptor{}, err
	}
	var images []v1.Descriptor
	var names []string
	for _, d := range index.Manifests {
		if d.Annotations["vnd.docker.reference.type"] == "attestation-manifest" || d.Platform != nil && d.Platform.OS == "unknown" {
			continue
		}
		images = append(images, d)
		if d.Platform != nil {
			names = append(names, d.Platform.String())
		}
	}
	for _, d := range images {
		if d.Platform != nil && d.Platform.Satisfies(*want) {
			return d, nil
		}
	}
	if len(images) == 1 && (!asked || images[0].Platform == nil) {
		return images[0], nil
	}
	return v1.Descriptor{}, fmt.Errorf("platform %s: not among %s", want, strings.Join(names, ", "))
}
