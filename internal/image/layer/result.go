package layer

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"iter"

	"github.com/bulwark-k8s/bulwark/internal/image"
)

// A Result is what one layer holds, independent of what lies below it.
type Result struct {
	// Size is the number of uncompressed bytes.
	Size int64
	// Finds are what the finders said, in the order of the layer's entries.
	Finds []Find
	// Gaps are about the layer as a whole; those about a file are with its Find.
	Gaps []image.Gap
	// Whiteouts and Opaques are paths that the layer hides: the path and all beneath
	// it, or what lower layers have in that folder.
	Whiteouts, Opaques []string
	// Entries is the layer's journal: every path in the layer's order.
	Entries Journal
}

// A Find is what one finder said of one file.
type Find struct {
	// Entry is the file's place in the journal, Path its name there.
	Entry  int
	Path   string
	Finder string
	Found  Found
	// Owned is Found.Owned, packed: an image's packages own tens of thousands of files.
	Owned []Owned
}

// Owned are the files of one owner.
type Owned struct {
	Owner string
	Paths Paths
}

// Paths is a list of paths in which each is kept as what it does not share with the one
// before: lists of files are about four times shorter so.
type Paths string

func packPaths(paths []string) Paths {
	var b []byte
	last := ""
	for _, p := range paths {
		b = appendShared(b, last, p)
		last = p
	}
	return Paths(b)
}

// All yields the paths. The bytes are only good until the next one.
func (p Paths) All() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		d := decoder{s: string(p)}
		var path []byte
		for d.s != "" && d.err == nil {
			if path = d.shared(path); d.err != nil || !yield(path) {
				return
			}
		}
	}
}

// A Journal is the list of a layer's entries, packed like Paths.
type Journal struct {
	Count int
	Bytes string
}

type kind uint8

const (
	file kind = iota
	folder
	symlink
	hardlink
	other // devices, pipes
)

// privileged is set on the kind of a file with set-id bits or capabilities.
const privileged = 0x80

// An entry is one line of the journal.
type entry struct {
	path []byte // good until the next one
	kind kind
	// target is a symbolic link's as written, a hard link's as a clean path.
	target string
	// gain is set where the file gives something to whoever runs it.
	gain *gain
}

type gain struct {
	mode         fs.FileMode
	uid, gid     int
	capabilities string
}

// A journalist writes a journal.
type journalist struct {
	count int
	bytes []byte
	last  string
}

func (j *journalist) add(path string, k kind, target string, g *gain) {
	j.bytes = appendShared(j.bytes, j.last, path)
	j.last = path
	if g != nil {
		j.bytes = append(j.bytes, byte(k)|privileged)
		j.bytes = binary.AppendUvarint(j.bytes, uint64(g.mode))
		j.bytes = binary.AppendVarint(j.bytes, int64(g.uid))
		j.bytes = binary.AppendVarint(j.bytes, int64(g.gid))
		j.bytes = appendString(j.bytes, g.capabilities)
	} else {
		j.bytes = append(j.bytes, byte(k))
	}
	if k == symlink || k == hardlink {
		j.bytes = appendString(j.bytes, target)
	}
	j.count++
}

func (j *journalist) journal() Journal { return Journal{Count: j.count, Bytes: string(j.bytes)} }

// all yields the entries in order. It ends early where the journal is not whole, which a
// checksum keeps from happening.
func (j Journal) all() iter.Seq2[int, *entry] {
	return func(yield func(int, *entry) bool) {
		d := decoder{s: j.Bytes}
		var e entry
		var path []byte
		for i := 0; i < j.Count && d.err == nil; i++ {
			path = d.shared(path)
			k := d.byte()
			e = entry{path: path, kind: kind(k &^ privileged)}
			if k&privileged != 0 {
				e.gain = &gain{mode: fs.FileMode(d.uvarint()), uid: int(d.varint()), gid: int(d.varint()), capabilities: d.string()}
			}
			if e.kind == symlink || e.kind == hardlink {
				e.target = d.string()
			}
			if d.err != nil || !yield(i, &e) {
				return
			}
		}
	}
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendShared(b []byte, last, s string) []byte {
	n := 0
	for n < len(last) && n < len(s) && last[n] == s[n] {
		n++
	}
	return appendString(binary.AppendUvarint(b, uint64(n)), s[n:])
}

var errTorn = errors.New("layer result: not one that was written here")

// A decoder reads what the append functions wrote. After an error it yields zeroes.
type decoder struct {
	s   string
	err error
}

func (d *decoder) fail() { d.s, d.err = "", errTorn }

func (d *decoder) byte() byte {
	if d.s == "" {
		d.fail()
		return 0
	}
	b := d.s[0]
	d.s = d.s[1:]
	return b
}

func (d *decoder) uvarint() uint64 {
	var v uint64
	for shift := 0; shift < 64; shift += 7 {
		b := d.byte()
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v
		}
	}
	d.fail()
	return 0
}

func (d *decoder) varint() int64 {
	u := d.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// length reads a number of things of which each takes at least one byte.
func (d *decoder) length() int {
	n := d.uvarint()
	if n > uint64(len(d.s)) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) string() string {
	n := d.length()
	s := d.s[:n]
	d.s = d.s[n:]
	return s
}

// shared reads a string that was written as its difference to last, into last's memory.
func (d *decoder) shared(last []byte) []byte {
	n := d.uvarint()
	if n > uint64(len(last)) {
		d.fail()
		return nil
	}
	return append(last[:n], d.string()...)
}
