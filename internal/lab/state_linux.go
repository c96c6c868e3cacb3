package lab

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulwark-k8s/bulwark/internal/lab/cgroup"
	"github.com/bulwark-k8s/bulwark/internal/lab/machine"
	"github.com/bulwark-k8s/bulwark/internal/lab/process"
)

// state is what `up` decided. It is written before anything is made, and only
// by whoever holds the cluster's lock.
type state struct {
	Version       int       `json:"version"`
	Name          string    `json:"name"`
	Profile       string    `json:"profile"`
	Phase         phase     `json:"phase"`
	Created       time.Time `json:"created"`
	ControlPlanes int       `json:"controlPlanes"`
	Nodes         int       `json:"nodes"`
	APIPort       int       `json:"apiPort"`
	Topology      topology  `json:"topology"`
	// Machines are their descriptions, in the order of Topology.Hosts.
	Machines []machine.Spec `json:"machines"`
}

const stateVersion = 1

// runtimeState is what the owner made of it. Only the owner writes it.
type runtimeState struct {
	Owner process.ID `json:"owner"`
	// Machines are by name; none where machines are only groups of processes.
	Machines map[string]machineState `json:"machines,omitempty"`
	// Error is why the owner gave up.
	Error string `json:"error,omitempty"`
}

type machineState struct {
	process.ID

	Since    time.Time `json:"since"`
	Restarts int       `json:"restarts"`
	// Error is why it could not be booted the last time.
	Error string `json:"error,omitempty"`
}

func stateFile(dir string) string   { return filepath.Join(dir, "state.json") }
func runtimeFile(dir string) string { return filepath.Join(dir, "runtime.json") }
func ownerLog(dir string) string    { return filepath.Join(dir, "owner.log") }

// clusterKey names a cluster's control groups: two state folders may each have
// a cluster of one name.
func clusterKey(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return filepath.Base(dir) + "-" + hex.EncodeToString(sum[:4])
}

func cgroupPath(key, machine string) string { return cgroup.Path(key, machine) }

// snapshotter is what containerd keeps images with: layers over layers, except
// where the state folder is itself such a stack and the kernel refuses.
func snapshotter(dir string) string {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) == nil && st.Type == unix.OVERLAYFS_SUPER_MAGIC {
		return "native"
	}
	return "overlayfs"
}

// readJSON reads what writeJSON wrote.
func readJSON(file string, into any) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// writeJSON replaces a file whole or not at all.
func writeJSON(file string, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding %s: %w", file, err)
	}
	tmp := file + ".new"
	if err := errors.Join(os.WriteFile(tmp, append(data, '\n'), 0o600), os.Rename(tmp, file)); err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	return nil
}

// lock takes the cluster's folder for this process alone, making it if asked.
// Unlocking is closing; the kernel does it for a process that is killed.
func lock(dir string, create bool) (*os.File, error) {
	for {
		if create {
			// Others may pass through, to a kubeconfig that was given to them,
			// but see nothing; what the machines have is closed to them.
			if err := os.MkdirAll(dir, 0o711); err != nil {
				return nil, fmt.Errorf("making the cluster's folder: %w", err)
			}
		}
		f, current, err := tryLock(dir)
		if err != nil {
			return nil, err
		}
		if current {
			return f, nil
		}
	}
}

// tryLock locks the folder and reports whether it is still the one of that
// name: `down` removes it while it holds the lock.
func tryLock(dir string) (*os.File, bool, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, false, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = withHint(fmt.Errorf("cluster %s: another bulwark is at work on it", filepath.Base(dir)), "wait for the other one to finish")
	} else if err != nil {
		err = fmt.Errorf("locking the cluster's folder: %w", err)
	}
	if err != nil {
		return nil, false, errors.Join(err, f.Close())
	}
	mine, err := f.Stat()
	if err != nil {
		return nil, false, errors.Join(err, f.Close())
	}
	now, err := os.Stat(dir)
	if err == nil && os.SameFile(mine, now) {
		return f, true, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // gone; the next try says so, or makes it
	}
	return nil, false, errors.Join(err, f.Close())
}

// ownerUID is whose processes can be this cluster's.
func ownerUID(dir string) (uint32, error) {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return 0, fmt.Errorf("cluster folder %s: %w", dir, err)
	}
	return st.Uid, nil
}
