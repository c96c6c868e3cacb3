//go:build !unix

package table

import (
	"io"
	"os"
)

// mapped reads a file where it cannot be mapped.
func mapped(f *os.File) ([]byte, func() error, error) {
	data, err := io.ReadAll(io.LimitReader(io.NewSectionReader(f, 0, MaxSize+1), MaxSize+1))
	if err != nil {
		return nil, nil, err
	}
	if len(data) < headerSize || len(data) > MaxSize {
		return nil, nil, corrupt("%d bytes", len(data))
	}
	return data, func() error { return nil }, nil
}
