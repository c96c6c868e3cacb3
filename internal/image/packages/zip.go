package packages

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A zip archive's directory is walked in place: an archive may say that it has tens of
// millions of members, and archive/zip would keep each.

// maxMembers is how many members of one archive are looked at. Archives of Java with all
// that a large application needs have 200,000.
const maxMembers = 2 << 20

var errZip = errors.New("zip archive: does not have the form of one")

// isZip reports whether a file begins as an archive does: with a member, with the end of
// an empty one, or with the script that makes an archive of Java executable.
func isZip(head []byte) bool {
	return bytes.HasPrefix(head, []byte("PK\x03\x04")) || bytes.HasPrefix(head, []byte("PK\x05\x06")) || bytes.HasPrefix(head, []byte("#!"))
}

// A member is a file of a zip archive. Its name is not to be used after the function that
// it was given to returns.
type member struct {
	name   []byte
	size   uint64 // as the directory says, which may be a lie
	packed uint64
	method uint16
	offset int64
	r      io.ReaderAt
	end    int64
}

// eachMember calls visit with each member in the order of the directory, until it returns
// an error.
func eachMember(ctx context.Context, r io.ReaderAt, size int64, visit func(*member) error) error {
	dir, offset, err := zipDirectory(r, size)
	if err != nil {
		return err
	}
	w := window{r: io.NewSectionReader(r, dir.off, dir.size)}
	const fixed = 46
	for at, n := int64(0), 0; at < dir.size; n++ {
		if n == maxMembers {
			return fmt.Errorf("zip archive: more than %d members", maxMembers)
		}
		if n%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		b := w.from(at, fixed)
		if len(b) < fixed || string(b[:4]) != "PK\x01\x02" {
			return errZip
		}
		u16 := func(i int) int { return int(binary.LittleEndian.Uint16(b[i:])) }
		u32 := func(i int) uint64 { return uint64(binary.LittleEndian.Uint32(b[i:])) }
		name, extra, comment := u16(28), u16(30), u16(32)
		if b = w.from(at, fixed+name+extra); len(b) < fixed+name+extra {
			return errZip
		}
		m := &member{
			name: b[fixed : fixed+name], method: uint16(u16(10)),
			packed: u32(20), size: u32(24), r: r, end: size,
		}
		start := u32(42)
		zip64(b[fixed+name:fixed+name+extra], &m.size, &m.packed, &start)
		if start > 1<<62 {
			return errZip
		}
		m.offset = int64(start) + offset
		if err := visit(m); err != nil {
			return err
		}
		at += int64(fixed + name + extra + comment)
	}
	return nil
}

type zipPart struct{ off, size int64 }

// zipDirectory finds the directory by the record that ends an archive, and by how many
// bytes everything is later than the archive says: what stands before it is no part of it.
func zipDirectory(r io.ReaderAt, size int64) (dir zipPart, offset int64, err error) {
	const fixed, longest = 22, 22 + 1<<16
	n := min(size, longest)
	tail := make([]byte, n)
	if got, err := r.ReadAt(tail, size-n); int64(got) < n {
		return dir, 0, fmt.Errorf("zip archive: %w", err)
	}
	i := -1
	for at := len(tail) - fixed; at >= 0; at-- {
		if string(tail[at:at+4]) == "PK\x05\x06" && at+fixed+int(binary.LittleEndian.Uint16(tail[at+20:])) <= len(tail) {
			i = at
			break
		}
	}
	if i < 0 {
		return dir, 0, errZip
	}
	end := size - n + int64(i)
	length, start := uint64(binary.LittleEndian.Uint32(tail[i+12:])), uint64(binary.LittleEndian.Uint32(tail[i+16:]))
	if length == 1<<32-1 || start == 1<<32-1 || binary.LittleEndian.Uint16(tail[i+10:]) == 1<<16-1 {
		// A record of larger numbers stands before, and a pointer to it.
		var locator, record [56]byte
		if end >= 20 {
			if n, _ := r.ReadAt(locator[:20], end-20); n == 20 && string(locator[:4]) == "PK\x06\x07" {
				at := binary.LittleEndian.Uint64(locator[8:])
				if at > uint64(end) {
					return dir, 0, errZip
				}
				if n, _ := r.ReadAt(record[:], int64(at)); n < len(record) || string(record[:4]) != "PK\x06\x06" {
					return dir, 0, errZip
				}
				length, start = binary.LittleEndian.Uint64(record[40:]), binary.LittleEndian.Uint64(record[48:])
				end = int64(at)
			}
		}
	}
	if length > uint64(end) || start > uint64(end)-length {
		return dir, 0, errZip
	}
	dir = zipPart{end - int64(length), int64(length)}
	return dir, dir.off - int64(start), nil
}

// zip64 takes from a member's extra fields the numbers that did not fit.
func zip64(extra []byte, numbers ...*uint64) {
	for len(extra) >= 4 {
		id, n := binary.LittleEndian.Uint16(extra), int(binary.LittleEndian.Uint16(extra[2:]))
		extra = extra[4:]
		if n > len(extra) {
			return
		}
		if b := extra[:n]; id == 1 {
			for _, p := range numbers {
				if *p == 1<<32-1 && len(b) >= 8 {
					*p, b = binary.LittleEndian.Uint64(b), b[8:]
				}
			}
			return
		}
		extra = extra[n:]
	}
}

// open returns what the member holds, as it is stored; stored says whether that is what it
// is.
func (m *member) open() (r *io.SectionReader, stored bool, err error) {
	var b [30]byte
	if n, _ := m.r.ReadAt(b[:], m.offset); n < len(b) || string(b[:4]) != "PK\x03\x04" {
		return nil, false, errZip
	}
	start := m.offset + 30 + int64(binary.LittleEndian.Uint16(b[26:])) + int64(binary.LittleEndian.Uint16(b[28:]))
	if start > m.end || m.packed > uint64(m.end-start) {
		return nil, false, errZip
	}
	r = io.NewSectionReader(m.r, start, int64(m.packed))
	switch m.method {
	case 0:
		return r, true, nil
	case 8:
		return r, false, nil
	}
	return nil, false, fmt.Errorf("zip archive: a member is packed by method %d, want 0 or 8", m.method)
}

// read unpacks a member of at most limit bytes.
func (m *member) read(limit int64) ([]byte, error) {
	packed, stored, err := m.open()
	if err != nil {
		return nil, err
	}
	r := io.Reader(packed)
	if !stored {
		r = flate.NewReader(packed)
	}
	var b bytes.Buffer
	n, err := b.ReadFrom(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("zip archive: unpacking a member: %w", err)
	}
	if n > limit {
		return nil, fmt.Errorf("%w of %d bytes", errMemberTooLarge, limit)
	}
	return b.Bytes(), nil
}

var errMemberTooLarge = errors.New("zip archive: a member is larger than the limit")
