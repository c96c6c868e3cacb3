// Package store keeps a vulnerability database in a folder: tables, and a manifest that
// says what they are, where they come from, how old they are, and what their checksums
// are; it is what gets signed. A database is replaced as a whole and at once, by the
// rename of one small file: who reads the old one keeps reading it, and after a crash at
// any point there is the old one or the new.
//
//	DIR/current              the name of the set that counts
//	DIR/sets/NAME/           manifest.json, manifest.sig, one .table for each shard
//	DIR/feeds/               what update has downloaded, so that only changes are fetched
//
// Here databases are built of feeds, brought up to date, written to and read from one
// file for sites without a network, and pushed to and pulled from a registry. What a feed
// means is the business of package feed; what an image has, of package match.
package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
	"github.com/bulwark-k8s/bulwark/internal/advisory/feed"
	"github.com/bulwark-k8s/bulwark/internal/advisory/table"
)

// Schema is the number of the manifest's format.
const Schema = 1

// A Manifest says what a database is.
type Manifest struct {
	Schema int `json:"schema"`
	// Built is when the feeds were read, or last brought up to date.
	Built   time.Time `json:"built"`
	Sources []Source  `json:"sources"`
	// Tables are the files, ordered by name. They may not all be there: a part of a
	// database can be pulled.
	Tables []Table `json:"tables"`
}

// A Source is a feed that the database was built of.
type Source struct {
	Name string    `json:"name"`
	Kind feed.Kind `json:"kind"`
	// URL is where it was downloaded; empty for a local file.
	URL string `json:"url,omitempty"`
	// AsOf is the newest date in it, Fetched when it was downloaded or read. Either may
	// be zero.
	AsOf    time.Time `json:"asOf,omitzero"`
	Fetched time.Time `json:"fetched,omitzero"`
	// Records is how many records of packages it has.
	Records int `json:"records"`
	// SHA256 is of the file, in hexadecimal; empty for a folder.
	SHA256 string `json:"sha256,omitempty"`
	// Skipped is what could not be understood.
	Skipped []Skipped `json:"skipped,omitempty"`
	// Failed says why it could not be read this time; what is in the database is of an
	// earlier one then, or is missing.
	Failed string `json:"failed,omitempty"`
}

// Skipped is a kind of things that were not understood, and one of them.
type Skipped struct {
	What    string `json:"what"`
	Count   int    `json:"count"`
	Example string `json:"example"`
}

// A Table is one file of a database.
type Table struct {
	// Key is the shard's; "details" and "enrichment" are what they say.
	Key    advisory.Key `json:"key"`
	File   string       `json:"file"`
	Size   int64        `json:"size"`
	SHA256 string       `json:"sha256"`
	// Info is the shard's own; nil for details and enrichment.
	Info *advisory.ShardInfo `json:"info,omitempty"`
	// Entries is the number of entries of details and enrichment.
	Entries int `json:"entries,omitempty"`
}

// The keys of the tables that are no shards.
const (
	keyDetails    advisory.Key = "details"
	keyEnrichment advisory.Key = "enrichment"
)

// Limits of what a manifest may say.
const (
	maxManifest = 16 << 20
	maxTables   = 4096
	maxSize     = 8 << 30 // of all tables; all feeds there are make a thirtieth of it
)

const (
	manifestFile  = "manifest.json"
	signatureFile = "manifest.sig"
)

var keyShape = regexp.MustCompile(`^[a-z0-9][a-z0-9.+-]*(/[a-z0-9][A-Za-z0-9.+-]*){0,3}$`)

// fileOf is the name of a key's file.
func fileOf(key advisory.Key) string {
	return strings.ReplaceAll(string(key), "/", "_") + ".table"
}

// parseManifest reads a manifest, and refuses one that could not have been written here.
func parseManifest(data []byte) (*Manifest, error) {
	if len(data) > maxManifest {
		return nil, fmt.Errorf("manifest: more than %d MB", maxManifest>>20)
	}
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if m.Schema != Schema {
		return nil, &Error{fmt.Errorf("manifest: schema %d, want %d", m.Schema, Schema), "update the database, or bulwark, whichever is older"}
	}
	if m.Built.IsZero() || len(m.Tables) > maxTables {
		return nil, errors.New("manifest: not one that was written here")
	}
	seen := map[string]bool{}
	total := int64(0)
	for _, t := range m.Tables {
		if total += max(0, t.Size); total > maxSize {
			return nil, fmt.Errorf("manifest: tables of more than %d GB", maxSize>>30)
		}
		switch {
		case !keyShape.MatchString(string(t.Key)) || t.File != fileOf(t.Key) || path.Base(t.File) != t.File || seen[t.File]:
			return nil, fmt.Errorf("manifest: table %q in file %q", t.Key, t.File)
		case t.Size < 0 || t.Size > table.MaxSize || len(t.SHA256) != 64 || strings.Trim(t.SHA256, "0123456789abcdef") != "":
			return nil, fmt.Errorf("manifest: table %s: its size or checksum is none", t.Key)
		case (t.Info == nil) != (t.Key == keyDetails || t.Key == keyEnrichment) || t.Info != nil && t.Info.Key != t.Key:
			return nil, fmt.Errorf("manifest: table %s is said to be another", t.Key)
		}
		seen[t.File] = true
	}
	return &m, nil
}

// encode writes the manifest. The same manifest makes the same bytes.
func (m *Manifest) encode() ([]byte, error) {
	m.Built = m.Built.UTC().Truncate(time.Second)
	slices.SortFunc(m.Tables, func(a, b Table) int { return strings.Compare(string(a.Key), string(b.Key)) })
	slices.SortStableFunc(m.Sources, func(a, b Source) int { return strings.Compare(a.Name, b.Name) })
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	return append(data, '\n'), nil
}

// table returns the entry of a key.
func (m *Manifest) table(key advisory.Key) (Table, bool) {
	i, ok := slices.BinarySearchFunc(m.Tables, key, func(t Table, key advisory.Key) int { return strings.Compare(string(t.Key), string(key)) })
	if !ok {
		return Table{}, false
	}
	return m.Tables[i], true
}

// An Error is one whose next step is known.
type Error struct {
	Err  error
	Next string
}

func (e *Error) Error() string { return e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// Hint is the next step.
func (e *Error) Hint() string { return e.Next }
