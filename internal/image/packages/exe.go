package packages

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// An exe is the map of an executable or a shared library: what of the file is where in
// memory. Only headers are read, and of those only what finders need, so that opening
// costs some kilobytes whatever the file says of itself. (The readers of the standard
// library keep every section and, of Windows' and Apple's files, every symbol.)
type exe struct {
	r     io.ReaderAt
	order binary.ByteOrder
	word  uint64 // bytes of a pointer, 4 or 8
	elf   bool
	loads []span
	// sections are empty where they were stripped.
	sections []span
}

// A span is part of an executable.
type span struct {
	name            string
	addr, off, size uint64 // size is that in the file
	writable        bool
}

// Bounds of what executables' headers may say. A program of Go has some 40 sections, one
// of C++ whose functions have their own has thousands.
const (
	maxSegments     = 512
	maxLoadCommands = 1 << 20
	maxSectionNames = 1 << 20
)

var errNotExe = errors.New("not an executable of ELF, PE or Mach-O")

// isExe reports whether a file may be an executable or a shared library. Objects, kernel
// modules and core dumps are none.
func isExe(head []byte) bool {
	switch {
	case len(head) < 64:
		return false
	case bytes.HasPrefix(head, []byte("\x7fELF")):
		kind := head[16] // little endian
		if head[5] == 2 {
			kind = head[17]
		}
		return kind == 2 || kind == 3
	case bytes.HasPrefix(head, []byte("MZ")):
		return true
	}
	switch binary.BigEndian.Uint32(head) {
	case 0xfeedface, 0xfeedfacf, 0xcefaedfe, 0xcffaedfe:
		return true
	case 0xcafebabe: // also Java's classes, whose version is in the number's place, 45 or more
		n := binary.BigEndian.Uint32(head[4:])
		return n > 0 && n < 32
	}
	return false
}

// openExe reads the headers.
func openExe(r io.ReaderAt, size int64) (*exe, error) {
	var head [64]byte
	if _, err := r.ReadAt(head[:], 0); err != nil {
		return nil, errNotExe
	}
	switch {
	case bytes.HasPrefix(head[:], []byte("\x7fELF")):
		return openELF(r, head[:])
	case bytes.HasPrefix(head[:], []byte("MZ")):
		return openPE(r, head[:])
	}
	if binary.BigEndian.Uint32(head[:]) == 0xcafebabe {
		// Several machines' in one: what the first is made of, the others are.
		var arch [20]byte
		if _, err := r.ReadAt(arch[:], 8); err != nil {
			return nil, errNotExe
		}
		off, n := int64(binary.BigEndian.Uint32(arch[8:])), int64(binary.BigEndian.Uint32(arch[12:]))
		if off+n > size {
			return nil, fmt.Errorf("universal binary: %w", io.ErrUnexpectedEOF)
		}
		r = io.NewSectionReader(r, off, n)
		if _, err := r.ReadAt(head[:], 0); err != nil {
			return nil, errNotExe
		}
	}
	return openMachO(r, head[:])
}

func openELF(r io.ReaderAt, head []byte) (*exe, error) {
	x := &exe{r: r, elf: true, word: 8, order: binary.LittleEndian}
	if head[4] == 1 {
		x.word = 4
	}
	if head[5] == 2 {
		x.order = binary.BigEndian
	}
	u16 := func(b []byte, at64, at32 int) int { return int(x.order.Uint16(b[x.pick(at64, at32):])) }
	u32 := func(b []byte, at64, at32 int) uint32 { return x.order.Uint32(b[x.pick(at64, at32):]) }
	word := func(b []byte, at64, at32 int) uint64 { return x.pointer(b[x.pick(at64, at32):]) }
	table := func(what string, off uint64, count, size, want int) ([]byte, error) {
		if count == 0 || off == 0 {
			return nil, nil
		}
		if size != want {
			return nil, fmt.Errorf("elf: %s of %d bytes, want %d", what, size, want)
		}
		b := make([]byte, count*size)
		if _, err := r.ReadAt(b, int64(off)); err != nil {
			return nil, fmt.Errorf("elf: reading %ss: %w", what, err)
		}
		return b, nil
	}

	count, size := u16(head, 56, 44), u16(head, 54, 42)
	if count > maxSegments {
		return nil, fmt.Errorf("elf: %d segments, more than the %d that are read", count, maxSegments)
	}
	b, err := table("segment", word(head, 32, 28), count, size, x.pick(56, 32))
	if err != nil {
		return nil, err
	}
	for ; len(b) > 0; b = b[size:] {
		if x.order.Uint32(b) == 1 { // PT_LOAD
			x.loads = append(x.loads, span{
				addr: word(b, 16, 8), off: word(b, 8, 4), size: word(b, 32, 16), writable: u32(b, 4, 24)&2 != 0,
			})
		}
	}

	count, size = u16(head, 60, 48), u16(head, 58, 46)
	b, err = table("section", word(head, 40, 32), count, size, x.pick(64, 40))
	if err != nil || b == nil {
		return x, err
	}
	names := u16(head, 62, 50)
	if names >= count {
		return x, nil
	}
	at := b[names*size:]
	text := make([]byte, min(word(at, 32, 20), maxSectionNames))
	n, err := r.ReadAt(text, int64(word(at, 24, 16)))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("elf: reading sections' names: %w", err)
	}
	text = text[:n]
	for ; len(b) > 0; b = b[size:] {
		if x.order.Uint32(b[4:]) == 8 { // SHT_NOBITS: memory only
			continue
		}
		x.sections = append(x.sections, span{
			name: cString(text, x.order.Uint32(b)), addr: word(b, 16, 12), off: word(b, 24, 16), size: word(b, 32, 20),
			writable: word(b, 8, 8)&1 != 0,
		})
	}
	return x, nil
}

func openPE(r io.ReaderAt, head []byte) (*exe, error) {
	x := &exe{r: r, order: binary.LittleEndian, word: 8}
	start := int64(binary.LittleEndian.Uint32(head[0x3c:]))
	var b [24 + 32]byte
	if _, err := r.ReadAt(b[:], start); err != nil || string(b[:4]) != "PE\x00\x00" {
		return nil, errNotExe
	}
	count, optional := int(x.order.Uint16(b[6:])), int64(x.order.Uint16(b[20:]))
	if count > 96 { // what Windows loads
		return nil, fmt.Errorf("pe: %d sections, more than the 96 that are allowed", count)
	}
	base := x.order.Uint64(b[24+24:])
	if x.order.Uint16(b[24:]) == 0x10b {
		x.word, base = 4, uint64(x.order.Uint32(b[24+28:]))
	}
	table := make([]byte, count*40)
	if _, err := r.ReadAt(table, start+24+optional); err != nil {
		return nil, fmt.Errorf("pe: reading sections: %w", err)
	}
	for ; len(table) > 0; table = table[40:] {
		x.loads = append(x.loads, span{
			name:     cString(table[:8], 0),
			addr:     base + uint64(x.order.Uint32(table[12:])),
			off:      uint64(x.order.Uint32(table[20:])),
			size:     uint64(x.order.Uint32(table[16:])),
			writable: x.order.Uint32(table[36:])&0x80000000 != 0,
		})
	}
	x.sections = x.loads
	return x, nil
}

func openMachO(r io.ReaderAt, head []byte) (*exe, error) {
	x := &exe{r: r, order: binary.LittleEndian, word: 8}
	switch binary.BigEndian.Uint32(head) {
	case 0xfeedface:
		x.order, x.word = binary.BigEndian, 4
	case 0xfeedfacf:
		x.order = binary.BigEndian
	case 0xcefaedfe:
		x.word = 4
	case 0xcffaedfe:
	default:
		return nil, errNotExe
	}
	size := x.order.Uint32(head[20:])
	if size > maxLoadCommands {
		return nil, fmt.Errorf("mach-o: %d bytes of load commands, more than the %d that are read", size, maxLoadCommands)
	}
	b := make([]byte, size)
	if _, err := r.ReadAt(b, int64(x.pick(32, 28))); err != nil {
		return nil, fmt.Errorf("mach-o: reading load commands: %w", err)
	}
	for len(b) >= 8 {
		cmd, n := x.order.Uint32(b), x.order.Uint32(b[4:])
		if n < 8 || uint64(n) > uint64(len(b)) {
			return nil, errors.New("mach-o: a load command that is longer than all")
		}
		x.segment(cmd, b[:n])
		b = b[n:]
	}
	return x, nil
}

// segment reads a load command of Mach-O that maps something, and ignores others.
func (x *exe) segment(cmd uint32, b []byte) {
	header := x.pick(72, 56)
	if want := uint32(x.pick(0x19, 1)); cmd != want || len(b) < header { // LC_SEGMENT_64, LC_SEGMENT
		return
	}
	s := span{
		name:     cString(b[8:24], 0),
		addr:     x.pointer(b[24:]),
		off:      x.pointer(b[x.pick(40, 32):]),
		size:     x.pointer(b[x.pick(48, 36):]),
		writable: x.order.Uint32(b[x.pick(60, 44):])&2 != 0,
	}
	x.loads = append(x.loads, s)
	each := x.pick(80, 68)
	for b = b[header:]; len(b) >= each; b = b[each:] {
		x.sections = append(x.sections, span{
			name:     cString(b[:16], 0),
			addr:     x.pointer(b[32:]),
			size:     x.pointer(b[x.pick(40, 36):]),
			off:      uint64(x.order.Uint32(b[x.pick(48, 40):])),
			writable: s.writable,
		})
	}
}

func (x *exe) pick(of64, of32 int) int {
	if x.word == 4 {
		return of32
	}
	return of64
}

func (x *exe) pointer(b []byte) uint64 {
	if x.word == 4 {
		return uint64(x.order.Uint32(b))
	}
	return x.order.Uint64(b)
}

// section returns the first that has one of the names.
func (x *exe) section(names ...string) (span, bool) {
	for _, name := range names {
		for _, s := range x.sections {
			if s.name == name {
				return s, true
			}
		}
	}
	return span{}, false
}

// file returns what of the file a span is.
func (x *exe) file(s span) *io.SectionReader {
	if s.off > 1<<62 || s.size > 1<<62 {
		return io.NewSectionReader(x.r, 0, 0)
	}
	return io.NewSectionReader(x.r, int64(s.off), int64(s.size))
}

// from returns what follows an address in memory, up to the end of what is mapped there.
func (x *exe) from(addr uint64) (*io.SectionReader, bool) {
	for _, s := range x.loads {
		if d := addr - s.addr; addr >= s.addr && d < s.size && s.off < 1<<62 && s.size < 1<<62 {
			return io.NewSectionReader(x.r, int64(s.off+d), int64(s.size-d)), true
		}
	}
	return nil, false
}

// search calls found with each address at which a span holds a pattern, until it says
// that it has enough. At most limit bytes are looked at.
func (x *exe) search(s span, limit uint64, pattern []byte, found func(addr uint64) (enough bool)) {
	const chunk = 256 << 10
	s.size = min(s.size, limit)
	r := x.file(s)
	buf := make([]byte, min(chunk, s.size))
	for at := int64(0); at < r.Size(); {
		n, err := r.ReadAt(buf, at)
		for b, base := buf[:n], at; ; {
			i := bytes.Index(b, pattern)
			if i < 0 {
				break
			}
			if found(s.addr + uint64(base) + uint64(i)) {
				return
			}
			b, base = b[i+1:], base+int64(i)+1
		}
		if err != nil || n < len(buf) {
			return
		}
		at += int64(n - len(pattern) + 1)
	}
}

// A window reads parts of something long that mostly lie one behind the other.
type window struct {
	r   *io.SectionReader
	at  int64
	buf []byte
}

const windowSize = 64 << 10

// from returns at least n bytes from an offset on, less only at the end.
func (w *window) from(off int64, n int) []byte {
	if d := off - w.at; d >= 0 && d+int64(n) <= int64(len(w.buf)) {
		return w.buf[d:]
	}
	if off < 0 || off >= w.r.Size() {
		return nil
	}
	if cap(w.buf) < max(n, windowSize) {
		w.buf = make([]byte, max(n, windowSize))
	}
	got, _ := w.r.ReadAt(w.buf[:cap(w.buf)], off)
	w.at, w.buf = off, w.buf[:got]
	return w.buf
}

// Pages read short parts of something long from all over it. What was read is kept, at most
// a page in each slot: 4 MB.
type pages struct {
	r     *io.SectionReader
	slots [64]struct {
		page int64 // counted from 1
		buf  []byte
	}
}

const (
	pageSize = 64 << 10
	pageMore = 32 // of the next page, so that what is short lies in one
)

// from returns at least pageMore bytes from an offset on, less only at the end.
func (p *pages) from(off int64) []byte {
	if off < 0 || off >= p.r.Size() {
		return nil
	}
	page := off / pageSize
	s := &p.slots[page%int64(len(p.slots))]
	if s.page != page+1 {
		if s.buf == nil {
			s.buf = make([]byte, pageSize+pageMore)
		}
		n, _ := p.r.ReadAt(s.buf[:pageSize+pageMore], page*pageSize)
		s.page, s.buf = page+1, s.buf[:n]
	}
	if off -= page * pageSize; off < int64(len(s.buf)) {
		return s.buf[off:]
	}
	return nil
}

// cString returns the text at an offset, up to the next zero.
func cString(b []byte, off uint32) string {
	if uint64(off) >= uint64(len(b)) {
		return ""
	}
	s, _, _ := strings.Cut(string(b[off:min(uint64(off)+256, uint64(len(b)))]), "\x00")
	return s
}
