//go:build linux

// Package process knows which processes of this host belong to a lab cluster,
// and ends them.
//
// The only proof it takes is in the process itself: the mark that the cluster's
// owner put into its environment, which every descendant inherits. A number
// read from a file is never enough, since numbers are used again.
package process

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// MarkVariable names the environment variable that carries the cluster's own
// directory: an absolute path, so that a cluster can be found and ended even
// when nothing in that directory can be read any more.
const MarkVariable = "BULWARK_LAB_DIR"

// Mark is the environment entry for a cluster's directory.
func Mark(dir string) string { return MarkVariable + "=" + dir }

// ID names a process for as long as it lives: a number is used again, a number
// with its start time is not.
type ID struct {
	PID int `json:"pid"`
	// Start is in clock ticks since the machine booted.
	Start uint64 `json:"start"`
}

// Identify returns the ID of a running process.
func Identify(pid int) (ID, error) {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return ID{}, fmt.Errorf("process %d: %w", pid, err)
	}
	// The second field is a name in parentheses that may hold spaces and
	// parentheses of its own; the rest begins after the last one.
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return ID{}, fmt.Errorf("process %d: malformed stat", pid)
	}
	fields := strings.Fields(string(stat[end+1:]))
	const state, start = 0, 19
	if len(fields) <= start {
		return ID{}, fmt.Errorf("process %d: short stat", pid)
	}
	if fields[state] == "Z" {
		return ID{}, fmt.Errorf("process %d: %w", pid, fs.ErrNotExist)
	}
	ticks, err := strconv.ParseUint(fields[start], 10, 64)
	if err != nil {
		return ID{}, fmt.Errorf("process %d: start time: %w", pid, err)
	}
	return ID{PID: pid, Start: ticks}, nil
}

// Alive reports whether that very process still runs.
func (id ID) Alive() bool {
	now, err := Identify(id.PID)
	return err == nil && now == id
}

// Marked lists the processes that carry the mark of dir and belong to the user
// who owns dir, so that nobody else can have his processes taken for the
// cluster's.
func Marked(dir string, uid uint32) ([]ID, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	var found []ID
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		// Identified first, marked second: if the number changes hands in
		// between, the start time differs when it is killed.
		id, err := Identify(pid)
		if err != nil {
			continue
		}
		if carries(pid, dir, uid) {
			found = append(found, id)
		}
	}
	return found, nil
}

func carries(pid int, dir string, uid uint32) bool {
	base := filepath.Join("/proc", strconv.Itoa(pid))
	var st unix.Stat_t
	if err := unix.Stat(base, &st); err != nil || st.Uid != uid {
		return false
	}
	env, err := os.ReadFile(filepath.Join(base, "environ"))
	if err != nil {
		return false
	}
	return slices.Contains(strings.Split(string(env), "\x00"), Mark(dir))
}

// Signal sends sig to that very process and to no other. The descriptor is
// opened before the identity is compared, so the number cannot change hands
// between the look and the signal. A process that is gone is no error.
func (id ID) Signal(sig unix.Signal) error {
	fd, err := unix.PidfdOpen(id.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("process %d: opening: %w", id.PID, err)
	}
	handle := os.NewFile(uintptr(fd), "process")
	defer handle.Close()
	if !id.Alive() {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("process %d: sending %s: %w", id.PID, sig, err)
	}
	return nil
}

// EndMarked kills every process that carries the mark of dir, and waits until
// there is none. It looks again after each round, since a process may have had
// a child in the meantime.
func EndMarked(dir string, uid uint32, timeout time.Duration) (killed int, err error) {
	seen := map[ID]bool{}
	for deadline := time.Now().Add(timeout); ; {
		left, err := Marked(dir, uid)
		if err != nil {
			return len(seen), err
		}
		if len(left) == 0 {
			return len(seen), nil
		}
		if time.Now().After(deadline) {
			return len(seen), fmt.Errorf("process %d: still there %s after it was killed", left[0].PID, timeout)
		}
		for _, id := range left {
			seen[id] = true
			if err := id.Signal(unix.SIGKILL); err != nil {
				return len(seen), err
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Inside maps the numbers that processes have in the PID namespace of the
// given process to those they have on the host.
func Inside(pid int) map[int]int {
	space, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "ns/pid"))
	if err != nil {
		return nil
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	inside := map[int]int{}
	for _, e := range entries {
		outer, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if at, err := os.Readlink(filepath.Join("/proc", e.Name(), "ns/pid")); err != nil || at != space {
			continue
		}
		status, err := os.ReadFile(filepath.Join("/proc", e.Name(), "status"))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(status)) {
			// NSpid lists the numbers from the host's inwards.
			if numbers, ok := strings.CutPrefix(line, "NSpid:"); ok {
				f := strings.Fields(numbers)
				if inner, err := strconv.Atoi(f[len(f)-1]); err == nil {
					inside[inner] = outer
				}
			}
		}
	}
	return inside
}
