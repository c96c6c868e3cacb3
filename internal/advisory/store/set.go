package store

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Options are for whatever changes a database.
type Options struct {
	// Now is the time.
	Now time.Time
	// Sign signs what is built; nil: it is not signed.
	Sign crypto.Signer
	// Key must have signed what is taken over; nil: nobody need have.
	Key crypto.PublicKey
	// AllowOlder takes a database that is older than the one that is there.
	AllowOlder bool
}

// ErrNone says that there is no database in the folder.
var ErrNone = errors.New("there is no vulnerability database")

// current is the folder of the set that counts.
func current(dir string) (string, error) {
	name, err := os.ReadFile(filepath.Join(dir, "current"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", &Error{fmt.Errorf("%s: %w", dir, ErrNone), "make one with `bulwark image db update`, or bring one with `bulwark image db import`"}
	}
	if err != nil {
		return "", err
	}
	set := strings.TrimSpace(string(name))
	if set == "" || set != filepath.Base(set) || set[0] == '.' || len(set) > 255 {
		return "", fmt.Errorf("%s names no set", filepath.Join(dir, "current"))
	}
	return filepath.Join(dir, "sets", set), nil
}

// readManifest reads the manifest of a set, with its bytes, which are what is signed.
func readManifest(set string) (*Manifest, []byte, error) {
	data, err := os.ReadFile(filepath.Join(set, manifestFile))
	if err != nil {
		return nil, nil, err
	}
	m, err := parseManifest(data)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", set, err)
	}
	return m, data, nil
}

// A change is a set in the making.
type change struct {
	dir, set string
	unlock   func()
}

// begin makes room for a new set. One process at a time changes a database; those that
// read are in nobody's way.
func begin(ctx context.Context, dir string, now time.Time) (*change, error) {
	if err := os.MkdirAll(filepath.Join(dir, "sets"), 0o755); err != nil {
		return nil, err
	}
	unlock, err := lock(ctx, filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	set, err := os.MkdirTemp(filepath.Join(dir, "sets"), now.UTC().Format("20060102T150405Z")+"-")
	if err == nil {
		err = os.Chmod(set, 0o755) // advisories are public, and scans run as anybody
	}
	if err != nil {
		unlock()
		return nil, err
	}
	return &change{dir, set, unlock}, nil
}

// abandon removes what was written, unless it counts by now.
func (c *change) abandon() {
	if c.set != "" {
		os.RemoveAll(c.set)
	}
	c.unlock()
}

// put writes a file of the set.
func (c *change) put(name string, data []byte) error {
	return writeNew(filepath.Join(c.set, name), data)
}

// writeNew writes a file that is not there, through to the disk.
func writeNew(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// reuse links, or else copies, a file of the set that counts now.
func (c *change) reuse(from, name string) error {
	to := filepath.Join(c.set, name)
	if os.Link(filepath.Join(from, name), to) == nil {
		return nil
	}
	data, err := os.ReadFile(filepath.Join(from, name))
	if err != nil {
		return err
	}
	return writeNew(to, data)
}

// commit makes the set count, and removes those that were there before the last.
func (c *change) commit(manifest, signature []byte) error {
	if len(signature) > 0 {
		if err := c.put(signatureFile, signature); err != nil {
			return err
		}
	}
	if err := c.put(manifestFile, manifest); err != nil {
		return err
	}
	syncDir(c.set)
	previous, _ := current(c.dir) // none is fine
	pointer := filepath.Join(c.dir, "current")
	tmp := filepath.Join(c.set, "current")
	if err := writeNew(tmp, []byte(filepath.Base(c.set)+"\n")); err != nil {
		return err
	}
	if err := os.Rename(tmp, pointer); err != nil {
		return err
	}
	syncDir(c.dir)
	keep := []string{filepath.Base(c.set), filepath.Base(previous)}
	c.set = ""
	sets, err := os.ReadDir(filepath.Join(c.dir, "sets"))
	if err != nil {
		return nil //nolint:nilerr // the new set counts; what is left of old ones is in nobody's way
	}
	for _, s := range sets {
		if !slices.Contains(keep, s.Name()) {
			os.RemoveAll(filepath.Join(c.dir, "sets", s.Name()))
		}
	}
	return nil
}

// syncDir asks for a folder's names to reach the disk; some systems cannot.
func syncDir(name string) {
	if d, err := os.Open(name); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
}

// older refuses to go back in time: what somebody kept from long ago, and signed as it
// is, would hide what has been found since.
func older(dir string, m *Manifest, o Options) error {
	if o.AllowOlder {
		return nil
	}
	set, err := current(dir)
	if err != nil {
		return nil //nolint:nilerr // nothing is there to be older than
	}
	have, _, err := readManifest(set)
	if err != nil || !m.Built.Before(have.Built) {
		return nil //nolint:nilerr // what cannot be read may be replaced
	}
	return &Error{
		fmt.Errorf("this database was built on %s, the one that is there on %s", m.Built.Format(time.RFC3339), have.Built.Format(time.RFC3339)),
		"--allow-older takes it all the same",
	}
}

// write puts what was built into a folder.
func (b *built) write(ctx context.Context, dir string, o Options) error {
	data, err := b.manifest.encode()
	if err != nil {
		return err
	}
	if err := older(dir, &b.manifest, o); err != nil {
		return err
	}
	var signature []byte
	if o.Sign != nil {
		if signature, err = sign(o.Sign, data); err != nil {
			return err
		}
	}
	c, err := begin(ctx, dir, o.Now)
	if err != nil {
		return err
	}
	defer c.abandon()
	set, _ := current(dir)
	var have *Manifest
	if set != "" {
		have, _, _ = readManifest(set)
	}
	for _, t := range b.manifest.Tables {
		if have != nil {
			if old, ok := have.table(t.Key); ok && old.SHA256 == t.SHA256 {
				if sum, err := fileSum(filepath.Join(set, t.File)); err == nil && sum == t.SHA256 && c.reuse(set, t.File) == nil {
					continue
				}
			}
		}
		if err := c.put(t.File, b.data[t.Key]); err != nil {
			return err
		}
	}
	return c.commit(data, signature)
}
