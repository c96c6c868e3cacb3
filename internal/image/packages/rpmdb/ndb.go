package rpmdb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The format of ndb is that of rpm's lib/backend/ndb/rpmpkg.c: a header of 32 bytes,
// slots of 16 bytes in pages of 4096 which begin in the first page behind the header, and
// blobs at multiples of 16 bytes.

const (
	ndbPage  = 4096
	ndbBlock = 16
)

func (p *pages) ndb(head []byte, yield func([]byte, error) bool) error {
	le := binary.LittleEndian
	if version := le.Uint32(head[4:]); version != 0 {
		return fmt.Errorf("ndb: version %d, want 0", version)
	}
	slots := int64(le.Uint32(head[12:])) * ndbPage
	if slots > p.size {
		return errors.New("ndb: more slots than the file holds")
	}
	// What is read in all: a blob has one slot, and blobs do not overlap.
	left := p.size
	page := make([]byte, ndbPage)
	var buffer []byte
	for at := int64(0); at < slots; at += ndbPage {
		if _, err := io.ReadFull(io.NewSectionReader(p.r, at, ndbPage), page); err != nil {
			return err
		}
		from := 0
		if at == 0 {
			from = 2 * ndbBlock
		}
		for s := page[from:]; len(s) > 0; s = s[ndbBlock:] {
			if string(s[:4]) != "Slot" {
				return errors.New("ndb: damaged slot")
			}
			pkg := le.Uint32(s[4:])
			if pkg == 0 {
				continue // free
			}
			blob, err := p.ndbBlob(pkg, int64(le.Uint32(s[8:]))*ndbBlock, int64(le.Uint32(s[12:]))*ndbBlock, &buffer)
			if left -= int64(len(blob)); left < 0 {
				return errors.New("ndb: packages overlap")
			}
			if !yield(blob, err) {
				return errStop
			}
		}
	}
	return nil
}

// ndbBlob reads the blob of a package, which takes up to most bytes with its head of 16
// and its tail of 12.
func (p *pages) ndbBlob(pkg uint32, at, most int64, buffer *[]byte) ([]byte, error) {
	var head [16]byte
	if _, err := p.r.ReadAt(head[:], at); err != nil {
		return nil, fmt.Errorf("ndb: package %d: %w", pkg, err)
	}
	le := binary.LittleEndian
	size := int64(le.Uint32(head[12:]))
	if string(head[:4]) != "BlbS" || le.Uint32(head[4:]) != pkg || size > most-28 || at+16+size > p.size {
		return nil, fmt.Errorf("ndb: package %d: its blob is damaged", pkg)
	}
	if size > maxHeader {
		return nil, fmt.Errorf("ndb: package %d: a header of %d bytes, more than the %d that are read", pkg, size, maxHeader)
	}
	if int64(cap(*buffer)) < size {
		*buffer = make([]byte, size)
	}
	b := (*buffer)[:size]
	if _, err := io.ReadFull(io.NewSectionReader(p.r, at+16, size), b); err != nil {
		return nil, fmt.Errorf("ndb: package %d: %w", pkg, err)
	}
	return b, nil
}
