// Package seccomp finds containers that may make every system call.
package seccomp

import (
	"cmp"
	_ "embed"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed doc.md
var doc string

// Control is pod.seccomp.
var Control = &control.Control{
	ID:       "pod.seccomp",
	Title:    "Container may make any system call",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.PSS("restricted: Seccomp"), control.CIS("5.6.2"), control.MITRE("T1611")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for p := range podsec.Judged(s) {
		if podsec.Windows(p) {
			continue // there is no seccomp
		}
		v := r.Pod(p)
		for _, c := range p.Containers {
			profile, path := podsec.Seccomp(p, c)
			if profile != "" && profile != corev1.SeccompProfileTypeUnconfined {
				continue
			}
			got := cmp.Or(string(profile), "not set")
			f := v.Broken(path, got, "RuntimeDefault")
			ofContainer := strings.HasPrefix(path, c.Path)
			if !ofContainer {
				f.Because("container %s inherits it", c.Name)
			}
			if c.Kind != cluster.Ephemeral || !ofContainer {
				f.Set(strings.TrimSuffix(path, ".type"), map[string]any{"type": "RuntimeDefault"})
			}
		}
	}
}
