//go:build unix

package table

import (
	"os"

	"golang.org/x/sys/unix"
)

// mapped returns a file's bytes as they lie on disk, and what gives them back. Nobody
// writes to a table that is there: a new one gets a new file.
func mapped(f *os.File) ([]byte, func() error, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() || info.Size() < headerSize || info.Size() > MaxSize {
		return nil, nil, corrupt("%d bytes", info.Size())
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, &os.PathError{Op: "mmap", Path: f.Name(), Err: err}
	}
	return data, func() error { return unix.Munmap(data) }, nil
}
