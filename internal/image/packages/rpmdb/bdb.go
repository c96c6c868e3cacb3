package rpmdb

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Berkeley DB's hash access method, as rpm used it up to 4.15: pages with pairs of items,
// where an item larger than a page can hold is on a chain of others. Names and offsets
// are those of libdb's src/dbinc/db_page.h.

const (
	bdbMagic       = 0x061561
	bdbPageHeader  = 26
	pageHashOld    = 2 // P_HASH_UNSORTED, before 4.6
	pageOverflow   = 7
	pageHashMeta   = 8
	pageHash       = 13
	itemInPlace    = 1 // H_KEYDATA
	itemOffPage    = 3 // H_OFFPAGE
	itemOffPageLen = 12
)

// order is the byte order of a database, which is that of the machine that made it; nil
// where it is none.
func order(head []byte) binary.ByteOrder {
	switch {
	case binary.LittleEndian.Uint32(head[12:]) == bdbMagic:
		return binary.LittleEndian
	case binary.BigEndian.Uint32(head[12:]) == bdbMagic:
		return binary.BigEndian
	}
	return nil
}

type bdbFile struct {
	*pages
	binary.ByteOrder
	buffer []byte
}

func (p *pages) bdb(head []byte, yield func([]byte, error) bool) error {
	f := &bdbFile{pages: p, ByteOrder: order(head)}
	page := int64(f.Uint32(head[20:]))
	if page < 512 || page > 65536 || page&(page-1) != 0 {
		return fmt.Errorf("berkeley DB: pages of %d bytes", page)
	}
	if head[24] != 0 || head[25] != pageHashMeta {
		return errors.New("berkeley DB: encrypted, or no hash")
	}
	if err := p.of(page); err != nil {
		return err
	}
	// Every page is looked at once for what it is; only those of chains are marked as read.
	last := min(int64(f.Uint32(head[32:])), p.size/page-1)
	b := make([]byte, page)
	for n := int64(1); n <= last; n++ {
		if _, err := p.r.ReadAt(b, n*page); err != nil {
			return fmt.Errorf("page %d: %w", n, err)
		}
		if kind := b[25]; kind != pageHash && kind != pageHashOld {
			continue
		}
		if err := f.items(b, yield); errors.Is(err, errStop) {
			return err
		} else if err != nil && !yield(nil, fmt.Errorf("page %d: %w", n, err)) {
			return errStop
		}
	}
	return nil
}

// items yields the values on a page: every second item. Items are laid out from the
// page's end towards its beginning, so that each ends where the one before it begins.
func (f *bdbFile) items(b []byte, yield func([]byte, error) bool) error {
	n := int(f.Uint16(b[20:]))
	if n%2 != 0 || bdbPageHeader+2*n > len(b) {
		return errors.New("berkeley DB: damaged page")
	}
	end := len(b)
	for i := range n {
		at := int(f.Uint16(b[bdbPageHeader+2*i:]))
		if at >= end || at < bdbPageHeader+2*n {
			return errors.New("berkeley DB: damaged page")
		}
		item := b[at:end]
		end = at
		if i%2 == 0 {
			continue // a key: the header's number
		}
		var blob []byte
		var err error
		switch {
		case item[0] == itemOffPage && len(item) >= itemOffPageLen:
			blob, err = f.chain(f.Uint32(item[4:]), f.Uint32(item[8:]))
		case item[0] == itemInPlace && len(item) > 1+4:
			blob = item[1:]
		default:
			continue // the highest number in use is a value of four bytes
		}
		if !yield(blob, err) {
			return errStop
		}
	}
	return nil
}

// chain reads an item that is kept apart.
func (f *bdbFile) chain(page, length uint32) ([]byte, error) {
	if length > maxHeader || int64(length) > f.size {
		return nil, fmt.Errorf("berkeley DB: an item of %d bytes, more than the file or the %d that are read", length, maxHeader)
	}
	item := f.buffer[:0]
	b := make([]byte, f.page)
	for len(item) < int(length) {
		if page == 0 {
			return nil, errors.New("berkeley DB: an item ends before its length")
		}
		if err := f.read(page, b); err != nil {
			return nil, err
		}
		here := int(f.Uint16(b[22:]))
		if b[25] != pageOverflow || here == 0 || bdbPageHeader+here > len(b) {
			return nil, errors.New("berkeley DB: damaged chain")
		}
		item = append(item, b[bdbPageHeader:bdbPageHeader+here]...)
		page = f.Uint32(b[16:])
	}
	f.buffer = item
	return item[:length], nil
}
