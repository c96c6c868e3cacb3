package atrest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Machines are the control planes of a cluster: each has the file, and an
// apiserver that watches it.
type Machines interface {
	// Read returns the file that all of them have; that they differ is an error.
	Read(ctx context.Context) ([]byte, error)
	// Put gives all of them the file, those that have it already included.
	Put(ctx context.Context, content []byte) error
	// Waiting lists the apiservers that have not loaded content with this hash,
	// each with why not.
	Waiting(ctx context.Context, hash string) ([]string, error)
}

// Objects rewrites what is stored.
type Objects interface {
	// Rewrite updates every object of a resource with what it is, so that it is
	// stored anew, and returns how many there were.
	Rewrite(ctx context.Context, resource string) (int, error)
}

// Phase is how far a rotation has come; each name says what is done.
type Phase string

// The phases, in order.
const (
	Planned   Phase = "planned"   // the new key is drawn and recorded
	Added     Phase = "added"     // every apiserver can read with it
	Switched  Phase = "switched"  // every apiserver writes with it
	Rewritten Phase = "rewritten" // every object is under it
	Retired   Phase = "retired"   // no apiserver knows another
)

// journal is a rotation's record. While it goes on it holds the files to come,
// keys included, and is as closed as they are; afterwards it holds no key.
type journal struct {
	Key       string              `json:"key"`
	Resources []string            `json:"resources"`
	Began     time.Time           `json:"began"`
	Phase     Phase               `json:"phase"`
	Times     map[Phase]time.Time `json:"times"`
	Stages    *stages             `json:"stages,omitempty"`
}

// Rotation changes the key that a cluster's objects are stored under. It may be
// killed at any moment: running it again goes on where the journal says.
type Rotation struct {
	// Journal is the file that remembers it.
	Journal  string
	Machines Machines
	Objects  Objects
	// Count reads from etcd how objects are stored.
	Count func(ctx context.Context, resources []string) ([]Tally, error)
	// Now is the clock, and Say is told what has been done.
	Now func() time.Time
	Say func(format string, args ...any)
	// Patience is how long apiservers get to load a file. They look every
	// minute.
	Patience time.Duration
	// At is called between any two steps, with a name for the place. It is for
	// tests, which die there.
	At func(place string)
}

// DefaultPatience is a little more than one look of an apiserver.
const DefaultPatience = 3 * time.Minute

// Plan says what Run would do, and does nothing.
func (r *Rotation) Plan(ctx context.Context) error {
	j, err := r.load()
	if err != nil {
		return err
	}
	if j == nil {
		current, err := r.current(ctx)
		if err != nil {
			return err
		}
		j = &journal{Key: keyName(r.Now()), Resources: current.Encrypted()}
		r.Say("a new key, named after the time: %s", j.Key)
	} else {
		r.Say("going on with the rotation to key %s, which began at %s and is %s", j.Key, j.Began.Format(time.RFC3339), j.Phase)
	}
	what := strings.Join(j.Resources, ", ")
	for _, step := range []struct {
		done Phase
		text string
	}{
		{Added, "every control plane gets the key as its second one, and its apiserver has loaded it"},
		{Switched, "every control plane gets the key as its first one, and its apiserver has loaded it"},
		{Rewritten, "every object is rewritten (" + what + "), and etcd shows none under another key"},
		{Retired, "every control plane loses the other keys, and its apiserver has loaded that"},
	} {
		mark := "to do"
		if j.reached(step.done) {
			mark = "done"
		}
		r.Say("%-6s %s", mark, step.text)
	}
	return nil
}

// Run rotates, or goes on with what an earlier run began.
func (r *Rotation) Run(ctx context.Context) error {
	j, err := r.load()
	if err != nil {
		return err
	}
	if j == nil {
		if j, err = r.begin(ctx); err != nil {
			return err
		}
	} else {
		r.Say("going on with the rotation to key %s, which is %s", j.Key, j.Phase)
	}
	for _, step := range []struct {
		done Phase
		do   func(context.Context, *journal) error
	}{
		{Added, func(ctx context.Context, j *journal) error { return r.spread(ctx, j.Stages.Added) }},
		{Switched, func(ctx context.Context, j *journal) error { return r.spread(ctx, j.Stages.First) }},
		{Rewritten, r.rewrite},
		{Retired, func(ctx context.Context, j *journal) error { return r.spread(ctx, j.Stages.Retired) }},
	} {
		if j.reached(step.done) {
			continue
		}
		r.at("before " + string(step.done))
		if err := step.do(ctx, j); err != nil {
			return fmt.Errorf("key %s: %w", j.Key, err)
		}
		r.at("unrecorded " + string(step.done))
		if err := r.record(j, step.done); err != nil {
			return err
		}
		r.Say("%s", said[step.done])
		r.at(string(step.done))
	}
	return nil
}

var said = map[Phase]string{
	Added:     "every apiserver reads with the new key",
	Switched:  "every apiserver writes with the new key",
	Rewritten: "etcd shows no object under another key",
	Retired:   "the old keys are retired",
}

// current is the configuration that the cluster runs on. An apiserver that has
// not loaded its file does not watch it, or cannot read it: nothing would come
// of giving it another.
func (r *Rotation) current(ctx context.Context) (*Configuration, error) {
	data, err := r.Machines.Read(ctx)
	if err != nil {
		return nil, err
	}
	c, err := Parse(data)
	if err != nil {
		return nil, err
	}
	waiting, err := r.Machines.Waiting(ctx, Hash(data))
	if err != nil {
		return nil, err
	}
	if len(waiting) > 0 {
		return nil, fmt.Errorf("before the rotation: %s", strings.Join(waiting, "; "))
	}
	return c, nil
}

func keyName(now time.Time) string { return "key-" + now.UTC().Format("20060102t150405") }

func (r *Rotation) begin(ctx context.Context) (*journal, error) {
	c, err := r.current(ctx)
	if err != nil {
		return nil, err
	}
	// Without looking into etcd nobody knows when the old key can go.
	if _, err := r.Count(ctx, c.Encrypted()); err != nil {
		return nil, err
	}
	key, err := NewKey(keyName(r.Now()))
	if err != nil {
		return nil, err
	}
	s, err := c.stagesOf(key)
	if err != nil {
		return nil, err
	}
	j := &journal{Key: key.Name, Resources: c.Encrypted(), Began: r.Now(), Stages: &s, Times: map[Phase]time.Time{}}
	if err := r.record(j, Planned); err != nil {
		return nil, err
	}
	r.Say("the new key is %s", j.Key)
	r.at(string(Planned))
	return j, nil
}

// lookEvery is how often an apiserver is asked what it has loaded.
const lookEvery = 500 * time.Millisecond

// spread gives a file to all machines, and waits until all have loaded it.
func (r *Rotation) spread(ctx context.Context, content string) error {
	if err := r.Machines.Put(ctx, []byte(content)); err != nil {
		return err
	}
	r.at("put")
	ctx, cancel := context.WithTimeout(ctx, r.Patience)
	defer cancel()
	for {
		waiting, err := r.Machines.Waiting(ctx, Hash([]byte(content)))
		if err == nil && len(waiting) == 0 {
			return nil
		}
		if err == nil {
			err = errors.New(strings.Join(waiting, "; "))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the apiservers: %w", err)
		case <-time.After(lookEvery):
		}
	}
}

// rounds is how often objects are rewritten before one that stays under an old
// key is somebody's to look at.
const rounds = 3

func (r *Rotation) rewrite(ctx context.Context, j *journal) error {
	var left []string
	for range rounds {
		left = nil
		listed := map[string]int{}
		for _, resource := range j.Resources {
			n, err := r.Objects.Rewrite(ctx, resource)
			if err != nil {
				return fmt.Errorf("rewriting %s: %w", resource, err)
			}
			listed[resource] = n
			r.at("rewrote " + resource)
		}
		tallies, err := r.Count(ctx, j.Resources)
		if err != nil {
			return err
		}
		for _, t := range tallies {
			switch n := t.Elsewhere(j.Key); {
			case t.Objects == 0 && listed[t.Resource] > 0:
				return fmt.Errorf("%s: the API lists %d, and etcd shows none where they should be", t.Resource, listed[t.Resource])
			case n > 0:
				left = append(left, fmt.Sprintf("%d %s", n, t.Resource))
			}
		}
		if len(left) == 0 {
			return nil
		}
	}
	return fmt.Errorf("after rewriting all %d times there are still %s under other keys", rounds, strings.Join(left, " and "))
}

var order = map[Phase]int{Planned: 1, Added: 2, Switched: 3, Rewritten: 4, Retired: 5}

func (j *journal) reached(p Phase) bool { return order[j.Phase] >= order[p] }

// load returns the journal of a rotation that is under way, or nil.
func (r *Rotation) load() (*journal, error) {
	data, err := os.ReadFile(r.Journal)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the rotation's journal: %w", err)
	}
	var j journal
	if err := json.Unmarshal(data, &j); err != nil || order[j.Phase] == 0 || j.Stages == nil && j.Phase != Retired {
		return nil, fmt.Errorf("journal %s: damaged; nothing is changed while it is there", r.Journal)
	}
	if j.Phase == Retired {
		return nil, nil // the last one's record
	}
	return &j, nil
}

// record writes the journal, whole or not at all.
func (r *Rotation) record(j *journal, p Phase) error {
	j.Phase = p
	j.Times[p] = r.Now()
	if p == Retired {
		j.Stages = nil
	}
	data, err := json.MarshalIndent(j, "", "  ")
	if err != nil {
		return err
	}
	if err := Replace(r.Journal, append(data, '\n')); err != nil {
		return fmt.Errorf("writing the rotation's journal: %w", err)
	}
	return nil
}

func (r *Rotation) at(place string) {
	if r.At != nil {
		r.At(place)
	}
}

// Replace writes a file for its owner alone, in place of one that may be there,
// whole or not at all. What a killed run has left is overwritten.
func Replace(name string, data []byte) error {
	tmp := name + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Chmod(0o600), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, name); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
