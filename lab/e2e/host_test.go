//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// A state is what of the host a lab cluster must leave alone.
type state map[string]string

// hostState looks at the host's own network, firewall, mounts, sysctls, cgroups and
// named network namespaces.
func hostState() state {
	s := state{}
	var names []string
	if all, err := net.Interfaces(); err == nil {
		for _, i := range all {
			names = append(names, i.Name)
		}
	}
	s["interfaces"] = strings.Join(names, " ")
	routes, _ := os.ReadFile("/proc/net/route")
	s["routes"] = string(routes)
	rules, err := exec.Command("nft", "list", "ruleset").Output()
	if err == nil {
		s["nft"] = string(rules)
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	s["mounts"] = string(mounts)
	for _, name := range []string{
		"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys",
		"kernel/keys/root_maxbytes", "net/ipv4/ip_forward", "net/netfilter/nf_conntrack_max",
	} {
		if v, err := os.ReadFile("/proc/sys/" + name); err == nil {
			s["sysctl "+name] = strings.TrimSpace(string(v))
		}
	}
	var groups []string
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.Contains(path, "/bulwark/e2e-") {
			groups = append(groups, path)
		}
		return nil
	})
	s["cgroups of the tests"] = strings.Join(groups, "\n")
	netns, _ := filepath.Glob("/run/netns/*")
	s["named network namespaces"] = strings.Join(netns, " ")
	s["processes of the tests"] = strings.Join(processes("e2e-"), "\n")
	return s
}

func (s state) diff(after state) string {
	var b strings.Builder
	for _, k := range keys(s, after) {
		if s[k] != after[k] {
			fmt.Fprintf(&b, "%s\n  before: %s\n  after:  %s\n", k, s[k], after[k])
		}
	}
	return b.String()
}

func keys(maps ...state) []string {
	var out []string
	for _, m := range maps {
		for k := range m {
			if !slices.Contains(out, k) {
				out = append(out, k)
			}
		}
	}
	slices.Sort(out)
	return out
}

// processes lists the command lines that name a test cluster's folder.
func processes(mark string) []string {
	var out []string
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		raw, _ := os.ReadFile(f)
		line := strings.TrimSpace(strings.ReplaceAll(string(raw), "\x00", " "))
		if strings.Contains(line, "lab-internal") && strings.Contains(line, mark) {
			out = append(out, filepath.Base(filepath.Dir(f))+" "+line)
		}
	}
	return out
}

// moreWatchers lets the tests run several clusters at once: a machine's default of 128
// inotify instances is enough for about four. `up` itself never changes it, and says so
// when it is too low. The returned function puts the old value back.
func moreWatchers() (restore func()) {
	const file, want = "/proc/sys/fs/inotify/max_user_instances", 1024
	old, err := os.ReadFile(file)
	if err != nil {
		return func() {}
	}
	if n, err := strconv.Atoi(strings.TrimSpace(string(old))); err != nil || n >= want {
		return func() {}
	}
	if os.WriteFile(file, []byte(strconv.Itoa(want)), 0) != nil {
		return func() {} // not root: one small cluster at a time then
	}
	return func() { _ = os.WriteFile(file, old, 0) }
}

// maxRSS is the most memory that the process held, in bytes.
func maxRSS(p *os.ProcessState) int64 {
	usage, ok := p.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	return usage.Maxrss << 10 // Linux counts in KiB
}

// listening returns the host's listening TCP sockets as address:port in the kernel's
// hexadecimal.
func listening() []string {
	var out []string
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		raw, _ := os.ReadFile(file)
		for line := range strings.Lines(string(raw)) {
			f := strings.Fields(line)
			if len(f) > 3 && f[3] == "0A" {
				out = append(out, f[1])
			}
		}
	}
	return out
}
