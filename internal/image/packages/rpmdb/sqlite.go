package rpmdb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// SQLite's file format is described at sqlite.org/fileformat2.html; rpm's table is made
// in rpm's lib/backend/sqlite.c: Packages(hnum INTEGER PRIMARY KEY, blob BLOB).

const (
	leafTable     = 0x0d
	interiorTable = 0x05
	// maxDepth is SQLite's own bound for the depth of a tree (BTCURSOR_MAX_DEPTH).
	maxDepth = 20
)

// errTable is a file that is no tree of rows where one ought to be.
var errTable = errors.New("SQLite: damaged page")

type sqliteFile struct {
	*pages
	usable int // bytes of a page
	buffer []byte
}

func (p *pages) sqlite(yield func([]byte, error) bool) error {
	var head [100]byte
	if _, err := p.r.ReadAt(head[:], 0); err != nil {
		return err
	}
	page := int64(binary.BigEndian.Uint16(head[16:]))
	if page == 1 {
		page = 65536
	}
	if page < 512 || page&(page-1) != 0 {
		return fmt.Errorf("SQLite: pages of %d bytes", page)
	}
	if err := p.of(page); err != nil {
		return err
	}
	s := &sqliteFile{pages: p, usable: int(page) - int(head[20])}
	if s.usable < 480 { // the format's own bound
		return errTable
	}
	root := uint32(0)
	err := s.rows(1, 0, func(record []byte) error {
		// type, name, tbl_name, rootpage, sql
		values, err := columns(record, 4)
		if err != nil {
			return err
		}
		if string(values[0].bytes) == "table" && strings.EqualFold(string(values[1].bytes), "Packages") {
			root = uint32(values[3].integer())
		}
		return nil
	}, func(err error) error { return err })
	if err != nil {
		return err
	}
	if root < 2 {
		return errors.New("SQLite: no table Packages")
	}
	row := func(blob []byte, err error) error {
		if !yield(blob, err) {
			return errStop
		}
		return nil
	}
	return s.rows(root, 0, func(record []byte) error {
		values, err := columns(record, 2)
		if err == nil && !values[1].isBlob() {
			err = errTable
		}
		if err != nil {
			return row(nil, err)
		}
		return row(values[1].bytes, nil)
	}, func(err error) error { return row(nil, err) })
}

// rows walks a tree of rows. A row that cannot be read goes to broken.
func (s *sqliteFile) rows(page uint32, depth int, each func([]byte) error, broken func(error) error) error {
	if page == 0 || depth > maxDepth {
		return errTable
	}
	b := make([]byte, s.page)
	if err := s.read(page-1, b); err != nil { // SQLite counts from 1
		return err
	}
	b = b[:s.usable]
	h := b
	if page == 1 {
		h = b[100:]
	}
	kind, cells := h[0], int(binary.BigEndian.Uint16(h[3:]))
	size := 8
	if kind == interiorTable {
		size = 12
	} else if kind != leafTable {
		return errTable
	}
	if size+2*cells > len(h) {
		return errTable
	}
	for i := range cells {
		at := int(binary.BigEndian.Uint16(h[size+2*i:]))
		if at+4 > len(b) {
			return errTable
		}
		if kind == interiorTable {
			if err := s.rows(binary.BigEndian.Uint32(b[at:]), depth+1, each, broken); err != nil {
				return err
			}
			continue
		}
		record, err := s.payload(b[at:])
		if err != nil {
			err = broken(err)
		} else {
			err = each(record)
		}
		if err != nil {
			return err
		}
	}
	if kind == interiorTable {
		return s.rows(binary.BigEndian.Uint32(h[8:]), depth+1, each, broken)
	}
	return nil
}

// payload is the record of a leaf's cell, with what of it is on further pages.
func (s *sqliteFile) payload(cell []byte) ([]byte, error) {
	length, n := varint(cell)
	_, m := varint(cell[n:]) // the row's number
	if n == 0 || m == 0 {
		return nil, errTable
	}
	if length > maxHeader {
		return nil, fmt.Errorf("SQLite: a row of %d bytes, more than the %d that are read", length, maxHeader)
	}
	cell = cell[n+m:]
	total := int(length)
	local := total
	if most := s.usable - 35; total > most {
		least := (s.usable-12)*32/255 - 23
		local = least + (total-least)%(s.usable-4)
		if local > most {
			local = least
		}
	}
	if local == total {
		if total > len(cell) {
			return nil, errTable
		}
		return cell[:total], nil
	}
	if local+4 > len(cell) {
		return nil, errTable
	}
	// Not more is set aside than the file can hold.
	if int64(total) > s.size {
		return nil, errTable
	}
	record := append(s.buffer[:0], cell[:local]...)
	next := binary.BigEndian.Uint32(cell[local:])
	b := make([]byte, s.page)
	for len(record) < total {
		if next == 0 {
			return nil, errTable
		}
		if err := s.read(next-1, b); err != nil {
			return nil, err
		}
		next = binary.BigEndian.Uint32(b)
		record = append(record, b[4:min(s.usable, 4+total-len(record))]...)
	}
	s.buffer = record
	return record, nil
}

// A value is one column of a record.
type value struct {
	kind  uint64
	bytes []byte
}

func (v value) isBlob() bool { return v.kind >= 12 && v.kind%2 == 0 }

func (v value) integer() int64 {
	switch v.kind {
	case 9:
		return 1
	case 1, 2, 3, 4, 5, 6:
		n := int64(0)
		for _, b := range v.bytes {
			n = n<<8 | int64(b)
		}
		return n // page numbers are not negative
	}
	return 0
}

// columns are the first n of a record.
func columns(record []byte, n int) ([]value, error) {
	header, at := varint(record)
	if at == 0 || header > uint64(len(record)) {
		return nil, errTable
	}
	kinds, body := record[:header], record[header:]
	var values []value
	for len(values) < n {
		if at >= len(kinds) {
			return nil, errTable
		}
		kind, m := varint(kinds[at:])
		if m == 0 {
			return nil, errTable
		}
		at += m
		size := uint64(0)
		switch {
		case kind >= 12:
			size = (kind - 12) / 2 // a text's is odd, and one shorter than the rounding takes off
		case kind == 10 || kind == 11:
			return nil, errTable
		default:
			size = [...]uint64{0, 1, 2, 3, 4, 6, 8, 8, 0, 0}[kind]
		}
		if size > uint64(len(body)) {
			return nil, errTable
		}
		values = append(values, value{kind, body[:size]})
		body = body[size:]
	}
	return values, nil
}

// varint reads SQLite's: up to nine bytes, seven bits in each with the highest first,
// eight in the ninth. It returns how many bytes it took, 0 where there are too few.
func varint(b []byte) (uint64, int) {
	n := uint64(0)
	for i := range min(len(b), 9) {
		if i == 8 {
			return n<<8 | uint64(b[i]), 9
		}
		n = n<<7 | uint64(b[i]&0x7f)
		if b[i] < 0x80 {
			return n, i + 1
		}
	}
	return 0, 0
}
