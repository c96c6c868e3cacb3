package source

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// An Entry is one of the images that a path holds.
type Entry struct {
	// Ref is what Open takes for it.
	Ref string
	// Names are those under which it was saved or imported; there may be none.
	Names []string
	// Digests are those by which it is known: of its index, manifest and configuration,
	// as far as they are there.
	Digests []string
}

// Is reports whether an image that is asked for by name or digest is this one.
func (e *Entry) Is(name, digest string) bool {
	if digest != "" {
		return slices.Contains(e.Digests, digest)
	}
	return slices.ContainsFunc(e.Names, func(own string) bool { return sameName(own, name) })
}

// maxListed is how many files of a folder are looked at for images.
const maxListed = 10_000

// List says which images a path holds: an archive, an OCI layout, containerd's root, or
// a folder of archives and layouts. What in a folder is no image is passed over.
func List(ctx context.Context, path string, o Options) ([]Entry, error) {
	fi, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !fi.IsDir():
		return listArchive(ctx, path, o)
	case exists(filepath.Join(path, "index.json")):
		return listLayout(ctx, path, o)
	case exists(filepath.Join(path, contentPath)) || exists(filepath.Join(path, "content", "blobs")):
		return listContainerd(ctx, path)
	}
	names, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	if len(names) > maxListed {
		return nil, fmt.Errorf("%s: holds %d files, more than %d: name the archives", path, len(names), maxListed)
	}
	var out []Entry
	for _, n := range names {
		below := filepath.Join(path, n.Name())
		switch {
		case n.IsDir() && exists(filepath.Join(below, "index.json")):
			found, err := listLayout(ctx, below, o)
			if err != nil {
				return nil, err
			}
			out = append(out, found...)
		case n.Type().IsRegular() && looksPacked(below):
			if found, err := listArchive(ctx, below, o); err == nil {
				out = append(out, found...)
			} else if ctx.Err() != nil {
				return nil, ctx.Err()
			}
		}
	}
	return out, nil
}

// looksPacked reports whether a file's name is one that archives have.
func looksPacked(name string) bool {
	for _, end := range []string{".tar", ".tar.gz", ".tgz", ".tar.zst"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}

func listArchive(ctx context.Context, path string, o Options) ([]Entry, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	a, err := openArchive(ctx, f, o)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer a.file.Close()
	var out []Entry
	if _, ok := a.members["index.json"]; ok {
		out, err = listIndex(ctx, a, string(OCIArchive)+":"+path)
	}
	if _, ok := a.members["manifest.json"]; ok && len(out) == 0 {
		out, err = listDocker(a, string(DockerArchive)+":"+path)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return out, nil
}

func listDocker(in files, ref string) ([]Entry, error) {
	raw, err := readAll(in, "manifest.json")
	if err != nil {
		return nil, err
	}
	var images []struct {
		Config   string
		RepoTags []string
	}
	if err := json.Unmarshal(raw, &images); err != nil {
		return nil, fmt.Errorf("manifest.json: %w", err)
	}
	var out []Entry
	for _, m := range images {
		e := Entry{Ref: ref, Names: m.RepoTags}
		if len(images) > 1 && len(m.RepoTags) > 0 {
			e.Ref += ":" + m.RepoTags[0]
		}
		if config, err := readAll(in, m.Config); err == nil {
			e.Digests = append(e.Digests, digestOf(config))
		}
		out = append(out, e)
	}
	return out, nil
}

func listLayout(ctx context.Context, path string, _ Options) ([]Entry, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	out, err := listIndex(ctx, rooted{root}, string(OCILayout)+":"+path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return out, nil
}

func listIndex(ctx context.Context, in files, ref string) ([]Entry, error) {
	raw, err := readAll(in, "index.json")
	if err != nil {
		return nil, err
	}
	index, err := asIndex(raw)
	if err != nil || index == nil {
		return nil, errors.Join(errors.New("index.json: is not an index"), err)
	}
	var out []Entry
	for _, d := range index.Manifests {
		e := Entry{Ref: ref + ":" + d.Digest.String(), Digests: below(ctx, blobs{in, "blobs"}, d.Digest, 0)}
		for _, name := range []string{d.Annotations[containerdName], d.Annotations[refName]} {
			if name != "" && !slices.Contains(e.Names, name) {
				e.Names = append(e.Names, name)
			}
		}
		out = append(out, e)
	}
	return out, nil
}

// below are the digests by which an image is known: its own, those of the manifests of
// an index, and those of their configurations.
func below(ctx context.Context, in blobs, d v1.Hash, depth int) []string {
	out := []string{d.String()}
	raw, err := in.manifest(ctx, d)
	if err != nil || depth > 3 {
		return out
	}
	if index, err := asIndex(raw); err == nil && index != nil {
		for _, m := range index.Manifests {
			out = append(out, below(ctx, in, m.Digest, depth+1)...)
		}
		return out
	}
	var m v1.Manifest
	if json.Unmarshal(raw, &m) == nil && m.Config.Digest != (v1.Hash{}) {
		out = append(out, m.Config.Digest.String())
	}
	return out
}

func listContainerd(ctx context.Context, path string) ([]Entry, error) {
	dir := path
	for _, content := range []string{contentPath, "content"} {
		if p := filepath.Join(path, content); exists(filepath.Join(p, "blobs")) {
			dir = p
			break
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	in := blobs{rooted{root}, "blobs"}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	byDigest := map[v1.Hash]*Entry{}
	names := map[v1.Hash][]string{}
	var order []v1.Hash
	err = documents(ctx, root, in, func(d v1.Hash, raw []byte) {
		index, err := asIndex(raw)
		if err == nil && index != nil {
			for _, m := range index.Manifests {
				if n := m.Annotations[containerdName]; n != "" {
					names[m.Digest] = append(names[m.Digest], n)
				}
			}
		}
		var m v1.Manifest
		isImage := json.Unmarshal(raw, &m) == nil && m.Config.Digest != (v1.Hash{})
		if index == nil && !isImage {
			return
		}
		byDigest[d] = &Entry{Ref: string(Containerd) + ":" + absolute + "@" + d.String(), Digests: below(ctx, in, d, 0)}
		order = append(order, d)
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out []Entry
	for _, d := range order {
		e := byDigest[d]
		e.Names = names[d]
		out = append(out, *e)
	}
	return out, nil
}
