package layer

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"
)

// A Cache keeps results in a folder, one file each. There is no lock: a file is written
// beside its place and moved there, what is torn or was touched is read anew, and what
// somebody else removes is read anew. Any number of processes may share the folder, and
// one that may not be written is only read.
type Cache struct {
	dir string
	max int64
}

// DefaultCacheSize is the number of bytes that a cache takes up at most: the results of
// a few hundred images.
const DefaultCacheSize = 512 << 20

// cacheVersion changes when what a layer's pass records does, other than in its types.
const cacheVersion = 1

// NewCache gives the cache in a folder, which is made when the first result is kept. Max
// is the number of bytes that Trim leaves; 0: DefaultCacheSize. A nil *Cache keeps
// nothing.
func NewCache(dir string, max int64) *Cache {
	if max == 0 {
		max = DefaultCacheSize
	}
	return &Cache{dir: dir, max: max}
}

// Key names a layer's result: by the digest of the bytes that were read, by whoever was
// asked about them, and by the limits, which decide what is a gap.
func Key(digest string, finders []Finder, l Limits) string {
	names := make([]string, 0, len(finders))
	for _, f := range finders {
		names = append(names, fmt.Sprintf("%s %d", f.Name(), f.Version()))
	}
	slices.Sort(names)
	h := sha256.Sum256(fmt.Appendf(nil, "%d %x %+v\n%s\n%s", cacheVersion, fingerprint(reflect.TypeFor[Result]()), l.defaults(), digest, strings.Join(names, "\n")))
	return hex.EncodeToString(h[:])
}

// Get gives a result that was kept, nil if there is none that is whole. It is not to be
// changed.
func (c *Cache) Get(key string) *Result {
	if c == nil {
		return nil
	}
	name := c.file(key)
	b, err := os.ReadFile(name)
	if err != nil || len(b) < sha256.Size {
		return nil
	}
	// The sum covers the name too: a file that was moved onto another is not taken for
	// it.
	body := b[sha256.Size:]
	if sum := checksum(key, body); !bytes.Equal(sum[:], b[:sha256.Size]) {
		return nil
	}
	r := &Result{}
	if decode(string(body), r) != nil {
		return nil
	}
	c.touch(name)
	return r
}

// Put keeps a result.
func (c *Cache) Put(key string, r *Result) error {
	if c == nil {
		return nil
	}
	body, err := encode(r)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(c.dir, temporary+"*") // mode 0600
	if err != nil {
		return err
	}
	sum := checksum(key, body)
	_, err = f.Write(append(sum[:], body...))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), c.file(key))
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

const (
	temporary = "writing-"
	suffix    = ".layer"
)

func (c *Cache) file(key string) string { return filepath.Join(c.dir, key+suffix) }

func checksum(key string, body []byte) [sha256.Size]byte {
	h := sha256.New()
	h.Write([]byte(key))
	h.Write(body)
	return [sha256.Size]byte(h.Sum(nil))
}

// touch marks a result as used, so that Trim keeps it longer; not more than once an
// hour, and where the file may not be written, not at all.
func (c *Cache) touch(name string) {
	now := time.Now()
	if fi, err := os.Stat(name); err == nil && now.Sub(fi.ModTime()) > time.Hour {
		_ = os.Chtimes(name, now, now)
	}
}

// Trim removes what was not used for longest until the cache is within its size, and
// what a process that was killed left half written.
func (c *Cache) Trim() error {
	if c == nil {
		return nil
	}
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return err
	}
	var files []fs.FileInfo
	var total int64
	for _, e := range entries {
		fi, err := e.Info()
		if err != nil || !fi.Mode().IsRegular() {
			continue
		}
		switch {
		case strings.HasSuffix(fi.Name(), suffix):
			files = append(files, fi)
			total += fi.Size()
		case strings.HasPrefix(fi.Name(), temporary) && time.Since(fi.ModTime()) > time.Hour:
			os.Remove(filepath.Join(c.dir, fi.Name()))
		}
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, fi := range files {
		if total <= c.max {
			break
		}
		if err := os.Remove(filepath.Join(c.dir, fi.Name())); err != nil {
			return err
		}
		total -= fi.Size()
	}
	return nil
}
