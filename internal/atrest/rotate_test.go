package atrest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// fakeCluster is three apiservers and what is in etcd. It holds the invariant
// that a rotation must never break: what one apiserver writes, all can read.
type fakeCluster struct {
	t       *testing.T
	files   []string
	loaded  []string
	objects map[string]string // object: key
	slow    bool              // load at the second look
	looked  int
}

func newFakeCluster(t *testing.T) *fakeCluster {
	t.Helper()
	key, err := NewKey("old")
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(Secretbox, []string{"secrets"}, key)
	if err != nil {
		t.Fatal(err)
	}
	data, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeCluster{t: t, objects: map[string]string{"a": "old", "b": "old", "plain": Plain}}
	for range 3 {
		f.files = append(f.files, string(data))
		f.loaded = append(f.loaded, string(data))
	}
	return f
}

func (f *fakeCluster) keys(text string) []string {
	c, err := Parse([]byte(text))
	if err != nil {
		f.t.Fatal(err)
	}
	var names []string
	for _, k := range c.Resources[0].Providers[0].Secretbox.Keys {
		names = append(names, k.Name)
	}
	return names
}

// check holds the invariant: every stored key and every key that is written
// with is known to every apiserver.
func (f *fakeCluster) check() {
	f.t.Helper()
	for _, reader := range f.loaded {
		known := f.keys(reader)
		for _, writer := range f.loaded {
			if key := f.keys(writer)[0]; !slices.Contains(known, key) {
				f.t.Errorf("an apiserver writes with %s, and another knows only %v", key, known)
			}
		}
		for object, key := range f.objects {
			if key != Plain && !slices.Contains(known, key) {
				f.t.Errorf("object %s is under %s, and an apiserver knows only %v", object, key, known)
			}
		}
	}
}

func (f *fakeCluster) Read(context.Context) ([]byte, error) { return []byte(f.files[0]), nil }

func (f *fakeCluster) Put(_ context.Context, content []byte) error {
	for i := range f.files {
		f.files[i] = string(content)
		f.check()
	}
	return nil
}

func (f *fakeCluster) Waiting(_ context.Context, hash string) ([]string, error) {
	f.looked++
	for i := range f.loaded {
		if !f.slow || f.looked%2 == 0 {
			f.loaded[i] = f.files[i] // one after the other
			f.check()
		}
	}
	var left []string
	for _, l := range f.loaded {
		if Hash([]byte(l)) != hash {
			left = append(left, "not yet")
		}
	}
	return left, nil
}

func (f *fakeCluster) Rewrite(context.Context, string) (int, error) {
	for object := range f.objects {
		f.objects[object] = f.keys(f.loaded[0])[0]
	}
	f.check()
	return len(f.objects), nil
}

func (f *fakeCluster) count(context.Context, []string) ([]Tally, error) {
	t := Tally{Resource: "secrets", Objects: len(f.objects)}
	for _, key := range f.objects {
		under := Under{Provider: Secretbox, Key: key}
		if key == Plain {
			under = Under{Provider: Plain}
		}
		t.Counts = append(t.Counts, Count{under, 1})
	}
	return []Tally{t}, nil
}

// rotation gives every run a later clock.
func (f *fakeCluster) rotation(dir string) *Rotation {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return &Rotation{
		Journal: filepath.Join(dir, "rotation.json"), Machines: f, Objects: f, Count: f.count, Patience: 5 * time.Second,
		Now: func() time.Time { now = now.Add(time.Second); return now }, Say: func(string, ...any) {},
	}
}

var errKilled = errors.New("killed")

// runUntil runs and dies at the nth place.
func runUntil(r *Rotation, n int) (err error) {
	defer func() {
		if recovered := recover(); recovered != nil {
			err = recovered.(error)
		}
	}()
	r.At = func(string) {
		if n--; n < 0 {
			panic(errKilled)
		}
	}
	return r.Run(context.Background())
}

// However often it dies and wherever, a rotation comes to the same end.
func TestRotationSurvivesDeath(t *testing.T) {
	synctest.Test(t, surviveDeath)
}

func surviveDeath(t *testing.T) {
	places := 0
	for n := 0; ; n++ {
		f := newFakeCluster(t)
		f.slow = n%2 == 1
		dir := t.TempDir()
		first := runUntil(f.rotation(dir), n)
		if first != nil && !errors.Is(first, errKilled) {
			t.Fatal(first)
		}
		finished := first == nil
		if !finished {
			places++
			// Dies again one step further, and then comes through, unless the
			// record was complete: then there is nothing to go on with.
			for step := 0; ; step++ {
				if data, err := os.ReadFile(filepath.Join(dir, "rotation.json")); err == nil && strings.Contains(string(data), `"phase": "retired"`) {
					break
				}
				err := runUntil(f.rotation(dir), step)
				if err != nil && !errors.Is(err, errKilled) {
					t.Fatal(err)
				}
			}
		}
		f.check()
		for object, key := range f.objects {
			if !strings.HasPrefix(key, "key-") {
				t.Errorf("dead at place %d: object %s is under %s", n, object, key)
			}
		}
		for _, file := range f.loaded {
			if keys := f.keys(file); len(keys) != 1 || !strings.HasPrefix(keys[0], "key-") {
				t.Errorf("dead at place %d: keys %v are left", n, keys)
			}
		}
		if data, err := os.ReadFile(filepath.Join(dir, "rotation.json")); err != nil || strings.Contains(string(data), "secret:") {
			t.Errorf("dead at place %d: record: %v; a key is in it: %t", n, err, strings.Contains(string(data), "secret:"))
		}
		if finished {
			break
		}
	}
	if places < 12 {
		t.Errorf("died at %d places, want at least 12", places)
	}
}

// A dry run changes nothing, before a rotation and in the middle of one.
func TestPlanChangesNothing(t *testing.T) {
	f := newFakeCluster(t)
	dir := t.TempDir()
	before := slices.Clone(f.files)
	var said []string
	r := f.rotation(dir)
	r.Say = func(format string, _ ...any) { said = append(said, format) }
	if err := r.Plan(t.Context()); err != nil || len(said) != 5 {
		t.Errorf("%v, %d lines, want 5", err, len(said))
	}
	if _, err := os.Stat(r.Journal); err == nil || !slices.Equal(before, f.files) {
		t.Error("the plan has changed something")
	}
}

// Old keys stay where an object cannot be rewritten, or where nobody can look.
func TestNothingIsRetiredTooEarly(t *testing.T) {
	t.Run("an object stays behind", func(t *testing.T) {
		f := newFakeCluster(t)
		r := f.rotation(t.TempDir())
		r.Objects = stubborn{f}
		err := r.Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), "still 1 secrets under other keys") {
			t.Errorf("got %v", err)
		}
		if keys := f.keys(f.loaded[0]); !slices.Contains(keys, "old") {
			t.Errorf("keys %v: the old one is gone", keys)
		}
	})
	t.Run("etcd cannot be read", func(t *testing.T) {
		f := newFakeCluster(t)
		r := f.rotation(t.TempDir())
		r.Count = func(context.Context, []string) ([]Tally, error) { return nil, errors.New("no etcd") }
		if err := r.Run(t.Context()); err == nil {
			t.Error("rotated blindly")
		}
		if keys := f.keys(f.files[0]); !slices.Equal(keys, []string{"old"}) {
			t.Errorf("keys %v, want the old one alone", keys)
		}
	})
	t.Run("etcd shows another place", func(t *testing.T) {
		f := newFakeCluster(t)
		r := f.rotation(t.TempDir())
		r.Count = func(context.Context, []string) ([]Tally, error) { return []Tally{{Resource: "secrets"}}, nil }
		if err := r.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "etcd shows none") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("an apiserver does not load the file", func(t *testing.T) {
		f := newFakeCluster(t)
		r := f.rotation(t.TempDir())
		r.Machines = deaf{f}
		r.Patience = 10 * time.Millisecond
		if err := r.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "waiting for the apiservers") {
			t.Errorf("got %v", err)
		}
		if f.objects["a"] != "old" {
			t.Error("objects were rewritten")
		}
	})
	t.Run("a damaged journal", func(t *testing.T) {
		f := newFakeCluster(t)
		r := f.rotation(t.TempDir())
		if err := os.WriteFile(r.Journal, []byte(`{"phase": "switched"}`), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := r.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("got %v", err)
		}
	})
}

// stubborn leaves one object as it is.
type stubborn struct{ *fakeCluster }

func (s stubborn) Rewrite(ctx context.Context, resource string) (int, error) {
	n, err := s.fakeCluster.Rewrite(ctx, resource)
	s.objects["a"] = "old"
	return n, err
}

// deaf never loads what is not there from the start.
type deaf struct{ *fakeCluster }

func (d deaf) Waiting(_ context.Context, hash string) ([]string, error) {
	if Hash([]byte(d.loaded[0])) == hash {
		return nil, nil
	}
	return []string{"apiserver a: has not loaded the file yet"}, nil
}

func TestMembers(t *testing.T) {
	dir := t.TempDir()
	m := Members{{Server: Server{Name: "a"}, File: filepath.Join(dir, "a")}, {Server: Server{Name: "b"}, File: filepath.Join(dir, "b")}}
	if err := m.Put(t.Context(), []byte("x")); err != nil {
		t.Fatal(err)
	}
	if data, err := m.Read(t.Context()); err != nil || string(data) != "x" {
		t.Errorf("%q, %v", data, err)
	}
	for _, member := range m {
		info, err := os.Stat(member.File)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", member.Name, info, err)
		}
	}
	if err := os.WriteFile(m[1].File, []byte("y"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Read(t.Context()); err == nil || !strings.Contains(err.Error(), "differ") {
		t.Errorf("got %v", err)
	}
}
