package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/bulwark-k8s/bulwark/internal/rotate"
)

// rotationDir holds a rotation while it is under way, below the cluster's
// folder: the plan, where it is, and all content by its digest. There are keys
// in it, and it is gone when the rotation is through.
const rotationDir = "rotation"

// rotationStore is a rotate.Store in a folder.
type rotationStore struct{ dir string }

func (s rotationStore) cursor() string { return filepath.Join(s.dir, "cursor.json") }
func (s rotationStore) plan() string   { return filepath.Join(s.dir, "plan.json") }
func (s rotationStore) blob(d rotate.Digest) string {
	return filepath.Join(s.dir, "content", string(d))
}

// Begin writes everything before the cursor: without it there is no rotation.
func (s rotationStore) Begin(p *rotate.Plan, blobs rotate.Blobs, c rotate.Cursor) error {
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("removing what an earlier plan left: %w", err)
	}
	if err := makeDir(filepath.Join(s.dir, "content"), 0o700); err != nil {
		return err
	}
	if err := os.Chmod(s.dir, 0o700); err != nil {
		return err
	}
	for d, data := range blobs {
		if err := os.WriteFile(s.blob(d), data, 0o600); err != nil {
			return fmt.Errorf("keeping content: %w", err)
		}
	}
	if err := writeJSON(s.plan(), p); err != nil {
		return err
	}
	return s.Save(c)
}

func (s rotationStore) Save(c rotate.Cursor) error { return writeJSON(s.cursor(), c) }

func (s rotationStore) Load() (*rotate.Plan, rotate.Cursor, error) {
	var c rotate.Cursor
	err := readJSON(s.cursor(), &c)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, c, nil
	}
	if err != nil {
		return nil, c, fmt.Errorf("reading where the rotation is: %w", err)
	}
	var p rotate.Plan
	if err := readJSON(s.plan(), &p); err != nil {
		return nil, c, fmt.Errorf("reading the rotation's plan: %w", err)
	}
	return &p, c, nil
}

// Content returns what a digest names, and notices if it is something else.
func (s rotationStore) Content(d rotate.Digest) ([]byte, error) {
	if d == "" {
		return nil, nil
	}
	data, err := os.ReadFile(s.blob(d))
	if err != nil {
		return nil, fmt.Errorf("reading the rotation's content: %w", err)
	}
	if rotate.DigestOf(data) != d {
		return nil, fmt.Errorf("content %.12s…: damaged", d)
	}
	return data, nil
}

// End removes the cursor first: what is left if it is interrupted is no
// rotation, and the next one removes it. last.json says what it wrote.
func (s rotationStore) End() error {
	p, c, err := s.Load()
	if err != nil {
		return err
	}
	if p != nil {
		files := p.Final()
		if c.Back {
			files = p.Initial()
		}
		data, err := json.MarshalIndent(struct {
			Kind  rotate.Kind                         `json:"kind"`
			Back  bool                                `json:"back"`
			Files map[string]map[string]rotate.Digest `json:"files"`
		}{p.Kind, c.Back, files}, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(s.dir+".last.json", append(data, '\n'), 0o600); err != nil {
			return fmt.Errorf("writing what was done: %w", err)
		}
	}
	if err := os.Remove(s.cursor()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("finishing: %w", err)
	}
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("removing the old keys: %w", err)
	}
	return nil
}
