package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
	"github.com/bulwark-k8s/bulwark/internal/advisory/table"
)

// An arrival is a database that comes from elsewhere. Nothing of it counts before all of
// it was checked.
type arrival struct {
	*change
	manifest        *Manifest
	data, signature []byte
	before          string // the set that counts now; empty without
	beforeHas       *Manifest
	placed          int
}

// arrive begins to take over a database: its signature is checked, if a key is asked for,
// and that it is not older than the one that is there.
func arrive(ctx context.Context, dir string, manifest, signature []byte, o Options) (*arrival, error) {
	m, err := parseManifest(manifest)
	if err != nil {
		return nil, err
	}
	if o.Key != nil {
		if err := verify(o.Key, manifest, signature); err != nil {
			return nil, err
		}
	}
	if err := older(dir, m, o); err != nil {
		return nil, err
	}
	c, err := begin(ctx, dir, o.Now)
	if err != nil {
		return nil, err
	}
	a := &arrival{change: c, manifest: m, data: manifest, signature: signature}
	a.before, a.beforeHas = there(dir)
	return a, nil
}

// has takes a table from the set that counts now, if it is the same there.
func (a *arrival) has(t Table) bool {
	if a.beforeHas == nil {
		return false
	}
	old, ok := a.beforeHas.table(t.Key)
	if !ok || old.SHA256 != t.SHA256 {
		return false
	}
	if sum, err := fileSum(filepath.Join(a.before, t.File)); err != nil || sum != t.SHA256 || a.reuse(a.before, t.File) != nil {
		return false
	}
	a.placed++
	return true
}

// place reads a table and checks it: its size, its checksum, and that all of it can be
// asked for.
func (a *arrival) place(t Table, in io.Reader) error {
	var b bytes.Buffer
	n, err := io.Copy(&b, io.LimitReader(in, t.Size+1))
	if err != nil {
		return fmt.Errorf("table %s: %w", t.Key, err)
	}
	if n != t.Size {
		return fmt.Errorf("table %s: %d bytes or more, the manifest says %d", t.Key, n, t.Size)
	}
	if sum := sha256.Sum256(b.Bytes()); hex.EncodeToString(sum[:]) != t.SHA256 {
		return fmt.Errorf("table %s: its checksum is not the one of the manifest", t.Key)
	}
	if err := table.Check(b.Bytes()); err != nil {
		return fmt.Errorf("table %s: %w", t.Key, err)
	}
	if t.Info != nil {
		s, err := table.NewShard(b.Bytes())
		if err != nil || s.Info().Key != t.Key {
			return fmt.Errorf("table %s: it is another one", t.Key)
		}
	}
	if err := a.put(t.File, b.Bytes()); err != nil {
		return err
	}
	a.placed++
	return nil
}

// finish makes the database count.
func (a *arrival) finish() (*Manifest, error) {
	if a.placed == 0 {
		return nil, fmt.Errorf("none of its %d tables came", len(a.manifest.Tables))
	}
	if err := a.commit(a.data, a.signature); err != nil {
		return nil, err
	}
	return a.manifest, nil
}

// wanted reports whether a table is among those that are asked for: by its whole key, or
// by its beginning up to a slash. None asked for: all. Details and enrichment always are.
func wanted(key advisory.Key, keys []string) bool {
	if len(keys) == 0 || key == keyDetails || key == keyEnrichment {
		return true
	}
	for _, k := range keys {
		if string(key) == k || strings.HasPrefix(string(key), strings.TrimSuffix(k, "/")+"/") {
			return true
		}
	}
	return false
}

// unknownKeys returns those of the keys that no table has.
func unknownKeys(m *Manifest, keys []string) error {
	for _, k := range keys {
		found := false
		for _, t := range m.Tables {
			found = found || t.Info != nil && wanted(t.Key, []string{k})
		}
		if !found {
			return &Error{fmt.Errorf("shard %q: the database has none of that name", k), "`bulwark image db status` lists them"}
		}
	}
	return nil
}
