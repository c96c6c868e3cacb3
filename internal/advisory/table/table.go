// Package table keeps advisories in files that are read where they lie: immutable,
// sorted, mapped into memory, and asked by name without decoding the rest. The same
// content makes the same bytes, in whatever order it came, so that a table can be signed,
// and pushed and pulled by its digest. There is no lock: whoever has a table open keeps
// reading it when it is replaced by another file.
//
// It knows nothing of feeds, of folders, or of how old data may be.
//
// A file is, in this order, with integers little-endian:
//
//	header   64 bytes: magic with the schema's number, kind, counts, where the parts begin
//	info     JSON: what the table says of itself
//	blocks   where each block of strings begins, 4 bytes each
//	strings  each once, sorted; blocks of sixteen, in which each says how many bytes it
//	         shares with the one before
//	keys     the string's number and where its rows begin, 4 bytes each, sorted
//	pool     what many rows have in common, each once
//	rows     for each key
//	SHA-256  of all that is before it
package table

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sort"
)

// Schema is the number of the format; a table of another is refused.
const Schema = 1

const (
	magic      = "bulwadv\x01" // the last byte is Schema
	headerSize = 64
	blockSize  = 16 // strings that lean on one another

	// MaxSize is the largest table, in bytes. The largest that is known, npm's with all
	// its malicious packages, has a twentieth of it.
	MaxSize = 1 << 30
	// maxString is the longest string. Nothing in the feeds comes near.
	maxString = 32 << 10
	// maxAnswer is how much memory one answer may take, in bytes: a few bytes of a hostile
	// file can ask for any amount by naming the same part again and again.
	maxAnswer = 64 << 20
)

// A kind is what a table holds.
type kind uint32

const (
	kindRecords kind = 1 + iota
	kindEnrichment
	kindDetails
)

func (k kind) String() string {
	switch k {
	case kindRecords:
		return "advisories"
	case kindEnrichment:
		return "enrichment"
	case kindDetails:
		return "details"
	}
	return fmt.Sprintf("kind %d", uint32(k))
}

// ErrCorrupt is in the chain of every error about a file's bytes.
var ErrCorrupt = errors.New("not a table, or damaged")

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrCorrupt}, args...)...)
}

// The parts that the header points to. Each ends where the next begins.
const (
	partInfo = iota
	partBlocks
	partStrings
	partKeys
	partPool
	partRows
	partEnd
	parts
)

// A file is a table of any kind: bytes, and where their parts are.
type file struct {
	kind    kind
	strings int // how many
	keys    int
	part    [parts][]byte // partEnd is empty
}

// parse looks at the header and the checksum.
func parse(data []byte) (*file, error) {
	switch {
	case len(data) > MaxSize:
		return nil, corrupt("larger than %d bytes", MaxSize)
	case len(data) < headerSize+sha256.Size || string(data[:len(magic)-1]) != magic[:len(magic)-1]:
		return nil, corrupt("it does not begin as a table does")
	case data[len(magic)-1] != Schema:
		return nil, fmt.Errorf("schema %d, want %d: update the database or bulwark", data[len(magic)-1], Schema)
	}
	body, sum := data[:len(data)-sha256.Size], data[len(data)-sha256.Size:]
	if got := sha256.Sum256(body); !bytes.Equal(got[:], sum) {
		return nil, corrupt("its checksum is another")
	}
	return locate(body)
}

// locate finds the seven parts of a table without its checksum.
func locate(body []byte) (*file, error) {
	word := func(i int) int64 { return int64(binary.LittleEndian.Uint32(body[len(magic)+4*i:])) }
	f := &file{kind: kind(word(0))}
	begins := int64(headerSize)
	for p := range parts {
		at := word(3 + p)
		if at < begins || at > int64(len(body)) {
			return nil, corrupt("part %d begins at %d", p, at)
		}
		if p > 0 {
			f.part[p-1] = body[begins:at]
		} else if at != headerSize {
			return nil, corrupt("the first part begins at %d", at)
		}
		begins = at
	}
	strs, keys := word(1), word(2)
	if begins != int64(len(body)) || int64(len(f.part[partBlocks])) != 4*((strs+blockSize-1)/blockSize) || int64(len(f.part[partKeys])) != 8*keys {
		return nil, corrupt("its parts do not fit its counts")
	}
	f.strings, f.keys = int(strs), int(keys)
	return f, nil
}

// block returns the bytes of one block of strings.
func (f *file) block(n int) ([]byte, error) {
	index := f.part[partBlocks]
	from, to := binary.LittleEndian.Uint32(index[4*n:]), uint32(len(f.part[partStrings]))
	if 4*(n+1) < len(index) {
		to = binary.LittleEndian.Uint32(index[4*(n+1):])
	}
	if from > to || int64(to) > int64(len(f.part[partStrings])) {
		return nil, corrupt("block %d of its strings is nowhere", n)
	}
	return f.part[partStrings][from:to], nil
}

// A walk goes through one block's strings. The text is valid until the next step.
type walk struct {
	rest []byte
	text []byte
}

func (w *walk) next() error {
	shared, n := binary.Uvarint(w.rest)
	if n <= 0 || shared > uint64(len(w.text)) {
		return corrupt("a string shares more than there is")
	}
	w.rest = w.rest[n:]
	own, n := binary.Uvarint(w.rest)
	if n <= 0 || own > uint64(len(w.rest)-n) || shared+own > maxString {
		return corrupt("a string is longer than its block")
	}
	w.text = append(w.text[:shared], w.rest[n:n+int(own)]...)
	w.rest = w.rest[n+int(own):]
	return nil
}

// text returns a string by its number.
func (f *file) text(n uint64) (string, error) {
	if n >= uint64(f.strings) {
		return "", corrupt("string %d of %d", n, f.strings)
	}
	b, err := f.block(int(n / blockSize))
	if err != nil {
		return "", err
	}
	w := walk{rest: b}
	for range n%blockSize + 1 {
		if err := w.next(); err != nil {
			return "", err
		}
	}
	return string(w.text), nil
}

// number returns the number of a string; false where it is not in the table.
func (f *file) number(s string) (int, bool, error) {
	var failed error
	// The first block that begins after s; s is in the one before.
	blocks := (f.strings + blockSize - 1) / blockSize
	after := sort.Search(blocks, func(n int) bool {
		b, err := f.block(n)
		w := walk{rest: b}
		if err == nil {
			err = w.next()
		}
		if err != nil {
			failed = err
			return true
		}
		return string(w.text) > s
	})
	if failed != nil || after == 0 {
		return 0, false, failed
	}
	b, err := f.block(after - 1)
	if err != nil {
		return 0, false, err
	}
	w := walk{rest: b}
	for n := (after - 1) * blockSize; n < min(after*blockSize, f.strings); n++ {
		if err := w.next(); err != nil {
			return 0, false, err
		}
		if string(w.text) == s {
			return n, true, nil
		}
	}
	return 0, false, nil
}

// find returns a decoder of a key's rows; nil where there is no such key.
func (f *file) find(key string) (*decoder, error) {
	n, ok, err := f.number(key)
	if err != nil || !ok {
		return nil, err
	}
	index := f.part[partKeys]
	at := sort.Search(f.keys, func(i int) bool { return int64(binary.LittleEndian.Uint32(index[8*i:])) >= int64(n) })
	if at == f.keys || int64(binary.LittleEndian.Uint32(index[8*at:])) != int64(n) {
		return nil, nil
	}
	d := &decoder{file: f, budget: maxAnswer}
	if err := d.jump(f.part[partRows], uint64(binary.LittleEndian.Uint32(index[8*at+4:]))); err != nil {
		return nil, err
	}
	return d, nil
}

// key returns the n-th key, in the order of the bytes of keys.
func (f *file) key(n int) (string, error) {
	return f.text(uint64(binary.LittleEndian.Uint32(f.part[partKeys][8*n:])))
}

// A decoder reads values one after the other. After an error it returns zero values, and
// keeps the error.
type decoder struct {
	file   *file
	rest   []byte
	budget int
	err    error
}

func (d *decoder) jump(part []byte, at uint64) error {
	if at > uint64(len(part)) {
		return corrupt("something is said to be outside of its part")
	}
	d.rest = part[at:]
	return nil
}

// pool returns a decoder of what a row refers to, and puts what it used and its error
// back when it is done.
func (d *decoder) pool(read func(*decoder)) {
	at := d.uvarint()
	if d.err != nil {
		return
	}
	p := &decoder{file: d.file, budget: d.budget}
	if d.err = p.jump(d.file.part[partPool], at); d.err != nil {
		return
	}
	read(p)
	d.budget, d.err = p.budget, p.err
}

func (d *decoder) uvarint() uint64 {
	if d.err != nil {
		return 0
	}
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.err = corrupt("a row ends before its end")
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) byte() byte {
	v := d.uvarint()
	if v > math.MaxUint8 && d.err == nil {
		d.err = corrupt("a byte is %d", v)
	}
	return byte(v)
}

// spend takes from the budget.
func (d *decoder) spend(n int) bool {
	if d.budget -= n; d.budget < 0 && d.err == nil {
		d.err = corrupt("an answer of more than %d bytes", maxAnswer)
	}
	return d.err == nil
}

// count reads the number of elements that follow, each of a size in memory.
func (d *decoder) count(size int) int {
	n := d.uvarint()
	if n > uint64(len(d.rest)) && d.err == nil { // each takes a byte at least
		d.err = corrupt("%d elements in %d bytes", n, len(d.rest))
	}
	if d.err != nil || !d.spend(int(n)*size) {
		return 0
	}
	return int(n)
}

func (d *decoder) string() string {
	n := d.uvarint()
	if d.err != nil || n == 0 {
		return ""
	}
	var s string
	s, d.err = d.file.text(n)
	d.spend(len(s))
	return s
}

func (d *decoder) strings() []string {
	n := d.count(16)
	if n == 0 {
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = d.string()
	}
	return list
}

// done is called after the last value of a key.
func (d *decoder) done() error { return d.err }
