package feed

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// documents are those below a path: one file, a folder with its folders, a
// zip, or a tar that is plain, gzip or zstd. Inside a folder, zips and tars are read too.
type documents struct {
	location string
	suffixes []string // of the names of documents

	yield func(name string, read func() ([]byte, error)) error
	count int
	total int64
	open  []*os.File
}

// each goes through them. The function that reads one may be called by anybody, once,
// until close.
func (d *documents) each(ctx context.Context, yield func(string, func() ([]byte, error)) error) error {
	d.yield = yield
	info, err := os.Stat(d.location)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return d.file(ctx, d.location)
	}
	return filepath.WalkDir(d.location, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !e.Type().IsRegular() {
			return err
		}
		if packed(name) || d.document(name) {
			return d.file(ctx, name)
		}
		return nil
	})
}

// document reports whether a file's name is that of a document.
func (d *documents) document(name string) bool {
	return slices.ContainsFunc(d.suffixes, func(s string) bool { return strings.HasSuffix(name, s) })
}

// packed reports whether a file's name is that of many documents.
func packed(name string) bool {
	for _, suffix := range []string{".zip", ".tar", ".tar.gz", ".tgz", ".tar.zst"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

func (d *documents) close() {
	for _, f := range d.open {
		f.Close()
	}
}

func (d *documents) take(ctx context.Context, name string, size int64, read func() ([]byte, error)) error {
	d.count++
	d.total += size
	if d.count > maxDocuments || d.total > maxTotal {
		return errTooMuch
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	return d.yield(name, read)
}

func (d *documents) file(ctx context.Context, name string) error {
	switch {
	case strings.HasSuffix(name, ".zip"):
		return d.zip(ctx, name)
	case packed(name):
		return d.tar(ctx, name)
	}
	return d.take(ctx, name, 0, func() ([]byte, error) {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in, err := unpacked(f)
		if err != nil {
			return nil, err
		}
		defer in.Close()
		return limited(in)
	})
}

// limited reads all of a document.
func limited(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	if err == nil && len(data) > maxDocument {
		err = fmt.Errorf("more than %d MB", maxDocument>>20)
	}
	return data, err
}

func (d *documents) zip(ctx context.Context, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	r, err := zip.NewReader(f, info.Size())
	if err != nil {
		f.Close()
		return fmt.Errorf("%s: %w", name, err)
	}
	// It stays open until all of its documents were read by whoever got them.
	d.open = append(d.open, f)
	r.RegisterDecompressor(zip.Deflate, func(in io.Reader) io.ReadCloser { return flate.NewReader(in) })
	for _, e := range r.File {
		if e.FileInfo().IsDir() || !d.document(e.Name) {
			continue
		}
		size := int64(min(e.UncompressedSize64, maxDocument))
		err := d.take(ctx, e.Name, size, func() ([]byte, error) {
			if e.UncompressedSize64 > maxDocument {
				return nil, fmt.Errorf("more than %d MB", maxDocument>>20)
			}
			in, err := e.Open()
			if err != nil {
				return nil, err
			}
			defer in.Close()
			// What the directory of the zip says is not believed before it is there.
			data := make([]byte, 0, min(e.UncompressedSize64+1, 1<<20))
			for {
				if len(data) == cap(data) {
					data = append(data, 0)[:len(data)]
				}
				n, err := in.Read(data[len(data):cap(data)])
				data = data[:len(data)+n]
				if errors.Is(err, io.EOF) {
					return data, nil
				} else if err != nil {
					return nil, err
				}
				if len(data) > maxDocument {
					return nil, fmt.Errorf("more than %d MB", maxDocument>>20)
				}
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *documents) tar(ctx context.Context, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	in, err := unpacked(f)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer in.Close()
	r := tar.NewReader(in)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if h.Typeflag != tar.TypeReg || !d.document(h.Name) {
			continue
		}
		if h.Size > maxDocument {
			if err := d.take(ctx, h.Name, 0, func() ([]byte, error) { return nil, fmt.Errorf("more than %d MB", maxDocument>>20) }); err != nil {
				return err
			}
			continue
		}
		data, err := limited(r)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", name, h.Name, err)
		}
		if err := d.take(ctx, h.Name, h.Size, func() ([]byte, error) { return data, nil }); err != nil {
			return err
		}
	}
}

// unpacked returns what a file holds, by how it begins: gzip, zstd, or as it is.
func unpacked(f io.Reader) (io.ReadCloser, error) {
	in := bufio.NewReaderSize(f, 64<<10)
	switch head, _ := in.Peek(4); {
	case len(head) >= 2 && head[0] == 0x1f && head[1] == 0x8b:
		return gzip.NewReader(in)
	case string(head) == "\x28\xb5\x2f\xfd":
		z, err := zstd.NewReader(in, zstd.WithDecoderMaxWindow(128<<20), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return io.NopCloser(in), nil
}
