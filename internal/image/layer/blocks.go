package layer

import (
	"context"
	"errors"
	"fmt"
	"io"
)

const (
	blockSize   = 128 << 10
	blocksAhead = 4
)

// blocks reads a stream ahead, so that it is decompressed on one processor while its
// content is looked at on another, and skips what nobody looks at without copying it. It
// is where the number of bytes is limited.
type blocks struct {
	full, free chan []byte
	stop       chan struct{}
	err        error // set before full is closed
	block      []byte
	rest       []byte // of block
	at         int64
}

// A limitError says which of the limits a layer is over.
type limitError struct{ what string }

func (e *limitError) Error() string { return e.what }

func readAhead(ctx context.Context, r io.Reader, limit int64, budget *Budget) *blocks {
	b := &blocks{full: make(chan []byte, blocksAhead), free: make(chan []byte, blocksAhead+2), stop: make(chan struct{})}
	go b.fill(ctx, r, limit, budget)
	return b
}

func (b *blocks) fill(ctx context.Context, r io.Reader, limit int64, budget *Budget) {
	defer close(b.full)
	var total int64
	made := 0
	for {
		var block []byte
		select {
		case block = <-b.free:
		default:
			if made < blocksAhead+2 {
				block = make([]byte, blockSize)
				made++
				break
			}
			select {
			case block = <-b.free:
			case <-b.stop:
				return
			}
		}
		n, err := 0, error(nil)
		for n < len(block) && err == nil {
			var m int
			m, err = r.Read(block[n:])
			n += m
		}
		total += int64(n)
		if ctx.Err() != nil {
			b.err = ctx.Err()
			return
		}
		if total > limit {
			b.err = &limitError{fmt.Sprintf("is larger than the limit of %d bytes", limit)}
			return
		}
		if !budget.take(ofBytes, int64(n)) {
			b.err = &limitError{"makes the image larger than its limit"}
			return
		}
		if n > 0 {
			select {
			case b.full <- block[:n]:
			case <-b.stop:
				return
			}
		}
		if err != nil {
			b.err = err
			return
		}
	}
}

// next makes sure that there is something to be read.
func (b *blocks) next() error {
	for len(b.rest) == 0 {
		if b.block != nil {
			b.free <- b.block[:cap(b.block)]
			b.block = nil
		}
		block, ok := <-b.full
		if !ok {
			return b.err
		}
		b.block, b.rest = block, block
	}
	return nil
}

// Read reads from one block at most.
func (b *blocks) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := b.next(); err != nil {
		return 0, err
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	b.at += int64(n)
	return n, nil
}

// Seek goes forward from the current place only, which is all that archive/tar does with
// it (its function discard). At the stream's end it stays there.
func (b *blocks) Seek(offset int64, whence int) (int64, error) {
	if whence != io.SeekCurrent || offset < 0 {
		return 0, errors.ErrUnsupported
	}
	for offset > 0 {
		if err := b.next(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return b.at, err
		}
		n := min(offset, int64(len(b.rest)))
		b.rest = b.rest[n:]
		b.at += n
		offset -= n
	}
	return b.at, nil
}

// drain reads to the end, so that whoever verifies the stream sees all of it.
func (b *blocks) drain() error {
	for {
		b.at += int64(len(b.rest))
		b.rest = nil
		if err := b.next(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// close ends the reading ahead and waits for it, so that the reader may be closed.
func (b *blocks) close() {
	close(b.stop)
	for range b.full {
		continue
	}
}
