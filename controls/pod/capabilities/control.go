// Package capabilities finds containers that ask for more of the kernel than they get by default.
package capabilities

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed doc.md
var doc string

// Control is pod.capabilities.
var Control = &control.Control{
	ID:       "pod.capabilities",
	Title:    "Container adds dangerous capabilities",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs: []control.Ref{
		control.CIS("5.2.8").When(func(f *control.Finding) bool {
			return strings.Contains(f.Got, "NET_RAW") || strings.Contains(f.Got, "ALL")
		}),
		control.CIS("5.2.9"),
		control.PSS("baseline: Capabilities"),
		control.MITRE("T1611"),
	},
	Doc: doc,
}

// gains are the capabilities that are a way out by themselves, and how.
var gains = map[string]string{
	"ALL":             "ALL is as good as privileged",
	"SYS_ADMIN":       "SYS_ADMIN mounts the node's disks",
	"SYS_MODULE":      "SYS_MODULE loads code into the kernel",
	"SYS_PTRACE":      "SYS_PTRACE reads and changes other processes",
	"SYS_RAWIO":       "SYS_RAWIO reaches memory and devices",
	"SYS_BOOT":        "SYS_BOOT starts another kernel",
	"BPF":             "BPF runs programs in the kernel",
	"PERFMON":         "PERFMON reads kernel memory",
	"DAC_READ_SEARCH": "DAC_READ_SEARCH opens any file of the node",
	"NET_ADMIN":       "NET_ADMIN redirects the pod's or the node's traffic",
	"NET_RAW":         "NET_RAW forges the packets of neighbours",
	"MAC_ADMIN":       "MAC_ADMIN switches the node's access control off",
	"SYSLOG":          "SYSLOG reads kernel addresses",
}

func check(s *cluster.Snapshot, r *control.Report) {
	for p := range podsec.Judged(s) {
		if podsec.Windows(p) {
			continue // there are no capabilities
		}
		v := r.Pod(p)
		for _, c := range p.Containers {
			extra := slices.DeleteFunc(podsec.Added(c), func(name string) bool { return slices.Contains(podsec.Baseline, name) })
			if len(extra) == 0 {
				continue
			}
			path := c.Path + ".securityContext.capabilities.add"
			f := v.Broken(path, strings.Join(extra, ", "), "none beyond the default ones")
			var why []string
			for _, name := range extra {
				if gains[name] != "" {
					why = append(why, gains[name])
				}
			}
			f.Reason = strings.Join(why, "; ")
			if c.Kind == cluster.Ephemeral {
				continue // it cannot be changed once it is there
			}
			for _, asked := range c.SecurityContext.Capabilities.Add {
				if slices.Contains(extra, podsec.Capability(asked)) {
					f.Remove(fmt.Sprintf("%s[%s]", path, asked))
				}
			}
		}
	}
}
