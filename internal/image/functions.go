package image

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
)

// Functions is a set of functions of a binary that only answers whether one is in it.
// Four bytes a function are kept, so that a binary of a hundred thousand functions costs
// 400 kB and its set can travel in a bill of materials. It never says no wrongly; it says
// yes wrongly once in four thousand million times the set's size, and a wrong yes only
// keeps a finding that could have been set aside.
type Functions struct {
	sums []uint32 // ordered, each once
}

// maxFunctions is the largest set that is read back: four times the functions of the
// largest Go programs that are known.
const maxFunctions = 4 << 20

// NewFunctions makes a set. Each entry is the import path of a package and the name of
// one of its functions as advisories write it: "Parse", "Reader.Read".
func NewFunctions(entries func(yield func(pkg, name string) bool)) *Functions {
	f := &Functions{}
	for pkg, name := range entries {
		f.sums = append(f.sums, sum(pkg, name))
	}
	slices.Sort(f.sums)
	f.sums = slices.Compact(f.sums)
	return f
}

// Has reports whether a function is in the set.
func (f *Functions) Has(pkg, name string) bool {
	_, ok := slices.BinarySearch(f.sums, sum(pkg, name))
	return ok
}

// Len is the number of functions, less the few that share their four bytes.
func (f *Functions) Len() int { return len(f.sums) }

// MarshalText writes the set as base64 of differences, each a varint, in order.
func (f *Functions) MarshalText() ([]byte, error) {
	var b []byte
	last := uint32(0)
	for _, s := range f.sums {
		b = binary.AppendUvarint(b, uint64(s-last))
		last = s
	}
	return []byte(base64.RawStdEncoding.EncodeToString(b)), nil
}

// UnmarshalText reads what MarshalText wrote, and nothing else.
func (f *Functions) UnmarshalText(text []byte) error {
	b := make([]byte, base64.RawStdEncoding.DecodedLen(len(text)))
	n, err := base64.RawStdEncoding.Strict().Decode(b, text)
	if err != nil {
		return fmt.Errorf("function set: %w", err)
	}
	r := bytes.NewReader(b[:n])
	var sums []uint32
	last := uint64(0)
	for r.Len() > 0 {
		d, err := binary.ReadUvarint(r)
		if err != nil {
			return fmt.Errorf("function set: %w", err)
		}
		if d == 0 && len(sums) > 0 || d > 1<<32-1 || last+d > 1<<32-1 || len(sums) == maxFunctions {
			return errors.New("function set: not one that was written here")
		}
		last += d
		sums = append(sums, uint32(last))
	}
	f.sums = sums
	return nil
}

func sum(pkg, name string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(pkg))
	h.Write([]byte{0})
	h.Write([]byte(name))
	return h.Sum32()
}
