package cli

import (
	"bytes"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/manifest"
)

// A lineReader returns lines of files, and keeps the last file.
type lineReader struct {
	file  string
	lines [][]byte
}

// text returns a line, counted from 1, of the file that an object was read from.
func (r *lineReader) text(src cluster.Source, line int) (string, bool) {
	if r.file != src.Origin {
		r.file, r.lines = src.Origin, nil
		if data, err := readBounded(src.Origin, manifest.MaxFileSize); err == nil {
			r.lines = bytes.Split(data, []byte("\n"))
		}
	}
	if line < 1 || line > len(r.lines) {
		return "", false
	}
	return string(r.lines[line-1]), true
}
