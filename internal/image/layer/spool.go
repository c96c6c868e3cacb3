package layer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// spoolMemory is the largest file that is held in memory while finders look at it; there
// is one such buffer for each layer that is being read.
const spoolMemory = 4 << 20

// A spool makes a stream's next file readable at any place: small ones in memory, large
// ones in a temporary file that has no name any more. It is used for one file after the
// other.
type spool struct {
	dir    string
	memory []byte
	disk   *os.File
	named  bool
}

// load reads size bytes, of which head was read already. The content is good until the
// next load. Errors of the temporary file are of type *os.PathError; all others are r's.
func (s *spool) load(head []byte, r io.Reader, size int64) (io.ReaderAt, error) {
	if size <= spoolMemory {
		if int64(cap(s.memory)) < size {
			s.memory = make([]byte, max(size, int64(2*cap(s.memory)), 64<<10))
		}
		b := s.memory[:size]
		n := copy(b, head)
		if _, err := io.ReadFull(r, b[n:]); err != nil {
			return nil, short(err)
		}
		return bytes.NewReader(b), nil
	}
	if s.disk == nil {
		f, err := os.CreateTemp(s.dir, "bulwark-*")
		if err != nil {
			return nil, err
		}
		// Windows does not let go of a name before the file is closed.
		s.named = os.Remove(f.Name()) != nil
		s.disk = f
	}
	// What an earlier file left is cut off, so that a smaller one does not seem longer.
	if err := s.disk.Truncate(0); err != nil {
		return nil, err
	}
	if cap(s.memory) < 256<<10 {
		s.memory = make([]byte, 256<<10)
	}
	if _, err := s.disk.WriteAt(head, 0); err != nil {
		return nil, err
	}
	buf := s.memory[:256<<10]
	for at := int64(len(head)); at < size; {
		n, err := io.ReadFull(r, buf[:min(int64(len(buf)), size-at)])
		if err != nil {
			return nil, short(err)
		}
		if _, err := s.disk.WriteAt(buf[:n], at); err != nil {
			return nil, err
		}
		at += int64(n)
	}
	return io.NewSectionReader(s.disk, 0, size), nil
}

func (s *spool) close() {
	if s.disk != nil {
		s.disk.Close()
		if s.named {
			os.Remove(s.disk.Name())
		}
	}
}

// short makes the end of a stream in the middle of a file what it is: an error.
func short(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("in the middle of a file: %w", io.ErrUnexpectedEOF)
	}
	return err
}
