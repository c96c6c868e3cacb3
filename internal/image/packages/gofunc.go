package packages

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/image"
)

// The function table of a Go binary (runtime/symtab.go, cmd/link/internal/ld/pcln.go) is
// there whatever was stripped, because the runtime needs it to unwind stacks. It names
// every function, and by the inline trees also those that have no code of their own. The
// trees lie behind an address that only the runtime's moduledata holds, so that is what
// is looked for; a symbol table, which govulncheck needs, is not.
//
// Tables of Go 1.18 and later are read. Of earlier ones, and where anything does not
// fit, the functions are not known and nothing is filtered by them: a table that is half
// understood would hide findings.

// Bounds of what a function table may say. The largest that are known (Kubernetes' and
// the clouds' tools) have 200,000 functions and 20 MB of names.
const (
	maxFuncs      = 4 << 20
	maxFuncNames  = 128 << 20
	maxInlined    = 32 << 20
	maxInlineWalk = 512 << 20
	maxRelocation = 512 << 20
	maxGoData     = 1 << 30
)

// Two layouts of the table have been in use since Go 1.18.
const (
	magic118 = 0xfffffff0
	magic120 = 0xfffffff1
)

var errFuncTable = errors.New("go function table: does not have the form that is known")

// A funcTable says where the parts of a function table are. Addresses are in memory.
type funcTable struct {
	x      *exe
	addr   uint64
	newest bool // Go 1.20's
	funcs  int
	// Offsets from addr: names, compilation units, files, values by counter, functions.
	names, units, files, values, data uint64
}

// goFunctions reads the functions of a binary, with their packages. A package "main" is
// called main.
func goFunctions(ctx context.Context, x *exe, main string) ([]string, *image.Functions, error) {
	t, err := findFuncTable(x)
	if err != nil {
		return nil, nil, err
	}
	trees, ok := t.trees()
	if !ok {
		return nil, nil, errFuncTable
	}
	used, err := t.used(ctx, trees)
	if err != nil {
		return nil, nil, err
	}
	seen := map[string]bool{}
	var bad error
	functions := image.NewFunctions(func(yield func(pkg, name string) bool) {
		bad = t.each(used, func(name string) bool {
			pkg, function := goName(name, t.newest)
			if pkg == "" {
				return true
			}
			if pkg == "main" && main != "" {
				pkg = main
			}
			seen[pkg] = true
			return yield(pkg, function)
		})
	})
	if bad != nil {
		return nil, nil, bad
	}
	packages := make([]string, 0, len(seen))
	for p := range seen {
		packages = append(packages, p)
	}
	slices.Sort(packages)
	return packages, functions, nil
}

// findFuncTable looks where linkers put it, and else through all that is mapped.
func findFuncTable(x *exe) (*funcTable, error) {
	if s, ok := x.section(".gopclntab", ".data.rel.ro.gopclntab", "__gopclntab"); ok {
		if t := readFuncTable(x, s.addr); t != nil {
			return t, nil
		}
	}
	// Windows' files have no section for it, and a binary may have lost its sections.
	var t *funcTable
	pattern := []byte{0xff, 0xff, 0xff, 0, 0} // the magic number's end and two zeros
	first := uint64(1)
	if x.order == binary.BigEndian {
		pattern, first = []byte{0xff, 0xff, 0xff}, 0
	}
	for _, s := range x.loads {
		x.search(s, maxGoData, pattern, func(addr uint64) bool {
			if addr -= first; addr%4 == 0 {
				t = readFuncTable(x, addr)
			}
			return t != nil
		})
		if t != nil {
			return t, nil
		}
	}
	return nil, errFuncTable
}

// readFuncTable reads the header; nil where it is none.
func readFuncTable(x *exe, addr uint64) *funcTable {
	r, ok := x.from(addr)
	if !ok {
		return nil
	}
	b := make([]byte, 8+8*x.word)
	if n, _ := r.ReadAt(b, 0); n < len(b) {
		return nil
	}
	t := &funcTable{x: x, addr: addr}
	switch x.order.Uint32(b) {
	case magic118:
	case magic120:
		t.newest = true
	default:
		return nil
	}
	quantum, word := b[6], b[7]
	if b[4] != 0 || b[5] != 0 || quantum != 1 && quantum != 2 && quantum != 4 || uint64(word) != x.word {
		return nil
	}
	field := func(i uint64) uint64 { return x.pointer(b[8+i*x.word:]) }
	if field(0) > maxFuncs {
		return nil
	}
	t.funcs = int(field(0))
	t.names, t.units, t.files, t.values, t.data = field(3), field(4), field(5), field(6), field(7)
	if t.names > t.units || t.units > t.files || t.files > t.values || t.values > t.data || t.data > uint64(r.Size()) {
		return nil
	}
	return t
}

// trees returns the address from which inline trees are counted, go:func.*, as
// moduledata has it.
func (t *funcTable) trees() (uint64, bool) {
	var trees uint64
	try := func(addr uint64, relocated map[uint64]uint64) bool {
		words, ok := t.x.words(addr, 41, relocated)
		if !ok {
			return false
		}
		// The pointers of moduledata's slices, and the length of the last: every function
		// and an end.
		for i, want := range map[int]uint64{
			0: t.addr, 1: t.addr + t.names, 4: t.addr + t.units, 7: t.addr + t.files, 10: t.addr + t.values,
			13: t.addr + t.data, 16: t.addr + t.data, 17: uint64(t.funcs) + 1,
		} {
			if words[i] != want {
				return false
			}
		}
		trees = words[38] // Go 1.18 and 1.19
		if t.newest {     // two more fields since, for coverage
			trees = words[40]
		}
		return trees != 0
	}

	pattern := make([]byte, t.x.word)
	if t.x.word == 4 {
		t.x.order.PutUint32(pattern, uint32(t.addr))
	} else {
		t.x.order.PutUint64(pattern, t.addr)
	}
	for _, s := range t.x.loads {
		if !s.writable {
			continue
		}
		t.x.search(s, maxGoData, pattern, func(addr uint64) bool {
			return addr%t.x.word == 0 && try(addr, nil)
		})
		if trees != 0 {
			return trees, true
		}
	}

	// Where the loader is to write the pointers, they may not be in the file but in what
	// the loader is told: entries of the address, the kind, and the value.
	const most = 64
	var found []uint64
	t.x.relocations(func(addr, value uint64) {
		if value == t.addr && len(found) < most {
			found = append(found, addr)
		}
	})
	near := map[uint64]uint64{}
	t.x.relocations(func(addr, value uint64) {
		for _, f := range found {
			if addr >= f && addr-f < 41*t.x.word {
				near[addr] = value
			}
		}
	})
	for _, f := range found {
		if try(f, near) {
			return trees, true
		}
	}
	return 0, false
}

// relocations calls found with what the loader of an ELF file is to write where. Only
// entries that carry their values matter: others have them in place.
func (x *exe) relocations(found func(addr, value uint64)) {
	if !x.elf || x.word != 8 {
		return
	}
	for _, s := range x.sections {
		if !strings.HasPrefix(s.name, ".rela") || //nolint:misspell // ELF's word
			s.addr == 0 || s.size > maxRelocation {
			continue
		}
		r := x.file(s)
		b := make([]byte, 24*4096)
		for at := int64(0); at < r.Size(); at += int64(len(b)) {
			n, _ := r.ReadAt(b, at)
			for i := 0; i+24 <= n; i += 24 {
				found(x.order.Uint64(b[i:]), x.order.Uint64(b[i+16:]))
			}
			if n < len(b) {
				break
			}
		}
	}
}

// words reads pointers from memory as they are when the loader has done its work.
func (x *exe) words(addr uint64, n uint64, relocated map[uint64]uint64) ([]uint64, bool) {
	r, ok := x.from(addr)
	if !ok {
		return nil, false
	}
	b := make([]byte, n*x.word)
	if got, _ := r.ReadAt(b, 0); got < len(b) {
		return nil, false
	}
	words := make([]uint64, n)
	for i := range n {
		words[i] = x.pointer(b[i*x.word:])
		if v, ok := relocated[addr+i*x.word]; ok {
			words[i] = v
		}
	}
	return words, true
}

// used returns which names are those of functions: a bit for each byte of the names.
func (t *funcTable) used(ctx context.Context, trees uint64) ([]uint64, error) {
	size := t.units - t.names
	if size > maxFuncNames {
		return nil, errFuncTable
	}
	used := make([]uint64, size/64+1)
	mark := func(name uint32) bool {
		if uint64(name) >= size {
			return false
		}
		used[name/64] |= 1 << (name % 64)
		return true
	}
	data, ok := t.x.from(t.addr + t.data)
	values, ok2 := t.x.from(t.addr + t.values)
	tree, ok3 := t.x.from(trees)
	if !ok || !ok2 || !ok3 {
		return nil, errFuncTable
	}
	index, funcs, steps, calls := window{r: data}, window{r: data}, pages{r: values}, pages{r: tree}
	// One function is 10 numbers of four bytes, 11 since Go 1.20, and then those that are
	// counted in it. One inlined call is five, or four.
	fixed, call, callName := 40, int64(20), int64(12)
	if t.newest {
		fixed, call, callName = 44, 16, 4
	}
	u32 := t.x.order.Uint32
	inlined, walked := 0, 0
	for i := range t.funcs {
		if i%4096 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		entry := index.from(int64(i)*8, 8)
		if len(entry) < 8 {
			return nil, errFuncTable
		}
		at := int64(u32(entry[4:]))
		f := funcs.from(at, fixed)
		if len(f) < fixed || !mark(u32(f[4:])) {
			return nil, errFuncTable
		}
		byCounter, inFunc := int64(u32(f[28:])), int64(f[fixed-1])
		// The third table by counter says in which inlined call a counter is, the fourth of
		// the function's own is their tree.
		if byCounter <= 2 || byCounter > 255 || inFunc <= 3 {
			continue
		}
		n := fixed + int(byCounter+inFunc)*4
		if f = funcs.from(at, n); len(f) < n {
			return nil, errFuncTable
		}
		where, off := u32(f[fixed+2*4:]), u32(f[fixed+int(byCounter)*4+3*4:])
		if where == 0 || off == 1<<32-1 {
			continue
		}
		last, n, ok := largest(&steps, int64(where))
		if walked += n; !ok || walked > maxInlineWalk {
			return nil, errFuncTable
		}
		if last < 0 {
			continue
		}
		if inlined += last + 1; inlined > maxInlined {
			return nil, errFuncTable
		}
		for c := range int64(last) + 1 {
			b := calls.from(int64(off) + c*call)
			if int64(len(b)) < call || !mark(u32(b[callName:])) {
				return nil, errFuncTable
			}
		}
	}
	return used, nil
}

// largest returns the largest value of a table by counter, and how many bytes it took: the
// number of calls in a tree is written nowhere else. A table is pairs of numbers, the
// differences of value and counter, and ends with a difference of zero.
func largest(p *pages, at int64) (value, walked int, ok bool) {
	v, top := int32(-1), int32(-1)
	for first := true; ; first = false {
		b := p.from(at) // two numbers of at most 5 bytes
		delta, n := binary.Uvarint(b)
		if n <= 0 {
			return 0, walked, false
		}
		if delta == 0 && !first {
			return int(top), walked + n, true
		}
		_, m := binary.Uvarint(b[n:])
		if m <= 0 {
			return 0, walked, false
		}
		d := int32(uint32(delta) >> 1)
		if delta&1 != 0 {
			d = ^d
		}
		v += d
		top = max(top, v)
		at += int64(n + m)
		if walked += n + m; walked > maxInlineWalk {
			return 0, walked, false
		}
	}
}

// each calls yield with the names that are used. It is an error if one of them does not
// start where a name starts.
func (t *funcTable) each(used []uint64, yield func(name string) bool) error {
	names, ok := t.x.from(t.addr + t.names)
	if !ok {
		return errFuncTable
	}
	w := window{r: names}
	const longest = 64 << 10 // of generated code, types in brackets and all
	start := true
	for i := range used {
		if used[i] == 0 {
			continue
		}
		for bit := range 64 {
			if used[i]&(1<<bit) == 0 {
				continue
			}
			off := int64(i*64 + bit)
			if off > 0 {
				b := w.from(off-1, 1)
				start = len(b) > 0 && b[0] == 0
			}
			b := w.from(off, 512)
			end := bytes.IndexByte(b, 0)
			if end < 0 {
				b = w.from(off, longest)
				end = bytes.IndexByte(b, 0)
			}
			if !start || end < 0 {
				return errFuncTable
			}
			if !yield(string(b[:end])) {
				return nil
			}
		}
	}
	return nil
}

// goName splits the linker's name of a function into a package and what advisories call
// the function: "T.M" for "example.org/p.(*T[...]).M". The package is empty for what the
// compiler makes for its own ends. It follows govulncheck (internal/buildinfo,
// internal/gosym of golang.org/x/vuln) but for two things: brackets of generics are left
// out, since no advisory writes them, and inlined functions of packages whose path
// begins with "go." keep it.
func goName(name string, newest bool) (pkg, function string) {
	name = withoutBrackets(name)
	if newest && (strings.HasPrefix(name, "go:") || strings.HasPrefix(name, "type:")) ||
		!newest && (strings.HasPrefix(name, "go.buildid") || strings.HasPrefix(name, "type..")) {
		return "", ""
	}
	start := strings.LastIndexByte(name, '/') + 1
	dot := strings.IndexByte(name[start:], '.')
	if dot <= 0 {
		return "", ""
	}
	pkg, function = name[:start+dot], name[start+dot+1:]
	if pkg == "go" { // methods of types without a name, before Go 1.20
		return "", ""
	}
	if strings.Contains(pkg, "%") { // dots in the last element are written so
		unescaped, err := url.PathUnescape(pkg)
		if err != nil {
			return "", ""
		}
		pkg = unescaped
	}
	if r, ok := strings.CutPrefix(function, "(*"); ok {
		function = strings.Replace(r, ").", ".", 1)
	}
	return pkg, function
}

// withoutBrackets removes what is between brackets, and them; all is kept if they do not
// match.
func withoutBrackets(s string) string {
	if strings.IndexByte(s, '[') < 0 {
		return s
	}
	var b strings.Builder
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '[':
			depth++
		case ']':
			if depth--; depth < 0 {
				return s
			}
		default:
			if depth == 0 {
				b.WriteByte(s[i])
			}
		}
	}
	if depth != 0 {
		return s
	}
	return b.String()
}
