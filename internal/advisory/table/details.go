package table

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
)

// Details returns the table of what a person reads, by the name of the advisory.
func Details(all map[string]advisory.Detail) ([]byte, error) {
	names := newNames()
	type entry struct {
		key, summary symbol
		published    uint64 // days since 1970 and one, 0 where it is not known
		references   []symbol
	}
	entries := make([]entry, 0, len(all))
	for id, d := range all {
		entries = append(entries, entry{names.symbol(id), names.symbol(d.Summary), toDay(d.Published), names.symbols(d.References)})
	}
	index, blocks := names.sorted()
	rows := make([]keyed, len(entries))
	for i, x := range entries {
		e := encoder{names: names}
		e.symbol(x.summary)
		e.uvarint(x.published)
		e.symbols(x.references)
		rows[i] = keyed{x.key, e.b}
	}
	return assemble(kindDetails, []byte("{}"), names, index, blocks, nil, rows)
}

// Enrichments returns the table of what is known of vulnerabilities whoever ships them,
// by any of their names. Probabilities are kept to five digits, as they are published.
func Enrichments(all map[string]advisory.Enrichment) ([]byte, error) {
	names := newNames()
	type entry struct {
		key  symbol
		cvss []symbol
		of   advisory.Enrichment
	}
	entries := make([]entry, 0, len(all))
	for id, x := range all {
		cvss := slices.Compact(slices.Sorted(slices.Values(x.CVSS)))
		entries = append(entries, entry{names.symbol(id), names.symbols(cvss), x})
	}
	index, blocks := names.sorted()
	rows := make([]keyed, len(entries))
	for i, x := range entries {
		e := encoder{names: names}
		ransomware := uint64(0)
		if x.of.Ransomware {
			ransomware = 1
		}
		e.uvarint(toDay(x.of.Exploited)<<1 | ransomware)
		e.uvarint(toPart(x.of.EPSS))
		e.uvarint(toPart(x.of.Percentile))
		e.symbols(x.cvss)
		rows[i] = keyed{x.key, e.b}
	}
	return assemble(kindEnrichment, []byte("{}"), names, index, blocks, nil, rows)
}

// onePart is a probability of one.
const onePart = 100_000

func toPart(p float32) uint64 {
	if !(p > 0) { // and where it is no number
		return 0
	}
	return uint64(math.Round(float64(min(p, 1)) * onePart))
}

const aDay = 24 * time.Hour

func toDay(t time.Time) uint64 {
	if t.Before(time.Unix(0, 0)) {
		return 0
	}
	return uint64(t.Unix()/int64(aDay/time.Second)) + 1
}

func (d *decoder) day(v uint64) time.Time {
	if v == 0 {
		return time.Time{}
	}
	if v > 1<<22 { // in eleven thousand years
		d.err = cmp.Or(d.err, corrupt("day %d", v))
		return time.Time{}
	}
	return time.Unix(int64(v-1)*int64(aDay/time.Second), 0).UTC()
}

func (d *decoder) part() float32 {
	v := d.uvarint()
	if v > onePart {
		d.err = cmp.Or(d.err, corrupt("a probability of %d in %d", v, onePart))
		return 0
	}
	return float32(v) / onePart
}

// A Book is an open table of details or enrichments.
type Book struct {
	file  *file
	close func() error
}

// NewBook reads a table of details or of enrichments from memory, which must not change.
func NewBook(data []byte) (*Book, error) {
	f, err := parse(data)
	if err != nil {
		return nil, err
	}
	if f.kind != kindDetails && f.kind != kindEnrichment {
		return nil, corrupt("a table of %s, want one of %s or %s", f.kind, kindDetails, kindEnrichment)
	}
	return &Book{file: f}, nil
}

// OpenBook maps a table of details or of enrichments. The file may be closed, and removed, as soon as it
// has returned; whoever opened it closes what it returned.
func OpenBook(f *os.File) (*Book, error) {
	data, unmap, err := mapped(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	b, err := NewBook(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), errors.Join(err, unmap()))
	}
	b.close = unmap
	return b, nil
}

// Close gives the memory back.
func (b *Book) Close() error {
	if b.close == nil {
		return nil
	}
	return b.close()
}

// Len is the number of entries.
func (b *Book) Len() int { return b.file.keys }

// Names goes through the names of all entries, in order.
func (b *Book) Names(yield func(string, error) bool) {
	for i := range b.file.keys {
		if !yield(b.file.key(i)) {
			return
		}
	}
}

// Detail returns what the table has of an advisory; zero where it has nothing.
func (b *Book) Detail(id string) (advisory.Detail, error) {
	d, err := b.find(kindDetails, id)
	if err != nil || d == nil {
		return advisory.Detail{}, err
	}
	out := advisory.Detail{Summary: d.string(), Published: d.day(d.uvarint()), References: d.strings()}
	if d.err != nil {
		return advisory.Detail{}, fmt.Errorf("details of %s: %w", strings.ToValidUTF8(id, "?"), d.err)
	}
	return out, nil
}

// Enrichment returns what the table has of a vulnerability; zero where it has nothing.
func (b *Book) Enrichment(id string) (advisory.Enrichment, error) {
	d, err := b.find(kindEnrichment, id)
	if err != nil || d == nil {
		return advisory.Enrichment{}, err
	}
	v := d.uvarint()
	out := advisory.Enrichment{
		Exploited: d.day(v >> 1), Ransomware: v&1 == 1,
		EPSS: d.part(), Percentile: d.part(), CVSS: d.strings(),
	}
	if d.err != nil {
		return advisory.Enrichment{}, fmt.Errorf("enrichment of %s: %w", strings.ToValidUTF8(id, "?"), d.err)
	}
	return out, nil
}

func (b *Book) find(k kind, id string) (*decoder, error) {
	if b.file.kind != k {
		return nil, corrupt("a table of %s, want one of %s", b.file.kind, k)
	}
	return b.file.find(id)
}

// Check reads all of a table, whatever it holds, and tells whether every byte of it that
// could be asked for is sound.
func Check(data []byte) error {
	f, err := parse(data)
	if err != nil {
		return err
	}
	if f.kind == kindRecords {
		s, err := newShard(f)
		if err != nil {
			return err
		}
		return s.check()
	}
	b, err := NewBook(data)
	if err != nil {
		return err
	}
	for name, err := range b.Names {
		if err == nil && f.kind == kindDetails {
			_, err = b.Detail(name)
		} else if err == nil {
			_, err = b.Enrichment(name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Shard) check() error {
	for name, err := range s.Names {
		if err != nil {
			return err
		}
		records, err := s.Lookup(name)
		if err != nil {
			return err
		}
		if len(records) == 0 {
			return corrupt("shard %s: %s has no records, or is not where it is looked for", s.info.Key, name)
		}
	}
	return nil
}
