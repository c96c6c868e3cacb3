package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/pki"
	"github.com/bulwark-k8s/bulwark/internal/rotate"
)

// store keeps a rotation below the folder while it is under way: the plan, all
// content by its digest, and in one small file where it is. There are keys in
// it, and it is gone when the rotation is through.
type store struct{ *Folder }

// state is where a rotation is. It is replaced at once.
type state struct {
	// Plan is the name of the file with the plan: another one for the way back.
	Plan   string        `json:"plan"`
	Cursor rotate.Cursor `json:"cursor"`
	// Handed is the phase whose bundles have been handed out.
	Handed rotate.PhaseName `json:"handed,omitempty"`
	Out    string           `json:"out,omitempty"` // where they are
	At     time.Time        `json:"at,omitzero"`
}

const (
	forward  = "plan.json"
	backward = "back.json"
	content  = "content.json"
)

func (s store) at(name string) string { return filepath.Join(s.dir, pki.RotationFolder, name) }

func (s store) writeJSON(name string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return s.put(s.at(name), append(data, '\n'), 0o600)
}

func (s store) readJSON(name string, v any) error {
	data, err := os.ReadFile(s.at(name))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s: damaged", s.at(name)) // the parser's words could quote it
	}
	return nil
}

// Begin writes everything before the state: without it there is no rotation.
func (s store) Begin(p *rotate.Plan, blobs rotate.Blobs, c rotate.Cursor) error {
	if err := s.clear(); err != nil {
		return err
	}
	s.pause()
	if err := os.MkdirAll(s.at("."), 0o700); err != nil {
		return fmt.Errorf("making the rotation's folder: %w", err)
	}
	if err := s.writeJSON(content, blobs); err != nil {
		return fmt.Errorf("keeping content: %w", err)
	}
	if err := s.writeJSON(forward, p); err != nil {
		return err
	}
	return s.write(state{Plan: forward, Cursor: c})
}

func (s store) write(st state) error { return s.writeJSON("state.json", st) }

// read returns no state if no rotation is under way.
func (s store) read() (*state, error) {
	var st state
	err := s.readJSON("state.json", &st)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && st.Plan != forward && st.Plan != backward {
		err = errors.New("it names another plan")
	}
	if err != nil {
		return nil, fmt.Errorf("reading where the rotation is: %w", err)
	}
	return &st, nil
}

func (s store) Load() (*rotate.Plan, rotate.Cursor, error) {
	st, err := s.read()
	if st == nil || err != nil {
		return nil, rotate.Cursor{}, err
	}
	var p rotate.Plan
	if err := s.readJSON(st.Plan, &p); err != nil {
		return nil, st.Cursor, fmt.Errorf("reading the rotation's plan: %w", err)
	}
	return &p, st.Cursor, nil
}

func (s store) Save(c rotate.Cursor) error {
	st, err := s.read()
	if err != nil {
		return err
	}
	st.Cursor = c
	return s.write(*st)
}

// Content returns what a digest names, and notices if it is something else.
func (s store) Content(d rotate.Digest) ([]byte, error) {
	if d == "" {
		return nil, nil
	}
	var blobs rotate.Blobs
	if err := s.readJSON(content, &blobs); err != nil {
		return nil, fmt.Errorf("reading the rotation's content: %w", err)
	}
	data := blobs[d]
	if rotate.DigestOf(data) != d {
		return nil, fmt.Errorf("content %.12s…: damaged", d)
	}
	return data, nil
}

// End removes the state first: what is left if it is interrupted is no
// rotation, and the next one removes it. last.json says what was done.
func (s store) End() error {
	p, c, err := s.Load()
	if err != nil || p == nil {
		return err
	}
	data, err := json.MarshalIndent(struct {
		Kind  rotate.Kind                         `json:"kind"`
		Began time.Time                           `json:"began"`
		Files map[string]map[string]rotate.Digest `json:"files"`
	}{p.Kind, c.Began, p.Final()}, "", "  ")
	if err != nil {
		return err
	}
	if err := s.put(filepath.Join(s.dir, pki.RotationFolder+".last.json"), append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing what was done: %w", err)
	}
	if err := s.remove(s.at("state.json")); err != nil {
		return fmt.Errorf("finishing: %w", err)
	}
	return s.clear()
}

func (s store) clear() error {
	s.pause()
	if err := os.RemoveAll(s.at(".")); err != nil {
		return fmt.Errorf("removing the old keys: %w", err)
	}
	return nil
}

// Do mirrors a step that machines have done: what is written there is written
// here. Everything else happened elsewhere.
func (s store) Do(step rotate.Step) error {
	for _, c := range step.Changes() {
		if err := s.change(step.Machine, c); err != nil {
			return err
		}
	}
	return nil
}

func (s store) change(machine string, c rotate.Change) error {
	name := s.path(machine, c.File)
	now, err := os.ReadFile(name)
	missing := errors.Is(err, fs.ErrNotExist)
	have := rotate.DigestOf(now)
	switch {
	case err != nil && !missing:
		return err
	case missing && c.To == "", !missing && have == c.To:
		return nil
	case missing != (c.From == "") || !missing && have != c.From:
		return &hinted{
			fmt.Errorf("%s: somebody else has changed it since the rotation was planned", name),
			"bring it back, or take the rotation back with --abort and plan again",
		}
	case c.To == "":
		return s.remove(name)
	}
	data, err := s.Content(c.To)
	if err != nil {
		return err
	}
	return s.put(name, data, c.Mode)
}
