package store

import (
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
	"github.com/bulwark-k8s/bulwark/internal/advisory/table"
)

// A Database is an open one. Many may be open at once, here and in other processes, and
// one stays as it was opened when the folder gets another.
type Database struct {
	manifest *Manifest
	set      string
	key      crypto.PublicKey // shards are compared with the manifest where there is one

	files map[advisory.Key]*os.File

	mu     sync.Mutex
	shards map[advisory.Key]*table.Shard
	books  map[advisory.Key]*table.Book
}

var _ advisory.Database = (*Database)(nil)

// Open opens the database of a folder. Whoever opens it closes it.
func Open(dir string) (*Database, error) { return OpenSigned(dir, nil) }

// OpenSigned opens a database that the key has signed.
func OpenSigned(dir string, key crypto.PublicKey) (*Database, error) {
	for {
		set, err := current(dir)
		if err != nil {
			return nil, err
		}
		db, err := openSet(set, key)
		if err == nil && len(db.files) == len(db.manifest.Tables) || err != nil && !errors.Is(err, fs.ErrNotExist) {
			return db, err
		}
		// Something is missing. Either only a part was pulled, or the set was replaced and
		// taken away while it was opened: then there is another one by now.
		if now, nameErr := current(dir); nameErr != nil || now == set {
			return db, errors.Join(err, nameErr)
		}
		if db != nil {
			if err := db.Close(); err != nil {
				return nil, err
			}
		}
	}
}

func openSet(set string, key crypto.PublicKey) (*Database, error) {
	m, data, err := readManifest(set)
	if err != nil {
		return nil, err
	}
	if key != nil {
		signature, err := os.ReadFile(filepath.Join(set, signatureFile))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if err := verify(key, data, signature); err != nil {
			return nil, fmt.Errorf("%s: %w", set, err)
		}
	}
	db := &Database{
		manifest: m, set: set, key: key,
		files: map[advisory.Key]*os.File{}, shards: map[advisory.Key]*table.Shard{}, books: map[advisory.Key]*table.Book{},
	}
	// All files now, so that a set that is removed meanwhile is still read to its end.
	for _, t := range m.Tables {
		f, err := os.Open(filepath.Join(set, t.File))
		if errors.Is(err, fs.ErrNotExist) {
			continue // only a part was pulled
		}
		if err != nil {
			return nil, errors.Join(err, db.Close())
		}
		db.files[t.Key] = f
	}
	if len(db.files) == 0 && len(m.Tables) > 0 {
		return nil, fmt.Errorf("%s: %w", set, fs.ErrNotExist)
	}
	return db, nil
}

// Manifest says what the database is. It must not be changed.
func (db *Database) Manifest() *Manifest { return db.manifest }

// Missing reports whether a table of the manifest is not in the folder.
func (db *Database) Missing(key advisory.Key) bool {
	_, listed := db.manifest.table(key)
	return listed && db.files[key] == nil
}

// Close gives files and memory back. Nothing may be asked afterwards.
func (db *Database) Close() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	var failed error
	for _, s := range db.shards {
		failed = errors.Join(failed, s.Close())
	}
	for _, b := range db.books {
		failed = errors.Join(failed, b.Close())
	}
	for _, f := range db.files {
		f.Close()
	}
	db.shards, db.books, db.files = nil, nil, nil
	return failed
}

// Shard returns a table; false where there is none.
func (db *Database) Shard(key advisory.Key) (advisory.Shard, bool, error) {
	if key == keyDetails || key == keyEnrichment {
		return nil, false, nil
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	if s := db.shards[key]; s != nil {
		return s, true, nil
	}
	f, err := db.file(key)
	if err != nil || f == nil {
		return nil, false, err
	}
	s, err := table.OpenShard(f)
	if err != nil {
		return nil, false, damaged(err)
	}
	if s.Info().Key != key {
		return nil, false, damaged(errors.Join(fmt.Errorf("shard %s says that it is %s", key, s.Info().Key), s.Close()))
	}
	db.shards[key] = s
	return s, true, nil
}

// file returns a table's file; nil where there is none.
func (db *Database) file(key advisory.Key) (*os.File, error) {
	f := db.files[key]
	if f == nil || db.key == nil {
		return f, nil
	}
	t, _ := db.manifest.table(key)
	// Of the open file: its name may be gone.
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, table.MaxSize+1)); err != nil {
		return nil, err
	}
	if hex.EncodeToString(h.Sum(nil)) != t.SHA256 {
		return nil, damaged(fmt.Errorf("table %s: its checksum is not the signed one", key))
	}
	return f, nil
}

func damaged(err error) error {
	return &Error{err, "make it anew with `bulwark image db update`, or import it again"}
}

// book opens details or enrichment; nil where there is none.
func (db *Database) book(key advisory.Key) (*table.Book, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if b := db.books[key]; b != nil {
		return b, nil
	}
	f, err := db.file(key)
	if err != nil || f == nil {
		return nil, err
	}
	b, err := table.OpenBook(f)
	if err != nil {
		return nil, damaged(err)
	}
	db.books[key] = b
	return b, nil
}

// Enrichment returns what is known of a vulnerability whoever ships it; zero where nothing
// is.
func (db *Database) Enrichment(id string) (advisory.Enrichment, error) {
	b, err := db.book(keyEnrichment)
	if err != nil || b == nil {
		return advisory.Enrichment{}, err
	}
	return b.Enrichment(id)
}

// Detail returns what a person reads of an advisory; zero where there is nothing to read.
func (db *Database) Detail(id string) (advisory.Detail, error) {
	b, err := db.book(keyDetails)
	if err != nil || b == nil {
		return advisory.Detail{}, err
	}
	return b.Detail(id)
}

// Verify reads all of a database: its signature, if a key is given, the checksum of every
// table that is there, and every record. It returns the tables that are not there.
func Verify(ctx context.Context, dir string, key crypto.PublicKey) (m *Manifest, missing []advisory.Key, err error) {
	set, err := current(dir)
	if err != nil {
		return nil, nil, err
	}
	db, err := openSet(set, key)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, t := range db.manifest.Tables {
		f := db.files[t.Key]
		if f == nil {
			missing = append(missing, t.Key)
			continue
		}
		if ctx.Err() != nil {
			return nil, nil, context.Cause(ctx)
		}
		data, err := io.ReadAll(io.NewSectionReader(f, 0, table.MaxSize+1))
		if err != nil {
			return nil, nil, err
		}
		if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != t.SHA256 {
			return nil, nil, damaged(fmt.Errorf("table %s: its checksum is not the one of the manifest", t.Key))
		}
		if err := table.Check(data); err != nil {
			return nil, nil, damaged(fmt.Errorf("table %s: %w", t.Key, err))
		}
	}
	return db.manifest, missing, nil
}
