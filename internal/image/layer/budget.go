package layer

import (
	"cmp"
	"sync/atomic"
)

// A Budget is what all layers of one image may cost together, in bytes read and in
// memory, whoever of them is read first.
type Budget struct {
	left [4]atomic.Int64
}

type resource int

const (
	ofBytes resource = iota // uncompressed
	ofNames                 // of the journals
	ofFinds
	ofLinks // symbolic
)

// NewBudget gives the budget of an image of at most so many uncompressed bytes; 0: 128
// GiB. The other limits are far above what images have: 192 MiB of paths, and a quarter of
// a million each of files that mean something and of symbolic links.
func NewBudget(maxBytes int64) *Budget {
	b := &Budget{}
	b.left[ofBytes].Store(cmp.Or(maxBytes, 128<<30))
	b.left[ofNames].Store(192 << 20)
	b.left[ofFinds].Store(256 << 10)
	b.left[ofLinks].Store(256 << 10)
	return b
}

// take reports whether there was so much left.
func (b *Budget) take(r resource, n int64) bool {
	return b == nil || b.left[r].Add(-n) >= 0
}

func (b *Budget) spent(r resource) bool { return b != nil && b.left[r].Load() < 0 }

// Admit takes what a result that was read earlier costs, and reports whether there was
// so much left.
func (b *Budget) Admit(r *Result) bool {
	return b.take(ofNames, int64(len(r.Entries.Bytes))) && b.take(ofFinds, int64(len(r.Finds)))
}
