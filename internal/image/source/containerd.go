package source

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// contentPath is where containerd keeps blobs, below its root.
const contentPath = "io.containerd.content.v1.content"

// openContainerd reads blobs where containerd keeps them. Its database, meta.db, which
// knows names, is never opened: it is locked by whoever has it open, and containerd
// does. So an image is found by a digest, of its index, manifest or configuration; and
// by a name where it was imported from an archive, whose index is a blob too.
func openContainerd(ctx context.Context, ref string, o Options) (*Source, error) {
	dir := o.ContainerdRoot
	if dir == "" {
		dir = "/var/lib/containerd"
	}
	digest := ref
	if before, after, ok := strings.Cut(ref, "@"); ok {
		digest = after
		if strings.HasPrefix(before, "/") || strings.HasPrefix(before, ".") {
			dir = before
		}
	}
	for _, below := range []string{contentPath, "content"} {
		if p := filepath.Join(dir, below); exists(filepath.Join(p, "blobs")) {
			dir = p
			break
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("containerd's store: %w", err)
	}
	s := &Source{Kind: Containerd, Name: ref, closers: []io.Closer{root}}
	if err := s.fromContainerd(ctx, root, digest, o); err != nil {
		root.Close()
		return nil, fmt.Errorf("containerd %s: %w", ref, err)
	}
	return s, nil
}

func (s *Source) fromContainerd(ctx context.Context, root *os.Root, ref string, o Options) error {
	in := blobs{rooted{root}, "blobs"}
	digest, err := v1.NewHash(ref)
	if err != nil {
		if digest, err = byName(ctx, root, in, ref); err != nil {
			return err
		}
		return s.fromIndex(ctx, in, v1.Descriptor{Digest: digest}, o)
	}
	raw, err := document(ctx, in, digest)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("is not in the store")
	}
	if err != nil {
		return err
	}
	var probe struct {
		RootFS json.RawMessage `json:"rootfs"`
	}
	if json.Unmarshal(raw, &probe) == nil && probe.RootFS != nil {
		// The kubelet knows images by their configuration.
		if digest, err = byConfig(ctx, root, in, digest); err != nil {
			return err
		}
	}
	return s.fromIndex(ctx, in, v1.Descriptor{Digest: digest}, o)
}

// documents yields the store's manifests and indexes: small blobs that are JSON.
func documents(ctx context.Context, root *os.Root, in blobs, each func(v1.Hash, []byte)) error {
	dir, err := root.Open("blobs/sha256")
	if err != nil {
		return err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		fi, err := root.Stat(path.Join("blobs/sha256", name))
		if err != nil || fi.Size() > 256<<10 {
			continue
		}
		digest := v1.Hash{Algorithm: "sha256", Hex: name}
		raw, err := document(ctx, in, digest)
		if err == nil && bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) {
			each(digest, raw)
		}
	}
	return nil
}

func byConfig(ctx context.Context, root *os.Root, in blobs, config v1.Hash) (v1.Hash, error) {
	var found v1.Hash
	err := documents(ctx, root, in, func(d v1.Hash, raw []byte) {
		var m v1.Manifest
		if found == (v1.Hash{}) && json.Unmarshal(raw, &m) == nil && m.Config.Digest == config {
			found = d
		}
	})
	if err == nil && found == (v1.Hash{}) {
		err = errors.New("no manifest in the store has this configuration")
	}
	return found, err
}

func byName(ctx context.Context, root *os.Root, in blobs, name string) (v1.Hash, error) {
	var found []v1.Hash
	err := documents(ctx, root, in, func(_ v1.Hash, raw []byte) {
		index, err := asIndex(raw)
		if err != nil || index == nil {
			return
		}
		for _, d := range index.Manifests {
			if sameName(d.Annotations[containerdName], name) && !slices.Contains(found, d.Digest) {
				found = append(found, d.Digest)
			}
		}
	})
	switch {
	case err != nil:
		return v1.Hash{}, err
	case len(found) == 0:
		return v1.Hash{}, errors.New("the store's blobs do not say which this is; give its digest, which `crictl inspecti` and `ctr images ls` show: containerd:NAME@sha256:…")
	case len(found) > 1:
		return v1.Hash{}, fmt.Errorf("%d images were imported under this name; give a digest: %v", len(found), found)
	}
	return found[0], nil
}
