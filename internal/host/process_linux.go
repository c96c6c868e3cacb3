package host

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// A process is a running component.
type process struct {
	pid, uid  int
	component string
	// argv are the arguments as given, not yet redacted; they stay in this package.
	argv []string
	// args are what may leave it.
	args []string
	cwd  string
	// net, uts and mnt identify namespaces; net is never empty, the others are where
	// they could not be read.
	net, uts, mnt string
	// workload is whether it runs in a pod, by its control group.
	workload bool
}

// procfs reads a proc file system. What vanished while it was read is no error: a
// process may end at any time.
type procfs struct{ dir string }

func (p procfs) path(pid int, name string) string {
	return path.Join(p.dir, strconv.Itoa(pid), name)
}

// pids lists all processes.
func (p procfs) pids() ([]int, error) {
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return nil, err
	}
	var out []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && pid > 0 {
			out = append(out, pid)
		}
	}
	slices.Sort(out)
	return out, nil
}

// component reads a process if it is one of those looked for, and nil otherwise.
func (p procfs) component(pid int) *process {
	cmdline, err := os.ReadFile(p.path(pid, "cmdline"))
	if err != nil || len(cmdline) == 0 {
		return nil // ended, or a thread of the kernel
	}
	argv := parseCmdline(cmdline)
	// Unreadable for others' processes, which then go by what they call themselves.
	exe, _ := os.Readlink(p.path(pid, "exe"))
	name := componentOf(argv, exe)
	if name == "" {
		return nil
	}
	// A process that rewrote its title has its arguments in one string.
	argv = slices.Concat(strings.Fields(argv[0]), argv[1:])
	if len(argv) == 0 {
		return nil
	}
	proc := &process{pid: pid, component: name, argv: argv, uid: -1}
	if status, err := os.ReadFile(p.path(pid, "status")); err == nil {
		proc.uid = effectiveUID(status)
	}
	proc.cwd, _ = os.Readlink(p.path(pid, "cwd"))
	proc.uts, _ = os.Readlink(p.path(pid, "ns/uts"))
	proc.mnt, _ = os.Readlink(p.path(pid, "ns/mnt"))
	proc.workload = p.workload(strconv.Itoa(pid))
	return proc
}

// effectiveUID reads /proc/PID/status, -1 if it does not say.
func effectiveUID(status []byte) int {
	for line := range strings.Lines(string(status)) {
		if ids, ok := strings.CutPrefix(line, "Uid:"); ok {
			if f := strings.Fields(ids); len(f) > 1 {
				if uid, err := strconv.Atoi(f[1]); err == nil {
					return uid
				}
			}
		}
	}
	return -1
}

// workload reports whether a process runs in a pod's control group, which kubelets
// call kubepods whatever the driver.
func (p procfs) workload(pid string) bool {
	groups, err := os.ReadFile(path.Join(p.dir, pid, "cgroup"))
	return err == nil && bytes.Contains(groups, []byte("kubepods"))
}

// home identifies the network of the machine that Read looks at: the reader's own or,
// where the reader is in a pod that sees the machine's processes, the machine's.
func (p procfs) home() (string, error) {
	own, err := os.Readlink(path.Join(p.dir, "self/ns/net"))
	if err != nil {
		return "", err
	}
	if p.workload("self") {
		first, err := os.Readlink(p.path(1, "ns/net"))
		if err != nil {
			return "", err
		}
		return first, nil
	}
	return own, nil
}

// errElsewhere says of a process that its network is not the reader's, though not whose.
var errElsewhere = errors.New("it is in another network, whose identity only root may read")

// network identifies the network namespace of a process. Where the link to it is not
// ours to read, the tables of kernel sockets tell whether it is the reader's own.
func (p procfs) network(pid int) (string, error) {
	id, err := os.Readlink(p.path(pid, "ns/net"))
	if err == nil || !errors.Is(err, fs.ErrPermission) {
		return id, err
	}
	theirs, terr := os.ReadFile(p.path(pid, "net/netlink"))
	ours, oerr := os.ReadFile(path.Join(p.dir, "self/net/netlink"))
	if terr != nil || oerr != nil {
		return "", err
	}
	own, other := kernelSockets(ours), kernelSockets(theirs)
	if len(own) == 0 || len(other) == 0 {
		return "", err
	}
	for inode := range other {
		if own[inode] {
			return os.Readlink(path.Join(p.dir, "self/ns/net"))
		}
	}
	return "", errElsewhere
}

// sockets lists the sockets that a process holds, by inode.
func (p procfs) sockets(pid int) (map[uint64]bool, error) {
	dir := p.path(pid, "fd")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	out := map[uint64]bool{}
	for _, e := range entries {
		target, err := os.Readlink(path.Join(dir, e.Name()))
		if err != nil {
			continue // closed meanwhile
		}
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			if n, err := strconv.ParseUint(strings.TrimSuffix(inode, "]"), 10, 64); err == nil {
				out[n] = true
			}
		}
	}
	return out, nil
}

// listening lists what listens in a process's network, by inode.
func (p procfs) listening(pid int) (map[uint64]socket, error) {
	out := map[uint64]socket{}
	for _, table := range []string{"net/tcp", "net/tcp6"} {
		b, err := os.ReadFile(p.path(pid, table))
		if err != nil {
			if table == "net/tcp6" && errors.Is(err, fs.ErrNotExist) {
				continue // a kernel without IPv6
			}
			return nil, err
		}
		for _, s := range parseSockets(b) {
			out[s.inode] = s
		}
	}
	return out, nil
}

// hidden reports whether the kernel hides other users' processes (hidepid).
func (p procfs) hidden() bool {
	_, err := os.Stat(p.path(1, "cmdline"))
	return errors.Is(err, fs.ErrNotExist)
}

// gone reports whether an error only says that a process has ended.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH)
}

// A group is the components of one machine, or of one pod, in one network.
type group struct {
	net       string
	processes []*process
}

// components finds every component and groups them by network. Processes whose network
// cannot be told come back apart, with the reason.
func (p procfs) components() (groups []*group, apart map[*process]error, err error) {
	pids, err := p.pids()
	if err != nil {
		return nil, nil, fmt.Errorf("listing processes: %w", err)
	}
	byNet := map[string]*group{}
	apart = map[*process]error{}
	for _, pid := range pids {
		proc := p.component(pid)
		if proc == nil {
			continue
		}
		id, err := p.network(pid)
		switch {
		case gone(err):
			continue
		case err != nil:
			apart[proc] = err
			continue
		}
		proc.net = id
		if byNet[id] == nil {
			byNet[id] = &group{net: id}
		}
		byNet[id].processes = append(byNet[id].processes, proc)
	}
	for _, id := range slices.Sorted(maps.Keys(byNet)) {
		groups = append(groups, byNet[id])
	}
	return groups, apart, nil
}

// workload reports whether all of a group runs in pods.
func (g *group) workload() bool {
	return !slices.ContainsFunc(g.processes, func(p *process) bool { return !p.workload })
}

// foremost is the process that sees the machine as its own root does: the kubelet,
// else a runtime, else whatever is not in a container.
func (g *group) foremost() *process {
	for _, name := range []string{"kubelet", "k3s", "rke2", "containerd", "crio", "dockerd"} {
		for _, p := range g.processes {
			if p.component == name && !p.workload {
				return p
			}
		}
	}
	for _, p := range g.processes {
		if !p.workload {
			return p
		}
	}
	if len(g.processes) > 0 {
		return g.processes[0]
	}
	return nil
}
