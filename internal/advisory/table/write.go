package table

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

// A symbol stands for a string while a table is made; sorted numbers the strings once all
// are known.
type symbol uint32

// names are the strings of a table in the making. The first is the empty one, which
// sorts before all others.
type names struct {
	of   map[string]symbol
	text []string
	// number is each symbol's place in the sorted table; set by sorted.
	number []uint32
	err    error
}

func newNames() *names { return &names{of: map[string]symbol{"": 0}, text: []string{""}} }

func (t *names) symbol(s string) symbol {
	if n, ok := t.of[s]; ok {
		return n
	}
	if len(s) > maxString {
		t.err = cmp.Or(t.err, fmt.Errorf("a string of %d bytes, want at most %d", len(s), maxString))
		return 0
	}
	n := symbol(len(t.text))
	t.of[s] = n
	t.text = append(t.text, s)
	return n
}

func (t *names) symbols(list []string) []symbol {
	if len(list) == 0 {
		return nil
	}
	all := make([]symbol, len(list))
	for i, s := range list {
		all[i] = t.symbol(s)
	}
	return all
}

// sorted numbers the strings, and returns the blocks' index and the blocks.
func (t *names) sorted() (index, blocks []byte) {
	order := make([]symbol, len(t.text))
	for i := range order {
		order[i] = symbol(i)
	}
	slices.SortFunc(order, func(a, b symbol) int { return cmp.Compare(t.text[a], t.text[b]) })
	t.number = make([]uint32, len(order))
	last := ""
	for i, sym := range order {
		t.number[sym] = uint32(i)
		s := t.text[sym]
		shared := 0
		if i%blockSize == 0 {
			index = binary.LittleEndian.AppendUint32(index, uint32(len(blocks)))
		} else {
			for shared < min(len(s), len(last)) && s[shared] == last[shared] {
				shared++
			}
		}
		blocks = binary.AppendUvarint(blocks, uint64(shared))
		blocks = binary.AppendUvarint(blocks, uint64(len(s)-shared))
		blocks = append(blocks, s[shared:]...)
		last = s
	}
	return index, blocks
}

// An encoder writes values one after the other.
type encoder struct {
	names *names
	b     []byte
}

func (e *encoder) uvarint(v uint64) { e.b = binary.AppendUvarint(e.b, v) }

func (e *encoder) symbol(s symbol) { e.uvarint(uint64(e.names.number[s])) }

func (e *encoder) symbols(list []symbol) {
	e.uvarint(uint64(len(list)))
	for _, s := range list {
		e.symbol(s)
	}
}

// A pool is what many rows have in common.
type pool struct{ of map[string]uint32 }

// newPool places each of the parts once, in the order of their bytes.
func newPool(parts [][]byte) (pool, []byte) {
	parts = slices.Clone(parts)
	slices.SortFunc(parts, bytes.Compare)
	p, all := pool{map[string]uint32{}}, []byte(nil)
	for i, b := range parts {
		if i == 0 || !bytes.Equal(b, parts[i-1]) {
			p.of[string(b)] = uint32(len(all))
			all = append(all, b...)
		}
	}
	return p, all
}

// A keyed is one key with its encoded rows.
type keyed struct {
	key  symbol
	rows []byte
}

// assemble makes the file of its parts.
func assemble(k kind, info []byte, names *names, index, blocks, pool []byte, rows []keyed) ([]byte, error) {
	slices.SortFunc(rows, func(a, b keyed) int { return cmp.Compare(names.number[a.key], names.number[b.key]) })
	var keys, all []byte
	for _, r := range rows {
		keys = binary.LittleEndian.AppendUint32(keys, names.number[r.key])
		keys = binary.LittleEndian.AppendUint32(keys, uint32(len(all)))
		all = append(all, r.rows...)
	}
	if names.err != nil {
		return nil, names.err
	}
	parts := [][]byte{info, index, blocks, keys, pool, all}
	size := headerSize + sha256.Size
	for _, p := range parts {
		size += len(p)
	}
	if size > MaxSize || uint64(len(all)) > math.MaxUint32 {
		return nil, errors.New("more than fits into a table")
	}
	b := make([]byte, 0, size)
	b = append(b, magic...)
	for _, v := range []int{int(k), len(names.text), len(rows)} {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	at := headerSize
	b = binary.LittleEndian.AppendUint32(b, uint32(at))
	for _, p := range parts {
		at += len(p)
		b = binary.LittleEndian.AppendUint32(b, uint32(at))
	}
	b = append(b, make([]byte, headerSize-len(b))...)
	for _, p := range parts {
		b = append(b, p...)
	}
	sum := sha256.Sum256(b)
	return append(b, sum[:]...), nil
}
