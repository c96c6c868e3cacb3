package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// hostDirs are the host's folders that a machine sees read-only, or the links
// that stand in their place.
var hostDirs = []string{"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"}

// emptyDirs are what else programs expect to find.
var emptyDirs = map[string]fs.FileMode{
	"root": 0o700, "home": 0o755, "mnt": 0o755, "media": 0o755, "srv": 0o755, "opt": 0o755, "boot": 0o755,
}

// build mounts the machine's root on Dir. It must run in a mount namespace of
// its own; nothing it mounts is seen outside.
func (r Root) build() error {
	// From here on no mount travels back to the host.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	if err := mount("tmpfs", r.Dir, "tmpfs", unix.MS_NOSUID, "mode=755"); err != nil {
		return err
	}
	for _, dir := range hostDirs {
		if err := r.host(dir); err != nil {
			return err
		}
	}
	for dir, mode := range emptyDirs {
		if err := os.Mkdir(r.path(dir), mode); err != nil {
			return fmt.Errorf("making /%s: %w", dir, err)
		}
	}
	if err := r.kernel(); err != nil {
		return err
	}
	// A private, empty /usr/local/bin over the host's, for the components.
	if err := mount("tmpfs", r.path("/usr/local/bin"), "tmpfs", unix.MS_NOSUID, "mode=755"); err != nil {
		return err
	}
	// Sorted, so that a folder is bound before what lies in it.
	for _, inside := range slices.Sorted(maps.Keys(r.Writable)) {
		if err := bind(r.Writable[inside], r.path(inside), false); err != nil {
			return err
		}
	}
	for _, inside := range slices.Sorted(maps.Keys(r.ReadOnly)) {
		if err := bind(r.ReadOnly[inside], r.path(inside), true); err != nil {
			return err
		}
	}
	for inside, target := range r.Links {
		if err := os.Symlink(target, r.path(inside)); err != nil {
			return fmt.Errorf("linking %s: %w", inside, err)
		}
	}
	return r.sysctls()
}

func (r Root) path(inside string) string { return filepath.Join(r.Dir, inside) }

// host shows one of the host's system folders.
func (r Root) host(name string) error {
	source := "/" + name
	info, err := os.Lstat(source)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		target, err := os.Readlink(source)
		if err != nil {
			return err
		}
		return os.Symlink(target, r.path(name))
	}
	return bind(source, r.path(name), true)
}

// kernel mounts what the kernel provides.
func (r Root) kernel() error {
	type fsMount struct {
		target, kind string
		flags        uintptr
		data         string
		optional     bool
	}
	const quiet = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	for _, m := range []fsMount{
		{"proc", "proc", quiet, "", false},
		// A sysfs mounted in the machine's network namespace shows its
		// interfaces and not the host's.
		{"sys", "sysfs", quiet, "", false},
		{"run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=755", false},
		{"tmp", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777", false},
		{"sys/fs/bpf", "bpf", quiet, "mode=700", true},
		{"sys/kernel/tracing", "tracefs", quiet, "mode=700", true},
	} {
		err := mount(m.kind, r.path(m.target), m.kind, m.flags, m.data)
		if err != nil && !m.optional {
			return err
		}
	}
	if err := bind("/sys/fs/cgroup", r.path("sys/fs/cgroup"), false); err != nil {
		return err
	}
	if err := bind("/dev", r.path("dev"), false); err != nil {
		return err
	}
	for _, m := range []fsMount{
		{"dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620,gid=5", false},
		{"dev/shm", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777", false},
		{"dev/mqueue", "mqueue", quiet, "", true},
	} {
		err := mount(m.kind, r.path(m.target), m.kind, m.flags, m.data)
		if err != nil && !m.optional {
			return err
		}
	}
	return nil
}

// sysctls lays private files over machine-wide values and sets those of the
// network namespace.
func (r Root) sysctls() error {
	dir := r.path("/run/sysctl")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("making /run/sysctl: %w", err)
	}
	for name, value := range r.Sysctls {
		target := filepath.Join(r.path("/proc/sys"), strings.ReplaceAll(name, ".", "/"))
		if _, err := os.Stat(target); errors.Is(err, fs.ErrNotExist) {
			continue // a kernel without this value: nobody can ask for it
		}
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(value+"\n"), 0o644); err != nil { //nolint:gosec // as in /proc/sys
			return fmt.Errorf("sysctl %s: %w", name, err)
		}
		if err := bind(file, target, false); err != nil {
			return fmt.Errorf("sysctl %s: %w", name, err)
		}
	}
	for name, value := range r.NetSysctls {
		file := filepath.Join(r.path("/proc/sys"), strings.ReplaceAll(name, ".", "/"))
		if err := os.WriteFile(file, []byte(value), 0o644); err != nil { //nolint:gosec // a kernel file
			return fmt.Errorf("sysctl %s: %w", name, err)
		}
	}
	return nil
}

// enter makes Dir the root and lets go of the host's.
func (r Root) enter() error {
	if err := unix.Chdir(r.Dir); err != nil {
		return fmt.Errorf("entering the new root: %w", err)
	}
	// With both arguments the same the old root ends up stacked on the new
	// one, and no folder is needed to put it.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("changing the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("letting go of the host's root: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return err
	}
	// Kubelets pass mounts between pods and themselves; it stays in here,
	// since the host's side was made private before.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("making mounts shared: %w", err)
	}
	return nil
}

func mount(source, target, kind string, flags uintptr, data string) error {
	if err := os.MkdirAll(target, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("mounting %s: %w", target, err)
	}
	if err := unix.Mount(source, target, kind, flags, data); err != nil {
		return fmt.Errorf("mounting %s on %s: %w", kind, target, err)
	}
	return nil
}

// bind shows a folder or a file of the host at target, with everything that
// is mounted below it.
func bind(source, target string, readOnly bool) error {
	info, err := os.Stat(source)
	if err != nil {
		return fmt.Errorf("binding %s: %w", source, err)
	}
	if _, err := os.Lstat(target); errors.Is(err, fs.ErrNotExist) {
		if info.IsDir() {
			err = os.MkdirAll(target, 0o755)
		} else if err = os.MkdirAll(filepath.Dir(target), 0o755); err == nil {
			err = os.WriteFile(target, nil, 0o600)
		}
		if err != nil {
			return fmt.Errorf("binding %s: %w", source, err)
		}
	}
	if err := unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("binding %s on %s: %w", source, target, err)
	}
	if !readOnly {
		return nil
	}
	// Read-only for the whole subtree: a plain remount would leave the mounts
	// below it writable.
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(unix.AT_FDCWD, target, unix.AT_RECURSIVE, &attr); err != nil {
		return fmt.Errorf("making %s read-only: %w", target, err)
	}
	return nil
}
