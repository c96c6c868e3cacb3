//go:build linux

// Package cgroup makes and removes the control groups of lab machines, on
// hosts with one tree (version 2), with a tree per controller (version 1), and
// with both side by side.
//
// Everything is below one folder named after the product, in every tree; what
// is above it is only read.
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	mount = "/sys/fs/cgroup"
	// top is our folder in every tree.
	top = "bulwark"
	// System is the group below a machine's own for its processes, as opposed
	// to its pods: version 2 has processes only in the leaves.
	System = "system"
)

// Unified reports whether the host has version 2 only.
func Unified() bool {
	var st unix.Statfs_t
	return unix.Statfs(mount, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC
}

// trees lists the mounted trees' roots.
func trees() ([]string, error) {
	if Unified() {
		return []string{mount}, nil
	}
	entries, err := os.ReadDir(mount)
	if err != nil {
		return nil, fmt.Errorf("listing control groups: %w", err)
	}
	var roots []string
	for _, e := range entries {
		// Symbolic links (cpu -> cpu,cpuacct) would name a tree twice.
		if e.IsDir() {
			roots = append(roots, filepath.Join(mount, e.Name()))
		}
	}
	if len(roots) == 0 {
		return nil, fmt.Errorf("control groups: nothing mounted on %s", mount)
	}
	return roots, nil
}

// Path is a machine's group as the kubelet's cgroupRoot has it: rooted in
// every tree.
func Path(cluster, machine string) string {
	return "/" + filepath.Join(top, cluster, machine)
}

// Make makes a machine's groups in every tree and gives each controller to
// them.
func Make(cluster, machine string) error {
	roots, err := trees()
	if err != nil {
		return err
	}
	unified := Unified()
	for _, root := range roots {
		dir := root
		for _, part := range []string{top, cluster, machine, System} {
			if unified && part != System {
				// Controllers reach a folder's children only if it hands them on.
				if err := delegate(dir); err != nil {
					return err
				}
			}
			dir = filepath.Join(dir, part)
			if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("making control group %s: %w", dir, err)
			}
			if err := fillCPUSet(dir); err != nil {
				return err
			}
		}
		if unified {
			if err := delegate(filepath.Dir(dir)); err != nil {
				return err
			}
		}
	}
	return nil
}

// fillCPUSet copies processors and memory nodes from the parent: a version 1
// cpuset begins empty and takes no process before it has both.
func fillCPUSet(dir string) error {
	for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
		file := filepath.Join(dir, name)
		have, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) || Unified() {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", file, err)
		}
		if strings.TrimSpace(string(have)) != "" {
			continue
		}
		parent, err := os.ReadFile(filepath.Join(filepath.Dir(dir), name))
		if err != nil {
			return fmt.Errorf("filling %s: %w", file, err)
		}
		if err := os.WriteFile(file, parent, 0o644); err != nil { //nolint:gosec // a kernel file
			return fmt.Errorf("filling %s: %w", file, err)
		}
	}
	return nil
}

// delegate hands on the controllers that dir has and its children have not.
func delegate(dir string) error {
	available, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("reading the controllers of %s: %w", dir, err)
	}
	file := filepath.Join(dir, "cgroup.subtree_control")
	given, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading the controllers of %s: %w", dir, err)
	}
	for c := range strings.FieldsSeq(string(available)) {
		if strings.Contains(" "+strings.TrimSpace(string(given))+" ", " "+c+" ") {
			continue
		}
		if err := os.WriteFile(file, []byte("+"+c), 0o644); err != nil { //nolint:gosec // a kernel file
			return fmt.Errorf("handing controller %s to the children of %s: %w", c, dir, err)
		}
	}
	return nil
}

// Enter moves a process into a machine's System group. Children follow.
func Enter(cluster, machine string, pid int) error {
	roots, err := trees()
	if err != nil {
		return err
	}
	for _, root := range roots {
		file := filepath.Join(root, top, cluster, machine, System, "cgroup.procs")
		if err := os.WriteFile(file, []byte(strconv.Itoa(pid)), 0o644); err != nil { //nolint:gosec // a kernel file
			return fmt.Errorf("moving process %d into %s: %w", pid, filepath.Dir(file), err)
		}
	}
	return nil
}

// Remove removes a cluster's groups, or with a machine named only that one's,
// and then our top folder if nothing else is in it. Groups that are still
// emptying are tried again until the timeout.
func Remove(cluster, machine string, timeout time.Duration) error {
	roots, err := trees()
	if err != nil {
		return err
	}
	for _, root := range roots {
		dir := filepath.Join(root, top, cluster, machine)
		for deadline := time.Now().Add(timeout); ; {
			err := removeTree(dir)
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("removing control group %s: %w", dir, err)
			}
			time.Sleep(20 * time.Millisecond)
		}
		// Not ours alone: another cluster may be in it, and then it stays.
		_ = os.Remove(filepath.Join(root, top))
	}
	return nil
}

// removeTree removes folders depth first. The files in them are the kernel's
// and go with their folder.
func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Exist lists the groups of a cluster that are still there.
func Exist(cluster string) []string {
	roots, err := trees()
	if err != nil {
		return nil
	}
	var found []string
	for _, root := range roots {
		dir := filepath.Join(root, top, cluster)
		if _, err := os.Stat(dir); err == nil {
			found = append(found, dir)
		}
	}
	return found
}
