package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// checkHost refuses early what would fail late.
func checkHost(controlPlanes, nodes int) error {
	if nodes > 0 && !hasProgram("nft") {
		return withHint(errors.New("nodes: kube-proxy and the policy enforcer need the program nft"), "apt-get install nftables, or --nodes 0")
	}
	return checkWatches(controlPlanes, nodes)
}

func hasProgram(name string) bool {
	for _, dir := range []string{"/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

// What a machine's processes hold of inotify, as counted on a hardened
// cluster: 15 and 10. Every watched certificate is one.
const (
	watchesOfControlPlane = 16
	watchesOfNode         = 12
)

// checkWatches counts a limit that a few clusters exhaust, the kernel's number
// of inotify instances per user. A kubelet that hits it does not end; it only
// never registers.
func checkWatches(controlPlanes, nodes int) error {
	const name = "fs.inotify.max_user_instances"
	data, err := os.ReadFile("/proc/sys/fs/inotify/max_user_instances")
	if err != nil {
		return nil //nolint:nilerr // a kernel that does not say has no say
	}
	limit, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return fmt.Errorf("reading %s: %w", name, err)
	}
	used := watchesInUse()
	need := controlPlanes*watchesOfControlPlane + nodes*watchesOfNode
	if used+need <= limit {
		return nil
	}
	return withHint(fmt.Errorf("inotify: this cluster needs about %d instances, and %d of %d are in use", need, used, limit),
		"stop another cluster, or raise the limit: sysctl %s=%d", name, max(512, 2*(used+need)))
}

// watchesInUse counts this user's inotify instances. What belongs to others is
// not readable, and does not count against us.
func watchesInUse() int {
	uid := os.Geteuid()
	descriptors, err := filepath.Glob("/proc/[0-9]*/fd")
	if err != nil {
		return 0
	}
	used := 0
	for _, dir := range descriptors {
		if owner, err := ownerUID(dir); err != nil || int(owner) != uid {
			continue
		}
		open, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, fd := range open {
			if target, err := os.Readlink(filepath.Join(dir, fd.Name())); err == nil && target == "anon_inode:inotify" {
				used++
			}
		}
	}
	return used
}
