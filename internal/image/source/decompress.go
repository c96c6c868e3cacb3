package source

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

var (
	gzipMagic = []byte{0x1f, 0x8b}
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}
)

// ratioFrom is the size from which on the ratio of plain to compressed bytes is looked
// at: small files may well be all zeroes.
const ratioFrom = 256 << 20

// maxWindow is the memory that a zstd stream may ask for; the format's own
// recommendation is to support 8 MiB, and zstd's --ultra makes 128.
const maxWindow = 128 << 20

// decompress gives the plain bytes of a layer, whatever its media type says of the
// compression. The end of the stream is compared with the digest of the bytes as they
// are kept; where only that of the plain bytes is known, with that one.
func decompress(rc io.ReadCloser, digest, diffID string, ratio int64) (io.ReadCloser, error) {
	s := &stream{under: rc}
	raw := &counter{r: rc}
	plain := digest == ""
	if !plain {
		raw.h = sha256.New()
	}
	in := bufio.NewReaderSize(raw, 64<<10)
	r, done, err := inflate(in)
	if err != nil {
		rc.Close()
		return nil, err
	}
	s.done = done
	s.out = counter{r: r}
	if plain {
		s.out.h = sha256.New()
	}
	s.limit = func() error {
		if s.out.n > ratioFrom && s.out.n/max(raw.n, 1) > ratio {
			return fmt.Errorf("the compressed bytes expand %d times, over the limit of %d", s.out.n/max(raw.n, 1), ratio)
		}
		return nil
	}
	s.verify = func() error {
		want, c := diffID, &s.out
		if !plain {
			// What follows the compressed stream belongs to the blob.
			if _, err := io.Copy(io.Discard, in); err != nil {
				return err
			}
			want, c = digest, raw
		}
		if got := "sha256:" + hex.EncodeToString(c.h.Sum(nil)); got != want {
			if !strings.HasPrefix(want, "sha256:") {
				return fmt.Errorf("digest %q: want sha256", want)
			}
			return fmt.Errorf("%w: it is %s, want %s", ErrDigest, got, want)
		}
		return nil
	}
	return s, nil
}

// inflate finds out the compression by its magic number.
func inflate(in *bufio.Reader) (r io.Reader, done func(), err error) {
	head, err := in.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	switch {
	case bytes.HasPrefix(head, gzipMagic):
		r, err = gzip.NewReader(in)
		return r, func() {}, err
	case bytes.HasPrefix(head, zstdMagic):
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	}
	return in, func() {}, nil
}

// A counter counts and, where it is to, sums what passes.
type counter struct {
	r io.Reader
	n int64
	h hash.Hash
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if c.h != nil {
		c.h.Write(p[:n])
	}
	return n, err
}

type stream struct {
	under  io.Closer
	out    counter
	done   func()
	limit  func() error
	verify func() error
	err    error
}

func (s *stream) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.out.Read(p)
	if errors.Is(err, io.EOF) {
		if verr := s.verify(); verr != nil {
			err = verr
		}
	} else if err == nil {
		err = s.limit()
	}
	s.err = err
	return n, err
}

func (s *stream) Close() error {
	s.done()
	return s.under.Close()
}
