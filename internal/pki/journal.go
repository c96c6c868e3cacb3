package pki

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"
)

// journalFile holds what is being written below a folder, until it is. It
// contains keys, and is as closed as they are.
const journalFile = ".bulwark-pki.journal"

// backupTime is the layout of the folders below backupFolder.
const backupTime = "20060102T150405.000Z"

// change is one file to write or to remove.
type change struct {
	Path    string      `json:"path"` // below the folder; ../ is possible, see Renew
	Data    []byte      `json:"data,omitempty"`
	Mode    fs.FileMode `json:"mode,omitempty"`
	Replace bool        `json:"replace,omitempty"` // the old one goes to the backup
	Remove  bool        `json:"remove,omitempty"`
	// Overwrite replaces without a backup: for what is made anew from the rest.
	Overwrite bool `json:"overwrite,omitempty"`
}

// journal is a set of changes that happen together or not at all. They are
// first written to one file, which appears whole; from then on they are
// certain: whoever finds the file, carries them out again. So a process that
// is killed leaves nothing, or something that the next run completes.
type journal struct {
	Time    time.Time `json:"time"`
	Changes []change  `json:"changes"`

	step func() // called between writes; tests die in it
}

func (j *journal) add(path string, data []byte, mode fs.FileMode, replace bool) {
	j.Changes = append(j.Changes, change{Path: path, Data: data, Mode: mode, Replace: replace})
}

func (j *journal) remove(path string, backup bool) {
	j.Changes = append(j.Changes, change{Path: path, Remove: true, Replace: backup})
}

func (j *journal) pause() {
	if j.step != nil {
		j.step()
	}
}

// backup is the folder to which files below dir go when they are replaced, or
// nothing if none is.
func (j *journal) backup(dir string) string {
	for _, c := range j.Changes {
		if c.Replace && exists(filepath.Join(dir, filepath.FromSlash(c.Path))) {
			return filepath.Join(dir, backupFolder, j.Time.UTC().Format(backupTime))
		}
	}
	return ""
}

// commit makes the changes below dir.
func (j *journal) commit(dir string) error {
	if len(j.Changes) == 0 {
		return nil
	}
	data, err := json.Marshal(j)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making %s: %w", dir, err)
	}
	j.pause()
	// It refuses to replace: another run's changes are never lost.
	if err := WriteNew(filepath.Join(dir, journalFile), data, 0o600); err != nil {
		return err
	}
	j.pause()
	return j.carryOut(dir)
}

// recoverJournal completes what an earlier run began below dir, and says whether
// there was something.
func recoverJournal(dir string, step func()) (bool, error) {
	sweep(dir)
	name := filepath.Join(dir, journalFile)
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading what an earlier run left: %w", err)
	}
	j := &journal{step: step}
	if err := json.Unmarshal(data, j); err != nil {
		return false, fmt.Errorf("%s: damaged; nothing is changed while it is there", name)
	}
	for _, folder := range j.folders(dir) {
		sweep(folder)
	}
	return true, j.carryOut(dir)
}

// sweep removes half-written files of a run that was killed.
func sweep(folder string) {
	left, _ := filepath.Glob(filepath.Join(folder, newPattern))
	for _, name := range left {
		_ = os.Remove(name)
	}
}

func (j *journal) folders(dir string) []string {
	var folders []string
	for _, c := range j.Changes {
		folders = append(folders, filepath.Dir(filepath.Join(dir, filepath.FromSlash(c.Path))))
	}
	return distinct(folders)
}

// carryOut may run any number of times over the same changes.
func (j *journal) carryOut(dir string) error {
	for _, c := range j.Changes {
		for _, folder := range []string{caFolder, adminFolder, pendingFolder} {
			if !c.Remove && strings.HasPrefix(c.Path, folder+"/") {
				if err := os.MkdirAll(filepath.Join(dir, folder), 0o700); err != nil {
					return fmt.Errorf("making %s: %w", filepath.Join(dir, folder), err)
				}
			}
		}
	}
	// Many files are synced together at the end: the journal is there until then,
	// and has what a power cut would take.
	together := len(j.Changes) > manyChanges && canSyncTogether
	err := parallel(len(j.Changes), 8, func(i int) error {
		j.pause()
		return j.Changes[i].carryOut(dir, j.Time, !together)
	})
	if err != nil {
		return err
	}
	if together {
		if err := syncTogether(dir); err != nil {
			return fmt.Errorf("syncing %s: %w", dir, err)
		}
	} else {
		for _, folder := range j.folders(dir) {
			syncDir(folder)
		}
	}
	j.pause()
	if err := os.Remove(filepath.Join(dir, journalFile)); err != nil {
		return fmt.Errorf("finishing: %w", err)
	}
	syncDir(dir)
	return nil
}

// manyChanges is from where on one sync of everything is cheaper than one of
// each file.
const manyChanges = 500

// syncDir makes the names in a folder last. Not every file system can; the
// files themselves are synced in any case.
func syncDir(name string) {
	if f, err := os.Open(name); err == nil {
		_ = f.Sync()
		_ = f.Close()
	}
}

func (c change) carryOut(dir string, at time.Time, sync bool) error {
	sync = sync || strings.HasPrefix(c.Path, "../") // it may be another file system
	name := filepath.Join(dir, filepath.FromSlash(c.Path))
	// Behind a link is the file that its readers read.
	if real, err := filepath.EvalSymlinks(name); err == nil {
		name = real
	}
	old, err := os.ReadFile(name)
	switch {
	case c.Remove && (errors.Is(err, fs.ErrNotExist) || err == nil && !c.Replace):
		return remove(name)
	case err == nil && !c.Remove && bytes.Equal(old, c.Data):
		return nil // written already
	case errors.Is(err, fs.ErrNotExist):
		return writeNew(name, c.Data, c.Mode, sync)
	case err != nil:
		return fmt.Errorf("reading %s: %w", name, err)
	case !c.Remove && !c.Replace && !c.Overwrite && !bytes.HasPrefix(c.Data, old):
		return fmt.Errorf("writing %s: %w", name, fs.ErrExist)
	}
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	if c.Overwrite || !c.Remove && !c.Replace { // or it is ours, cut off by a power cut
		return replaceFile(name, c.Data, info, sync)
	}
	backup := filepath.Join(dir, backupFolder, at.UTC().Format(backupTime), strings.ReplaceAll(filepath.FromSlash(c.Path), "..", "root"))
	if err := os.MkdirAll(filepath.Join(dir, backupFolder), 0o700); err != nil {
		return fmt.Errorf("making the backup's folder: %w", err)
	}
	if err := writeNew(backup, old, info.Mode().Perm(), sync); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("backing up: %w", err)
	}
	if c.Remove {
		return remove(name)
	}
	return replaceFile(name, c.Data, info, sync)
}

func remove(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing %s: %w", name, err)
	}
	return nil
}

// replaceFile puts new content where a file was, at once, and leaves it to the
// same owner with the same mode: a component that is not root still reads it.
func replaceFile(name string, data []byte, old fs.FileInfo, sync bool) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(name), newPattern)
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name())
		}
	}()
	_, werr := tmp.Write(data)
	if sync {
		werr = errors.Join(werr, tmp.Sync())
	}
	err = errors.Join(werr, keepOwner(tmp, old), tmp.Chmod(old.Mode().Perm()), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), name)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}

// Replace puts new content where a file is, at once, and leaves it to the same
// owner with the same mode.
func Replace(name string, data []byte) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	return replaceFile(name, data, info, true)
}

// Sweep removes half-written files of a process that was killed.
func Sweep(folder string) { sweep(folder) }

// parallel runs f for each number below n, and stops beginning new ones after
// an error. Without workers there are as many as processors.
func parallel(n, workers int, f func(int) error) error {
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		next  int
		first error
	)
	for range min(n, workers) {
		wg.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				stop := first != nil || i >= n
				mu.Unlock()
				if stop {
					return
				}
				if err := f(i); err != nil {
					mu.Lock()
					if first == nil {
						first = err
					}
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return first
}
