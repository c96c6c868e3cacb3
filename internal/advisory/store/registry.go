package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
)

// The media types of a database in a registry. Its configuration is the manifest of this
// package; each layer is one table.
const (
	artifactType   = "application/vnd.bulwark.vulndb.v1+json"
	configType     = types.MediaType("application/vnd.bulwark.vulndb.manifest.v1+json")
	layerType      = types.MediaType("application/vnd.bulwark.vulndb.table.v1+zstd")
	titleAnnotated = "org.opencontainers.image.title"
	signAnnotated  = "io.bulwark.vulndb.signature"
)

// RegistryOptions are for a database in a registry. Credentials are those of the Docker
// configuration.
type RegistryOptions struct {
	Options
	// Shards are those to pull; none: all.
	Shards []string
	// PlainHTTP talks to the registry without TLS. Registries on this machine are talked
	// to like that anyway.
	PlainHTTP bool
}

func (o *RegistryOptions) reference(ref string) (name.Reference, error) {
	var opts []name.Option
	if o.PlainHTTP {
		opts = append(opts, name.Insecure)
	}
	r, err := name.ParseReference(ref, opts...)
	if err != nil {
		return nil, &Error{err, "want HOST/REPOSITORY:TAG"}
	}
	return r, nil
}

func (o *RegistryOptions) remote(ctx context.Context) []remote.Option {
	return []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain), remote.WithUserAgent("bulwark")}
}

// raw is a manifest as it is sent.
type raw struct{ data []byte }

func (r raw) RawManifest() ([]byte, error) { return r.data, nil }

func (raw) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }

// Push sends a database to a registry, and returns its digest. A table that the registry
// has already is not sent again: the same table makes the same layer.
func Push(ctx context.Context, dir, ref string, o RegistryOptions) (string, error) {
	to, err := o.reference(ref)
	if err != nil {
		return "", err
	}
	set, err := current(dir)
	if err != nil {
		return "", err
	}
	m, data, err := readManifest(set)
	if err != nil {
		return "", err
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return "", err
	}
	defer func() { _ = enc.Close() }() // it holds memory only
	send := func(content []byte, kind types.MediaType) (v1.Descriptor, error) {
		layer := static.NewLayer(content, kind)
		digest, err := layer.Digest()
		if err != nil {
			return v1.Descriptor{}, err
		}
		return v1.Descriptor{MediaType: kind, Size: int64(len(content)), Digest: digest}, remote.WriteLayer(to.Context(), layer, o.remote(ctx)...)
	}
	out := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: artifactType}
	if out.Config, err = send(data, configType); err != nil {
		return "", fmt.Errorf("pushing to %s: %w", ref, err)
	}
	for _, t := range m.Tables {
		content, err := os.ReadFile(filepath.Join(set, t.File))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		layer, err := send(enc.EncodeAll(content, nil), layerType)
		if err != nil {
			return "", fmt.Errorf("pushing table %s to %s: %w", t.Key, ref, err)
		}
		layer.Annotations = map[string]string{titleAnnotated: t.File}
		out.Layers = append(out.Layers, layer)
	}
	out.Annotations = map[string]string{"org.opencontainers.image.created": m.Built.Format("2006-01-02T15:04:05Z")}
	switch signature, err := os.ReadFile(filepath.Join(set, signatureFile)); {
	case err == nil:
		out.Annotations[signAnnotated] = string(bytes.TrimSpace(signature))
	case !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	encoded, err := json.Marshal(out)
	if err != nil {
		return "", err
	}
	if err := remote.Put(to, raw{encoded}, o.remote(ctx)...); err != nil {
		return "", fmt.Errorf("pushing to %s: %w", ref, err)
	}
	digest, _, err := v1.SHA256(bytes.NewReader(encoded))
	if err != nil {
		return "", err
	}
	return to.Context().Digest(digest.String()).String(), nil
}

// Pull takes over a database from a registry: the tables that the database of the folder
// has already are not fetched, nor those of shards that are not asked for.
func Pull(ctx context.Context, dir, ref string, o RegistryOptions) (m *Manifest, fetched int, err error) {
	from, err := o.reference(ref)
	if err != nil {
		return nil, 0, err
	}
	got, err := remote.Get(from, o.remote(ctx)...)
	if err != nil {
		return nil, 0, fmt.Errorf("pulling %s: %w", ref, err)
	}
	if len(got.Manifest) > maxManifest {
		return nil, 0, fmt.Errorf("pulling %s: a manifest of %d bytes", ref, len(got.Manifest))
	}
	var image v1.Manifest
	if err := json.Unmarshal(got.Manifest, &image); err != nil {
		return nil, 0, fmt.Errorf("pulling %s: %w", ref, err)
	}
	if image.Config.MediaType != configType {
		return nil, 0, &Error{fmt.Errorf("%s is no vulnerability database", ref), "`bulwark image db push` makes one"}
	}
	blob := func(d v1.Descriptor) (io.ReadCloser, error) {
		layer, err := remote.Layer(from.Context().Digest(d.Digest.String()), o.remote(ctx)...)
		if err != nil {
			return nil, err
		}
		return layer.Compressed() // which checks its digest
	}
	in, err := blob(image.Config)
	if err != nil {
		return nil, 0, fmt.Errorf("pulling %s: %w", ref, err)
	}
	data, err := io.ReadAll(io.LimitReader(in, maxManifest+1))
	if err = errors.Join(err, in.Close()); err != nil {
		return nil, 0, fmt.Errorf("pulling %s: %w", ref, err)
	}
	a, err := arrive(ctx, dir, data, []byte(image.Annotations[signAnnotated]), o.Options)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", ref, err)
	}
	defer a.abandon()
	if err := unknownKeys(a.manifest, o.Shards); err != nil {
		return nil, 0, err
	}
	layers := map[string]v1.Descriptor{}
	for _, l := range image.Layers {
		layers[l.Annotations[titleAnnotated]] = l
	}
	for _, t := range a.manifest.Tables {
		l, ok := layers[t.File]
		if !ok || !wanted(t.Key, o.Shards) || a.has(t) {
			continue
		}
		if err := pullTable(a, t, l, blob); err != nil {
			return nil, 0, fmt.Errorf("pulling %s: %w", ref, err)
		}
		fetched++
	}
	m, err = a.finish()
	return m, fetched, err
}

func pullTable(a *arrival, t Table, l v1.Descriptor, blob func(v1.Descriptor) (io.ReadCloser, error)) error {
	in, err := blob(l)
	if err != nil {
		return fmt.Errorf("table %s: %w", t.Key, err)
	}
	defer in.Close()
	z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20))
	if err != nil {
		return err
	}
	defer z.Close()
	return a.place(t, z)
}
