// Package snapshot writes what a scan read into one file, and reads it back: facts that
// can be carried out of a site without a network and scanned elsewhere.
//
// The file is gzip of lines of JSON: a Header, one record for each fact, and the number
// of records. The same facts give the same bytes. It holds no value of a Secret or
// ConfigMap, because a Snapshot holds none, and of pods not what Options
// take out.
//
// A file comes from elsewhere, so reading has limits: of the whole, of a record, and of
// how much a byte of the file may grow to.
package snapshot

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// Format names the shape of the file.
const Format = "bulwark.snapshot/v1"

// The limits of reading.
const (
	MaxSize   = 2 << 30  // bytes of all records
	MaxRecord = 16 << 20 // bytes of one
	maxGrowth = 200      // bytes that one byte of the file may become
)

// A Header says what the file holds.
type Header struct {
	Format  string    `json:"format"`
	Bulwark string    `json:"bulwark"` // the version that wrote it
	Taken   time.Time `json:"taken"`
	Cluster string    `json:"cluster"`
	Version string    `json:"version,omitempty"` // the API server's
	Live    bool      `json:"live"`
	// Counts are the records by kind.
	Counts map[string]int `json:"counts"`
	// LeftOut says in words what was there and is not here.
	LeftOut []string `json:"leftOut"`
	// Foreign counts the objects of kinds that are not known, which are left out.
	Foreign map[string]int `json:"foreign,omitempty"`
	// Own are the kinds with pod templates that the user named then.
	Own    []cluster.CustomKind `json:"own,omitempty"`
	Looked []cluster.Need       `json:"looked"`
	Gaps   []cluster.Gap        `json:"gaps"`
}

// leftOut is what no file holds.
var leftOut = []string{
	"values of Secrets and ConfigMaps: they were never read",
	"values of environment variables, and arguments, headers and settings of volumes' drivers that look like credentials: replaced by \"redacted\"",
	"managedFields, and the text of annotations that repeat an object or hold a token",
	"lines of fields in files that were scanned",
}

// Options are what Write needs beside the facts.
type Options struct {
	Bulwark string
	Taken   time.Time
	// Pod, Args and Settings take out of a pod spec, of a process's arguments, and of the
	// settings of a volume's driver, in place, what may be a credential. They work on copies.
	Pod      func(*corev1.PodSpec)
	Args     func([]string)
	Settings func(map[string]string)
}

// Write writes the snapshot.
func Write(w io.Writer, s *cluster.Snapshot, o Options) error {
	f := s.Facts()
	h := Header{
		Format: Format, Bulwark: o.Bulwark, Taken: o.Taken.UTC().Truncate(time.Second),
		Cluster: f.Name, Version: f.Version, Live: f.Live, Counts: map[string]int{}, LeftOut: leftOut,
		Foreign: f.Foreign, Own: f.Own, Looked: f.Looked, Gaps: f.Gaps,
	}
	records, err := encode(f, o, h.Counts)
	if err != nil {
		return err
	}
	z := gzip.NewWriter(w)
	e := json.NewEncoder(z)
	e.SetEscapeHTML(false)
	if err := e.Encode(h); err != nil {
		return err
	}
	for _, r := range records {
		if err := e.Encode(r); err != nil {
			return err
		}
	}
	if err := e.Encode(record{End: len(records) + 1}); err != nil {
		return err
	}
	return z.Close()
}

// Is reports whether the beginning of a file is that of a snapshot's.
func Is(start []byte) bool {
	z, err := gzip.NewReader(bytes.NewReader(start))
	if err != nil {
		return false
	}
	want := []byte(`{"format":"bulwark.snapshot/`)
	have := make([]byte, len(want))
	n, _ := io.ReadFull(z, have)
	return n == len(want) && bytes.Equal(have, want)
}

// Read reads a snapshot, of a file of size bytes. Own kinds that it was taken without are
// gaps of it.
func Read(in io.Reader, size int64, own ...cluster.CustomKind) (*cluster.Snapshot, Header, error) {
	h, lines, err := open(in, size)
	if err != nil {
		return nil, h, err
	}
	f := cluster.Facts{Name: h.Cluster, Version: h.Version, Live: h.Live, Foreign: h.Foreign, Own: h.Own, Looked: h.Looked, Gaps: h.Gaps}
	for _, k := range own {
		same := func(have cluster.CustomKind) bool { return reflect.DeepEqual(have, k) }
		if !slices.ContainsFunc(h.Own, same) {
			f.Gaps = append(f.Gaps, cluster.Gap{Need: cluster.OwnWorkloads, Reason: string(k.Need) + ": the snapshot was taken without it, or with another template"})
		}
	}
	for n := 1; ; n++ {
		line, err := lines.next()
		if err != nil {
			return nil, h, err
		}
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			return nil, h, fmt.Errorf("record %d: %w", n, err)
		}
		if r.End > 0 {
			if r.End != n {
				return nil, h, fmt.Errorf("it ends with record %d of %d", n, r.End)
			}
			break
		}
		if err := r.decode(&f); err != nil {
			return nil, h, fmt.Errorf("record %d: %w", n, err)
		}
	}
	return cluster.Restore(f), h, nil
}

// ReadHeader reads only what the file says of itself.
func ReadHeader(in io.Reader, size int64) (Header, error) {
	h, _, err := open(in, size)
	return h, err
}

func open(in io.Reader, size int64) (h Header, l *lines, err error) {
	z, err := gzip.NewReader(in)
	if err != nil {
		return h, nil, errors.New("it is no snapshot: not in gzip")
	}
	most := min(MaxSize, size*maxGrowth+1<<20)
	l = &lines{in: bufio.NewReaderSize(&bounded{in: z, left: most}, 1<<16)}
	first, err := l.next()
	if err != nil {
		return h, nil, err
	}
	if err := json.Unmarshal(first, &h); err != nil || h.Format == "" {
		return h, nil, errors.New("it is no snapshot: it has no header")
	}
	if h.Format != Format {
		return h, nil, fmt.Errorf("its format is %.40q, want %s: use the version of bulwark that wrote it", h.Format, Format)
	}
	return h, l, nil
}

// bounded reads no more than is left, and says so.
type bounded struct {
	in   io.Reader
	left int64
}

var errTooLarge = errors.New("it grows to more than a snapshot of its size would hold")

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLarge
	}
	n, err := b.in.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

type lines struct {
	in  *bufio.Reader
	buf []byte
}

// next returns the next line, valid until the one after.
func (l *lines) next() ([]byte, error) {
	l.buf = l.buf[:0]
	for {
		part, err := l.in.ReadSlice('\n')
		l.buf = append(l.buf, part...)
		switch {
		case len(l.buf) > MaxRecord:
			return nil, fmt.Errorf("a record has more than %d MB", MaxRecord>>20)
		case err == nil:
			return l.buf, nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil, errors.New("it is cut off")
		case errors.Is(err, gzip.ErrChecksum), errors.Is(err, errTooLarge):
			return nil, err
		default:
			return nil, fmt.Errorf("it is damaged: %w", err)
		}
	}
}
