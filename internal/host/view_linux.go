package host

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// A view is a file tree as one process sees it. Paths are resolved within it, one
// element at a time and by descriptor: a symbolic link in a container, even one that
// changes meanwhile, cannot lead out of the container's root. Nothing is opened but
// folders and regular files.
//
// os.Root is not enough here: it refuses absolute links, which are usual and good.
type view struct {
	pid  int
	root int // O_PATH descriptor of the root folder
	// mounts lead from paths of this view to file systems, deepest first.
	mounts []mount
}

// openView opens the tree that a process sees. The caller closes it.
func openView(proc string, pid int) (*view, error) {
	base := proc + "/" + strconv.Itoa(pid)
	fd, err := unix.Open(base+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening %s/root: %w", base, err)
	}
	v := &view{pid: pid, root: fd}
	if table, err := os.ReadFile(base + "/mountinfo"); err == nil {
		v.mounts = parseMounts(table)
	}
	return v, nil
}

func (v *view) close() { _ = unix.Close(v.root) }

// A place is where a path led.
type place struct {
	// path is the resolved one, without links.
	path string
	st   unix.Stat_t
	// shielded is as in cluster.File.
	shielded bool
}

func (p *place) dir() bool { return p.st.Mode&unix.S_IFMT == unix.S_IFDIR }

func (p *place) same(o *place) bool { return p.st.Dev == o.st.Dev && p.st.Ino == o.st.Ino }

func (p *place) file(path string, role cluster.FileRole, usedBy string) cluster.File {
	return cluster.File{
		Path: path, Role: role, UsedBy: usedBy,
		Mode: p.st.Mode & 0o7777, UID: int(p.st.Uid), GID: int(p.st.Gid), Shielded: p.shielded,
	}
}

// stat says what a path leads to, links followed.
func (v *view) stat(path string) (*place, error) {
	w, err := v.walk(path)
	if err != nil {
		return nil, err
	}
	defer w.close()
	return w.place(), nil
}

// names lists a folder, sorted.
func (v *view) names(path string) ([]string, error) {
	w, err := v.walk(path)
	if err != nil {
		return nil, err
	}
	defer w.close()
	fd, err := unix.Openat(w.top().fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	dir := os.NewFile(uintptr(fd), path)
	defer dir.Close()
	names, err := dir.Readdirnames(maxNames)
	slices.Sort(names)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return names, err
}

// Limits against folders and files that are not what they should be.
const (
	maxNames = 4096
	maxFile  = 4 << 20
	maxLinks = 40 // as the kernel's
)

// read returns the content of a regular file.
func (v *view) read(path string) ([]byte, error) {
	w, err := v.walk(path)
	if err != nil {
		return nil, err
	}
	defer w.close()
	file := w.top()
	if len(w.steps) < 2 || file.st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, errors.New("not a regular file")
	}
	parent := w.steps[len(w.steps)-2]
	fd, err := unix.Openat(parent.fd, file.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	if st.Dev != file.st.Dev || st.Ino != file.st.Ino {
		return nil, errors.New("changed while it was opened")
	}
	if st.Size > maxFile {
		return nil, fmt.Errorf("%d bytes, want at most %d", st.Size, maxFile)
	}
	return io.ReadAll(io.LimitReader(f, maxFile))
}

// A walk holds every folder from the root to where it arrived, the last step.
type walk struct{ steps []step }

type step struct {
	fd   int
	name string
	st   unix.Stat_t
}

func (w *walk) top() *step { return &w.steps[len(w.steps)-1] }

// close closes all but the root, which is the view's.
func (w *walk) close() { w.cut(1) }

func (w *walk) cut(n int) {
	for _, s := range w.steps[n:] {
		_ = unix.Close(s.fd)
	}
	w.steps = w.steps[:n]
}

func (v *view) walk(path string) (_ *walk, err error) {
	w := &walk{steps: []step{{fd: v.root}}}
	if err := unix.Fstat(v.root, &w.steps[0].st); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	todo := strings.Split(path, "/")
	for links := 0; len(todo) > 0; {
		name := todo[0]
		todo = todo[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			w.cut(max(1, len(w.steps)-1))
			continue
		}
		s := step{name: name}
		if s.fd, err = unix.Openat(w.top().fd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0); err != nil {
			return nil, err
		}
		if err = unix.Fstat(s.fd, &s.st); err != nil {
			_ = unix.Close(s.fd)
			return nil, err
		}
		if s.st.Mode&unix.S_IFMT != unix.S_IFLNK {
			w.steps = append(w.steps, s)
			continue
		}
		target, err := readlinkat(s.fd)
		_ = unix.Close(s.fd)
		if err != nil {
			return nil, err
		}
		if links++; links > maxLinks {
			return nil, unix.ELOOP
		}
		if strings.HasPrefix(target, "/") {
			w.cut(1)
		}
		todo = slices.Concat(strings.Split(target, "/"), todo)
	}
	return w, nil
}

func readlinkat(fd int) (string, error) {
	b := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", b)
	if err != nil {
		return "", err
	}
	return string(b[:n]), nil
}

func (w *walk) place() *place {
	top := w.top()
	p := &place{st: top.st, path: "/"}
	names := make([]string, 0, len(w.steps))
	for _, s := range w.steps[1:] {
		names = append(names, s.name)
	}
	p.path += strings.Join(names, "/")
	for _, s := range w.steps[:len(w.steps)-1] {
		// The group's bits bound what an access control list gives, too.
		if s.st.Mode&0o011 == 0 && (s.st.Uid == 0 || s.st.Uid == top.st.Uid) {
			p.shielded = true
		}
	}
	return p
}

// A mount is one line of /proc/PID/mountinfo.
type mount struct {
	device string // major:minor
	root   string // the folder of the file system that is mounted
	at     string // where
}

// parseMounts reads /proc/PID/mountinfo, the deepest mount points first and of those
// on one place the last, which covers the others.
func parseMounts(table []byte) []mount {
	const (
		device, root, at = 2, 3, 4
	)
	var out []mount
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); len(f) > at {
			out = append(out, mount{f[device], unescape(f[root]), unescape(f[at])})
		}
	}
	slices.Reverse(out)
	slices.SortStableFunc(out, func(a, b mount) int { return len(b.at) - len(a.at) })
	return out
}

// unescape undoes the kernel's octal escapes of space, tab, newline and backslash.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// under returns what follows dir in path, and whether path is dir or below it.
func under(path, dir string) (string, bool) {
	if dir == "/" {
		return path, true
	}
	rest, ok := strings.CutPrefix(path, dir)
	return rest, ok && (rest == "" || rest[0] == '/')
}

// outside translates a resolved path of this view into the paths by which another view
// may see the same file, likeliest first. The caller compares what is found there.
func (v *view) outside(path string, other *view) []string {
	out := []string{path}
	for _, m := range v.mounts {
		rest, ok := under(path, m.at)
		if !ok {
			continue
		}
		inside := strings.TrimSuffix(m.root, "/") + rest
		for _, o := range other.mounts {
			if rest, ok := under(inside, o.root); ok && o.device == m.device {
				out = append(out, strings.TrimSuffix(o.at, "/")+rest)
			}
		}
		break // the deepest is the one that holds the file
	}
	return out
}
