package table

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"unsafe"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
)

// A Builder collects the records of one shard, a few bytes each, and makes its table.
type Builder struct {
	info  advisory.ShardInfo
	names *names

	rows []row
	// What rows have in common, by the bytes that stand for it here.
	bodies, ranges, versions, only interned
	scratch                        []byte
	list                           []symbol
}

// A row is one record of one package. ranges, versions and only are 0 where there are
// none.
type row struct {
	name                         symbol
	body, ranges, versions, only uint32
	flags                        byte
}

// flags hold the state in the lowest three bits, the severity in the next three, and
// then whether versions and qualifiers follow.
const (
	flagVersions = 1 << 6
	flagOnly     = 1 << 7
)

// interned are lists of symbols, each once. The numbers begin with 1.
type interned struct {
	of  map[string]uint32
	all [][]symbol
}

func (t *interned) add(key []byte, list []symbol) uint32 {
	if n, ok := t.of[string(key)]; ok {
		return n
	}
	if t.of == nil {
		t.of = map[string]uint32{}
	}
	t.all = append(t.all, slices.Clone(list))
	t.of[string(key)] = uint32(len(t.all))
	return uint32(len(t.all))
}

// NewBuilder begins a shard. Its Records are counted by the builder.
func NewBuilder(key advisory.Key) *Builder {
	return &Builder{info: advisory.ShardInfo{Key: key}, names: newNames()}
}

// Len is the number of records so far, doubles included.
func (b *Builder) Len() int { return len(b.rows) }

// Add takes what an advisory says of a package. The groups of its IDs may have one name
// each: Bytes completes them. A record that is there already is not taken twice.
func (b *Builder) Add(name string, r *advisory.Record) {
	// A body: the advisory's name, its source, and lists whose lengths come first.
	list := append(b.list[:0], b.names.symbol(r.ID), b.names.symbol(r.Source), symbol(len(r.CVSS)))
	for _, c := range r.CVSS {
		list = append(list, b.names.symbol(c))
	}
	list = append(list, symbol(len(r.IDs)))
	for _, group := range r.IDs {
		list = append(list, symbol(len(group)))
		for _, id := range group {
			list = append(list, b.names.symbol(id))
		}
	}
	out := row{
		name: b.names.symbol(b.info.Key.Normal(name)), body: b.intern(&b.bodies, list),
		flags: byte(r.State)&7 | byte(r.Severity)&7<<3,
	}
	if len(r.Ranges) > 0 {
		list = list[:0]
		for _, x := range r.Ranges {
			list = append(list, b.names.symbol(x.Introduced), b.names.symbol(x.Fixed), b.names.symbol(x.LastAffected))
		}
		out.ranges = b.intern(&b.ranges, list)
	}
	if len(r.Versions) > 0 {
		out.versions, out.flags = b.intern(&b.versions, b.names.symbols(r.Versions)), out.flags|flagVersions
	}
	if only := b.qualifiers(&r.Only); only != nil {
		out.only, out.flags = b.intern(&b.only, only), out.flags|flagOnly
	}
	b.list = list
	b.rows = append(b.rows, out)
}

// qualifiers are lists whose lengths come first; nil where there are none.
func (b *Builder) qualifiers(q *advisory.Qualifiers) (list []symbol) {
	if len(q.Arch) == 0 && q.Module == "" && len(q.Imports) == 0 && !q.Source {
		return nil
	}
	add := func(all []string) {
		list = append(append(list, symbol(len(all))), b.names.symbols(all)...)
	}
	source := symbol(0)
	if q.Source {
		source = 1
	}
	list = append(list, source, b.names.symbol(q.Module))
	add(q.Arch)
	list = append(list, symbol(len(q.Imports)))
	for _, i := range q.Imports {
		list = append(list, b.names.symbol(i.Path))
		add(i.GOOS)
		add(i.GOARCH)
		add(i.Symbols)
	}
	return list
}

func (b *Builder) intern(t *interned, list []symbol) uint32 {
	b.scratch = b.scratch[:0]
	for _, s := range list {
		b.scratch = binary.AppendUvarint(b.scratch, uint64(s))
	}
	return t.add(b.scratch, list)
}

// Bytes makes the table. The info's Key is the builder's, and its Records are counted.
// Group returns all names of a vulnerability by one of them, the canonical one first; a
// builder that is given nil keeps the groups as they came.
func (b *Builder) Bytes(info advisory.ShardInfo, group func(id string) []string) ([]byte, error) {
	info.Key = b.info.Key
	info.Sources = slices.Compact(slices.Sorted(slices.Values(info.Sources)))
	info.AsOf = info.AsOf.UTC()
	if group != nil {
		b.complete(group)
	}
	index, blocks := b.names.sorted()

	bodies, ranges := b.encodeAll(b.bodies.all, (*encoder).body), b.encodeAll(b.ranges.all, (*encoder).ranges)
	versions, only := b.encodeAll(b.versions.all, (*encoder).symbols), b.encodeAll(b.only.all, (*encoder).only)
	place, shared := newPool(slices.Concat(bodies, ranges, versions, only))

	slices.SortFunc(b.rows, func(x, y row) int { return cmp.Compare(x.name, y.name) })
	var keys []keyed
	for from := 0; from < len(b.rows); {
		to := from
		for to < len(b.rows) && b.rows[to].name == b.rows[from].name {
			to++
		}
		rows := b.encodeRows(b.rows[from:to], place, bodies, ranges, versions, only)
		e := encoder{}
		e.uvarint(uint64(len(rows)))
		for _, r := range rows {
			e.b = append(e.b, r...)
		}
		keys = append(keys, keyed{b.rows[from].name, e.b})
		info.Records += len(rows)
		from = to
	}
	said, err := json.Marshal(info)
	if err != nil {
		return nil, fmt.Errorf("shard %s: %w", info.Key, err)
	}
	data, err := assemble(kindRecords, said, b.names, index, blocks, shared, keys)
	if err != nil {
		return nil, fmt.Errorf("shard %s: %w", info.Key, err)
	}
	return data, nil
}

// complete replaces the groups of all bodies. What has become equal stays twice among the
// bodies; the pool makes it one.
func (b *Builder) complete(group func(id string) []string) {
	for i, list := range b.bodies.all {
		at := 3 + int(list[2])
		out := slices.Clone(list[:at])
		groups := int(list[at])
		at++
		var done [][]symbol
		for range groups {
			n := int(list[at])
			var whole []symbol
			for _, id := range list[at+1 : at+1+n] {
				for _, name := range group(b.names.text[id]) {
					if s := b.names.symbol(name); !slices.Contains(whole, s) {
						whole = append(whole, s)
					}
				}
			}
			at += 1 + n
			if !slices.ContainsFunc(done, func(other []symbol) bool { return other[0] == whole[0] }) {
				done = append(done, whole)
			}
		}
		// In the order of their names, so that the order in a feed is not seen.
		slices.SortFunc(done, func(x, y []symbol) int { return cmp.Compare(b.names.text[x[0]], b.names.text[y[0]]) })
		out = append(out, symbol(len(done)))
		for _, whole := range done {
			out = append(append(out, symbol(len(whole))), whole...)
		}
		b.bodies.all[i] = out
	}
}

func (b *Builder) encodeAll(all [][]symbol, encode func(*encoder, []symbol)) [][]byte {
	out := make([][]byte, len(all))
	for i, list := range all {
		e := encoder{names: b.names}
		encode(&e, list)
		out[i] = e.b
	}
	return out
}

// encodeRows returns the rows of one package by the advisory's ID, each once.
func (b *Builder) encodeRows(rows []row, place pool, bodies, ranges, versions, only [][]byte) [][]byte {
	type sortable struct {
		id    uint32
		bytes []byte
	}
	all := make([]sortable, len(rows))
	for i, r := range rows {
		e := encoder{}
		e.uvarint(uint64(r.flags))
		e.uvarint(uint64(place.of[string(bodies[r.body-1])]))
		if r.ranges == 0 {
			e.uvarint(0)
		} else {
			e.uvarint(1 + uint64(place.of[string(ranges[r.ranges-1])]))
		}
		if r.versions != 0 {
			e.uvarint(uint64(place.of[string(versions[r.versions-1])]))
		}
		if r.only != 0 {
			e.uvarint(uint64(place.of[string(only[r.only-1])]))
		}
		all[i] = sortable{b.names.number[b.bodies.all[r.body-1][0]], e.b}
	}
	slices.SortFunc(all, func(x, y sortable) int {
		return cmp.Or(cmp.Compare(x.id, y.id), bytes.Compare(x.bytes, y.bytes))
	})
	out := make([][]byte, 0, len(all))
	for i, s := range all {
		if i == 0 || !bytes.Equal(s.bytes, all[i-1].bytes) {
			out = append(out, s.bytes)
		}
	}
	return out
}

func (e *encoder) body(list []symbol) {
	e.symbol(list[0])
	e.symbol(list[1])
	at := 3 + int(list[2])
	e.symbols(list[3:at])
	e.uvarint(uint64(list[at]))
	at++
	for at < len(list) {
		n := int(list[at])
		e.symbols(list[at+1 : at+1+n])
		at += 1 + n
	}
}

func (e *encoder) ranges(list []symbol) {
	e.uvarint(uint64(len(list) / 3))
	for _, s := range list {
		e.symbol(s)
	}
}

func (e *encoder) only(list []symbol) {
	e.uvarint(uint64(list[0]))
	e.symbol(list[1])
	at := 2
	lengthy := func() {
		n := int(list[at])
		e.symbols(list[at+1 : at+1+n])
		at += 1 + n
	}
	lengthy()
	e.uvarint(uint64(list[at]))
	at++
	for at < len(list) {
		e.symbol(list[at])
		at++
		lengthy()
		lengthy()
		lengthy()
	}
}

// A Shard is a table of advisories. It may be asked by many at once, and until it is
// closed.
type Shard struct {
	file  *file
	info  advisory.ShardInfo
	close func() error
}

// NewShard reads a shard from memory, which must not change.
func NewShard(data []byte) (*Shard, error) {
	f, err := parse(data)
	if err != nil {
		return nil, err
	}
	return newShard(f)
}

func newShard(f *file) (*Shard, error) {
	if f.kind != kindRecords {
		return nil, corrupt("a table of %s, want one of %s", f.kind, kindRecords)
	}
	s := &Shard{file: f}
	if err := json.Unmarshal(f.part[partInfo], &s.info); err != nil {
		return nil, corrupt("what it says of itself: %v", err)
	}
	return s, nil
}

// OpenShard maps a shard. The file may be closed, and removed, as soon as it
// has returned; whoever opened it closes what it returned.
func OpenShard(f *os.File) (*Shard, error) {
	data, unmap, err := mapped(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	s, err := NewShard(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), errors.Join(err, unmap()))
	}
	s.close = unmap
	return s, nil
}

// Close gives the memory back. What Lookup returned stays valid.
func (s *Shard) Close() error {
	if s.close == nil {
		return nil
	}
	return s.close()
}

// Info is what the shard says of itself.
func (s *Shard) Info() advisory.ShardInfo {
	info := s.info
	info.Sources = slices.Clone(info.Sources)
	return info
}

// Lookup returns the records of a package, ordered by ID; nil where there are none. The
// name may be in any form that the ecosystem takes for the same.
func (s *Shard) Lookup(name string) ([]advisory.Record, error) {
	d, err := s.file.find(s.info.Key.Normal(name))
	if err != nil || d == nil {
		return nil, s.wrap(name, err)
	}
	records := make([]advisory.Record, d.count(int(unsafe.Sizeof(advisory.Record{}))))
	for i := range records {
		d.record(&records[i])
	}
	if err := d.done(); err != nil {
		return nil, s.wrap(name, err)
	}
	return records, nil
}

func (s *Shard) wrap(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("shard %s: %s: %w", s.info.Key, strings.ToValidUTF8(name, "?"), err)
}

// Names goes through the names of all packages of the shard, in order.
func (s *Shard) Names(yield func(string, error) bool) {
	for i := range s.file.keys {
		if !yield(s.file.key(i)) {
			return
		}
	}
}

func (d *decoder) record(r *advisory.Record) {
	flags := d.byte()
	r.State, r.Severity = advisory.State(flags&7), advisory.Severity(flags>>3&7)
	if r.State > advisory.UnderInvestigation || r.Severity > advisory.Critical {
		d.err = cmp.Or(d.err, corrupt("a record in a state that is none"))
	}
	d.pool(func(p *decoder) {
		r.ID, r.Source, r.CVSS = p.string(), p.string(), p.strings()
		if n := p.count(24); n > 0 {
			r.IDs = make([][]string, n)
			for i := range r.IDs {
				r.IDs[i] = p.strings()
			}
		}
	})
	d.ranges(r)
	if flags&flagVersions != 0 {
		d.pool(func(p *decoder) { r.Versions = p.strings() })
	}
	if flags&flagOnly != 0 {
		d.pool(func(p *decoder) { p.qualifiers(&r.Only) })
	}
}

func (d *decoder) ranges(r *advisory.Record) {
	at := d.uvarint()
	if at == 0 || d.err != nil {
		return
	}
	p := &decoder{file: d.file, budget: d.budget}
	if d.err = p.jump(d.file.part[partPool], at-1); d.err != nil {
		return
	}
	if n := p.count(int(unsafe.Sizeof(advisory.Range{}))); n > 0 {
		r.Ranges = make([]advisory.Range, n)
		for i := range r.Ranges {
			r.Ranges[i] = advisory.Range{Introduced: p.string(), Fixed: p.string(), LastAffected: p.string()}
		}
	}
	d.budget, d.err = p.budget, p.err
}

func (d *decoder) qualifiers(q *advisory.Qualifiers) {
	q.Source = d.byte() != 0
	q.Module, q.Arch = d.string(), d.strings()
	if n := d.count(int(unsafe.Sizeof(advisory.Import{}))); n > 0 {
		q.Imports = make([]advisory.Import, n)
		for i := range q.Imports {
			q.Imports[i] = advisory.Import{Path: d.string(), GOOS: d.strings(), GOARCH: d.strings(), Symbols: d.strings()}
		}
	}
}
