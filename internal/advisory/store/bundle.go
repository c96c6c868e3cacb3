package store

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
)

// Export writes a database as one file, a tar that zstd has compressed: the manifest, its
// signature, and the tables, or those of some shards. The same database makes the same
// bytes.
func Export(ctx context.Context, dir string, w io.Writer, keys []string) error {
	set, err := current(dir)
	if err != nil {
		return err
	}
	m, manifest, err := readManifest(set)
	if err != nil {
		return err
	}
	if err := unknownKeys(m, keys); err != nil {
		return err
	}
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	out := tar.NewWriter(z)
	put := func(name string, data []byte) error {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(data)), Mode: 0o644, Format: tar.FormatUSTAR}); err != nil {
			return err
		}
		_, err := out.Write(data)
		return err
	}
	if err := put(manifestFile, manifest); err != nil {
		return err
	}
	switch signature, err := os.ReadFile(filepath.Join(set, signatureFile)); {
	case err == nil:
		if err := put(signatureFile, signature); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	for _, t := range m.Tables {
		if !wanted(t.Key, keys) {
			continue
		}
		data, err := os.ReadFile(filepath.Join(set, t.File))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := put(t.File, data); err != nil {
			return err
		}
	}
	return errors.Join(out.Close(), z.Close())
}

const maxSignature = 64 << 10

// Import takes over a database that Export wrote. All of it is checked before it counts.
func Import(ctx context.Context, dir string, r io.Reader, o Options) (*Manifest, error) {
	z, err := zstd.NewReader(bufio.NewReaderSize(r, 64<<10), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	in := tar.NewReader(z)
	manifest, _, err := member(in, manifestFile, maxManifest)
	if err != nil {
		return nil, &Error{fmt.Errorf("bundle: %w", err), "a bundle is what `bulwark image db export` writes"}
	}
	signature, next, err := member(in, signatureFile, maxSignature)
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	a, err := arrive(ctx, dir, manifest, signature, o)
	if err != nil {
		return nil, err
	}
	defer a.abandon()
	left := map[string]Table{}
	for _, t := range a.manifest.Tables {
		left[t.File] = t
	}
	for h := next; h != nil; {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		t, ok := left[h.Name]
		if !ok || h.Typeflag != tar.TypeReg {
			return nil, fmt.Errorf("bundle: %.60q is no table of it", h.Name)
		}
		delete(left, h.Name)
		if err := a.place(t, in); err != nil {
			return nil, fmt.Errorf("bundle: %w", err)
		}
		if h, err = in.Next(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("bundle: %w", err)
		}
	}
	if _, err := z.Read(make([]byte, 1)); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	return a.finish()
}

// member reads the next file if it has the name; otherwise it returns its header, and nil
// at the end. The manifest must be there.
func member(in *tar.Reader, name string, limit int64) ([]byte, *tar.Header, error) {
	h, err := in.Next()
	if errors.Is(err, io.EOF) && name != manifestFile {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	if h.Name != name {
		if name == manifestFile {
			return nil, nil, fmt.Errorf("it begins with %.60q, want %s", h.Name, manifestFile)
		}
		return nil, h, nil
	}
	if h.Size > limit {
		return nil, nil, fmt.Errorf("%s: %d bytes", name, h.Size)
	}
	data, err := io.ReadAll(in)
	if err != nil || name == manifestFile {
		return data, nil, err
	}
	if h, err = in.Next(); errors.Is(err, io.EOF) {
		return data, nil, nil
	}
	return data, h, err
}
