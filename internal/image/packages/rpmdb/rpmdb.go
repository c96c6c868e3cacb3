// Package rpmdb reads the databases in which rpm notes what is installed: SQLite, rpm's
// own ndb, and Berkeley DB's hash. It reads in place, from whatever can be read at an
// offset, without rpm, without SQLite and without a temporary file; of each format it
// knows as much as it takes to find the headers. It reads strangers' bytes: nothing is
// believed to end, no page is read twice, and no header may be larger than rpm's are.
package rpmdb

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
)

const (
	// maxHeader is ten times the largest headers in use, of packages with some tens of
	// thousands of files.
	maxHeader = 64 << 20
	// maxPages bounds the note of pages that were read: 1 GiB in the smallest pages.
	maxPages = 2 << 20
)

// errFormat is a database of no known kind.
var errFormat = errors.New("no database of rpm's: neither SQLite, ndb nor Berkeley DB hash")

// Headers are those of all packages in a database, which Parse reads; each is good until
// the next. An error is about one package where more follow, and else about all that is
// left.
func Headers(r io.ReaderAt, size int64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		f := &pages{r: r, size: size}
		head := make([]byte, 72)
		if n, err := r.ReadAt(head[:min(size, 72)], 0); err != nil && !errors.Is(err, io.EOF) {
			yield(nil, err)
			return
		} else if n < len(head) {
			yield(nil, errFormat)
			return
		}
		var err error
		switch {
		case bytes.HasPrefix(head, []byte("SQLite format 3\x00")):
			err = f.sqlite(yield)
		case bytes.HasPrefix(head, []byte("RpmP")):
			err = f.ndb(head, yield)
		case order(head) != nil:
			err = f.bdb(head, yield)
		default:
			err = errFormat
		}
		if err != nil && !errors.Is(err, errStop) {
			yield(nil, err)
		}
	}
}

// errStop ends the reading for a caller who wants no more.
var errStop = errors.New("stop")

// Pages reads a file in pages of one size, numbered from 0, each at most once.
type pages struct {
	r    io.ReaderAt
	size int64
	page int64 // bytes
	seen []uint64
}

// of sets the size of a page.
func (p *pages) of(page int64) error {
	n := p.size/page + 1
	if n > maxPages {
		return fmt.Errorf("%d pages, more than the %d that are read", n, maxPages)
	}
	p.page, p.seen = page, make([]uint64, n/64+1)
	return nil
}

// read fills b with a page, which is to be one that was not read before: no format has
// one twice, and a circle would have no end.
func (p *pages) read(n uint32, b []byte) error {
	at := int64(n) * p.page
	if at+p.page > p.size {
		return fmt.Errorf("page %d is beyond the file's end", n)
	}
	if p.seen[n/64]&(1<<(n%64)) != 0 {
		return fmt.Errorf("page %d is in two places", n)
	}
	p.seen[n/64] |= 1 << (n % 64)
	if _, err := io.ReadFull(io.NewSectionReader(p.r, at, p.page), b[:p.page]); err != nil {
		return fmt.Errorf("page %d: %w", n, err)
	}
	return nil
}
