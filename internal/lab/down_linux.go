package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/lab/cgroup"
	"github.com/bulwark-k8s/bulwark/internal/lab/process"
)

const (
	endTimeout    = 20 * time.Second
	cgroupTimeout = 20 * time.Second
)

// Down removes a cluster, in whatever state it is.
func Down(_ context.Context, name, stateDir string, env Environment) error {
	dir, err := existing(name, stateDir, env)
	if err != nil {
		return err
	}
	held, err := lock(dir, false)
	if err != nil {
		return err
	}
	defer held.Close()
	if err := destroy(dir); err != nil {
		return fmt.Errorf("cluster %s: %w", name, err)
	}
	return nil
}

// Names lists the clusters there are folders of.
func Names(stateDir string, env Environment) ([]string, error) {
	root, err := StateDir(stateDir, env)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(root)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing clusters: %w", err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && checkName(e.Name()) == nil {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// destroy removes all there is of a cluster. It reads no file of the
// cluster's: everything is found from the folder's name.
//
// The processes are killed and not asked. Nothing of them is kept, so there is
// nothing to finish; with the last process of a namespace the kernel removes
// its mounts and interfaces.
func destroy(dir string) error {
	uid, err := ownerUID(dir)
	if err != nil {
		return err
	}
	if _, err := process.EndMarked(dir, uid, endTimeout); err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		if err := cgroup.Remove(clusterKey(dir), "", cgroupTimeout); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("removing its folder: %w", err)
	}
	// The folders above are ours too where we chose them, if this was the last
	// cluster in them. One that the user named stays.
	if above := filepath.Dir(dir); strings.HasSuffix(above, defaultStateDir) && os.Remove(above) == nil {
		_ = os.Remove(filepath.Dir(above))
	}
	return nil
}
