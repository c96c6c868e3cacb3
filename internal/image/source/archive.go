package source

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// files are named contents: an archive's members or a folder's files.
type files interface {
	// open gives a file and its size; an error that is fs.ErrNotExist without one.
	open(name string) (io.ReadCloser, int64, error)
}

// An archive is a tar file whose members are read where they lie.
type archive struct {
	file    *os.File
	members map[string]member
}

type member struct {
	at, size int64
	link     string // another member instead
}

// maxMembers is many times what an archive of images has: a few files for each layer.
const maxMembers = 1 << 18

// openArchive indexes a tar file, which is decompressed to a temporary one first if it
// must be.
func openArchive(ctx context.Context, f *os.File, o Options) (*archive, error) {
	plain, err := plainFile(ctx, f, o)
	if err != nil {
		return nil, err
	}
	a := &archive{file: plain, members: map[string]member{}}
	if err := a.index(ctx); err != nil {
		plain.Close()
		return nil, err
	}
	return a, nil
}

func (a *archive) index(ctx context.Context) error {
	if _, err := a.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	tr := tar.NewReader(a.file)
	for n := 0; ; n++ {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) && n > 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("tar archive, member %d: %w", n+1, err)
		}
		if n >= maxMembers {
			return fmt.Errorf("tar archive: more than %d members, which no archive of images has", maxMembers)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		name := clean(h.Name)
		switch h.Typeflag {
		case tar.TypeReg:
			at, err := a.file.Seek(0, io.SeekCurrent)
			if err != nil {
				return err
			}
			a.members[name] = member{at: at, size: h.Size}
		case tar.TypeSymlink: // docker save before version 25 shares layers so
			a.members[name] = member{link: clean(path.Join(path.Dir(name), h.Linkname))} //nolint:gosec // G305: a key of members, nothing is written
		case tar.TypeLink:
			a.members[name] = member{link: clean(h.Linkname)}
		}
	}
}

func clean(name string) string { return path.Clean("/" + name)[1:] }

func (a *archive) open(name string) (io.ReadCloser, int64, error) {
	m, ok := a.members[clean(name)]
	for range 10 {
		if m.link == "" {
			break
		}
		m, ok = a.members[m.link]
	}
	if !ok || m.link != "" {
		return nil, 0, fmt.Errorf("%s: %w in the archive", name, fs.ErrNotExist)
	}
	return io.NopCloser(io.NewSectionReader(a.file, m.at, m.size)), m.size, nil
}

func (a *archive) Close() error { return a.file.Close() }

// plainFile gives the file itself, or where it is compressed its plain bytes in a
// temporary file; then the file itself is closed.
func plainFile(ctx context.Context, f *os.File, o Options) (*os.File, error) {
	head := make([]byte, 4)
	if _, err := f.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if !bytes.HasPrefix(head, gzipMagic) && !bytes.HasPrefix(head, zstdMagic) {
		return f, nil
	}
	defer f.Close()
	return spool(ctx, f, o)
}

// spool writes a stream's plain bytes to a temporary file without a name.
func spool(ctx context.Context, r io.Reader, o Options) (_ *os.File, err error) {
	raw := &counter{r: r}
	plain, done, err := inflate(bufio.NewReaderSize(raw, 64<<10))
	if err != nil {
		return nil, err
	}
	defer done()
	f, err := os.CreateTemp(o.TempDir, "bulwark-*")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	os.Remove(f.Name())
	buf := make([]byte, 256<<10)
	for total := int64(0); ; {
		n, err := plain.Read(buf)
		if _, werr := f.Write(buf[:n]); werr != nil {
			return nil, fmt.Errorf("holding the archive: %w", werr)
		}
		total += int64(n)
		switch {
		case errors.Is(err, io.EOF):
			_, err = f.Seek(0, io.SeekStart)
			return f, err
		case err != nil:
			return nil, fmt.Errorf("archive: %w", err)
		case total > o.maxArchive():
			return nil, fmt.Errorf("archive: larger than the limit of %d bytes", o.maxArchive())
		case total > ratioFrom && total/max(raw.n, 1) > o.maxRatio():
			return nil, fmt.Errorf("archive: expands %d times, over the limit of %d", total/max(raw.n, 1), o.maxRatio())
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
	}
}

// held is the name of a temporary file that could not be taken away while it is open,
// as on Windows; closing it does that.
type held string

func (h held) Close() error {
	if err := os.Remove(string(h)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func openFile(name string) (*os.File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil && fi.IsDir() {
		err = fmt.Errorf("%s: is a folder", name)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// splitName takes FILE:NAME apart. A file that exists with all of it is not taken apart.
func splitName(ref string) (file, name string) {
	if _, err := os.Stat(ref); err == nil {
		return ref, ""
	}
	for i := len(ref) - 1; i > 0; i-- {
		if ref[i] == ':' {
			if _, err := os.Stat(ref[:i]); err == nil {
				return ref[:i], ref[i+1:]
			}
		}
	}
	return ref, ""
}

func openDockerArchive(ctx context.Context, ref string, o Options) (*Source, error) {
	return openArchiveAs(ctx, DockerArchive, ref, o)
}

func openOCIArchive(ctx context.Context, ref string, o Options) (*Source, error) {
	return openArchiveAs(ctx, OCIArchive, ref, o)
}

// openArchiveAs opens an archive as what it is asked to be; with kind "" as what it is.
func openArchiveAs(ctx context.Context, kind Kind, ref string, o Options) (*Source, error) {
	file, name := splitName(ref)
	f, err := openFile(file)
	if err != nil {
		return nil, err
	}
	s, err := fromArchive(ctx, kind, f, ref, name, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return s, nil
}

// fromArchive takes the file over.
func fromArchive(ctx context.Context, kind Kind, f *os.File, ref, name string, o Options) (*Source, error) {
	a, err := openArchive(ctx, f, o)
	if err != nil {
		f.Close()
		return nil, err
	}
	s := &Source{Name: ref, closers: []io.Closer{a}}
	if a.file != f {
		s.closers = append(s.closers, held(a.file.Name()))
	}
	_, index := a.members["index.json"]
	_, manifest := a.members["manifest.json"]
	switch {
	// Docker writes both since version 25; the OCI side knows the manifest's digest.
	case index && kind != DockerArchive:
		if err = s.fromLayout(ctx, a, name, o); err == nil {
			s.Kind = OCIArchive
			return s, nil
		}
		if !manifest || kind == OCIArchive {
			break
		}
		s = &Source{Name: ref, closers: s.closers}
		fallthrough
	case manifest && kind != OCIArchive:
		s.Kind = DockerArchive
		err = s.fromDocker(a, name, o)
	default:
		err = errors.New("is a tar archive, but has no image: want manifest.json or index.json in it; for an unpacked file system, unpack it and use dir: before the folder")
	}
	if err != nil {
		a.file.Close()
		return nil, err
	}
	return s, nil
}

// readAll reads a file that is small.
func readAll(in files, name string) ([]byte, error) {
	rc, size, err := in.open(name)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	if size > maxDocument {
		return nil, fmt.Errorf("%s: %d bytes, larger than %d", name, size, maxDocument)
	}
	return io.ReadAll(rc)
}

// fromDocker reads what docker save writes.
func (s *Source) fromDocker(in files, name string, o Options) error {
	raw, err := readAll(in, "manifest.json")
	if err != nil {
		return err
	}
	var images []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	if err := json.Unmarshal(raw, &images); err != nil {
		return fmt.Errorf("manifest.json: %w", err)
	}
	var names []string
	at := -1
	for i, m := range images {
		names = append(names, m.RepoTags...)
		if name == "" && len(images) == 1 || slices.ContainsFunc(m.RepoTags, func(tag string) bool { return sameName(tag, name) }) {
			at = i
		}
	}
	if at < 0 {
		return which(len(images), name, names)
	}
	m := images[at]
	config, err := readAll(in, m.Config)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if err := s.configure(config); err != nil {
		return err
	}
	if len(m.Layers) != len(s.Config.RootFS.DiffIDs) {
		return fmt.Errorf("manifest.json: has %d layers, the configuration %d", len(m.Layers), len(s.Config.RootFS.DiffIDs))
	}
	for i, file := range m.Layers {
		l := Layer{DiffID: s.Config.RootFS.DiffIDs[i].String(), Size: -1, limits: o, open: func(context.Context) (io.ReadCloser, error) {
			rc, _, err := in.open(file)
			return rc, err
		}}
		if rc, size, err := in.open(file); err == nil {
			rc.Close()
			l.Size = size
		}
		s.Layers = append(s.Layers, l)
	}
	return nil
}

// sameName reports whether two names mean one image: tools write docker.io/library/nginx
// where people write nginx.
func sameName(a, b string) bool {
	if a == b {
		return true
	}
	x, err := name.ParseReference(a)
	if err != nil {
		return false
	}
	y, err := name.ParseReference(b)
	return err == nil && x.Name() == y.Name()
}

// which says that an archive's image must be chosen, or chosen otherwise.
func which(n int, name string, names []string) error {
	slices.Sort(names)
	list := strings.Join(slices.Compact(names), ", ")
	switch {
	case n == 0:
		return errors.New("holds no image")
	case name == "":
		return fmt.Errorf("holds %d images; choose one by FILE:NAME among %s", n, list)
	}
	return fmt.Errorf("%s: not among %s", name, list)
}

// blobs is an OCI layout's or containerd's store of blobs.
type blobs struct {
	files
	folder string // "blobs"
}

func (b blobs) blob(_ context.Context, d v1.Hash) (io.ReadCloser, int64, error) {
	return b.open(path.Join(b.folder, d.Algorithm, d.Hex))
}

func (b blobs) manifest(ctx context.Context, d v1.Hash) ([]byte, error) { return document(ctx, b, d) }

// The annotations by which an index names its images.
const (
	refName        = "org.opencontainers.image.ref.name"
	containerdName = "io.containerd.image.name"
)

// fromLayout reads an OCI layout.
func (s *Source) fromLayout(ctx context.Context, in files, name string, o Options) error {
	raw, err := readAll(in, "index.json")
	if err != nil {
		return err
	}
	index, err := asIndex(raw)
	if err != nil || index == nil {
		return fmt.Errorf("index.json: is not an index: %w", err)
	}
	b := blobs{in, "blobs"}
	if name != "" {
		var named []v1.Descriptor
		var names []string
		for _, d := range index.Manifests {
			for _, n := range []string{d.Annotations[refName], d.Annotations[containerdName], d.Digest.String()} {
				if n != "" {
					names = append(names, n)
				}
				if sameName(n, name) {
					named = append(named, d)
				}
			}
		}
		if len(named) == 0 {
			return which(len(index.Manifests), name, names)
		}
		index.Manifests = named
	}
	d, err := s.only(index, o)
	if err != nil {
		return err
	}
	s.Annotations = map[string]string{}
	maps.Copy(s.Annotations, d.Annotations)
	return s.fromIndex(ctx, b, d, o)
}

// only gives the one image that an index holds: its only one, or the only one of the
// platform. One name may stand before several platforms.
func (s *Source) only(index *v1.IndexManifest, o Options) (v1.Descriptor, error) {
	var names []string
	images := slices.DeleteFunc(slices.Clone(index.Manifests), func(d v1.Descriptor) bool {
		return d.Annotations["vnd.docker.reference.type"] == "attestation-manifest"
	})
	different := map[v1.Hash]bool{}
	tags := map[string]bool{}
	for _, d := range images {
		n := d.Annotations[refName]
		if n == "" {
			n = d.Digest.String()
		} else {
			tags[n] = true
		}
		names = append(names, n)
		different[d.Digest] = true
	}
	if len(different) == 1 {
		return images[0], nil
	}
	if len(images) > 0 && len(tags) <= 1 {
		return choose(index, o)
	}
	return v1.Descriptor{}, which(len(different), "", names)
}

// rooted are the files of a folder.
type rooted struct{ root *os.Root }

func (r rooted) open(name string) (io.ReadCloser, int64, error) {
	f, err := r.root.Open(clean(name))
	if err != nil {
		return nil, 0, err
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("%s: is no file", name)
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, fi.Size(), nil
}

func openLayout(ctx context.Context, ref string, o Options) (*Source, error) {
	folder, name := splitName(ref)
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	s := &Source{Kind: OCILayout, Name: ref, closers: []io.Closer{root}}
	if err := s.fromLayout(ctx, rooted{root}, name, o); err != nil {
		root.Close()
		return nil, fmt.Errorf("%s: %w", folder, err)
	}
	return s, nil
}

func openFolder(_ context.Context, name string, _ Options) (*Source, error) {
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	return &Source{Kind: Folder, Name: name, Config: &v1.ConfigFile{}, Root: root, closers: []io.Closer{root}}, nil
}
