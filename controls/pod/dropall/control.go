// Package dropall finds containers that keep capabilities which nobody asked for.
package dropall

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed doc.md
var doc string

// Control is pod.dropall.
var Control = &control.Control{
	ID:       "pod.dropall",
	Title:    "Container keeps default capabilities",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs: []control.Ref{
		control.CIS("5.2.8").When(func(f *control.Finding) bool { return !strings.Contains(f.Got, "NET_RAW") }),
		control.CIS("5.2.9"),
		control.PSS("restricted: Capabilities"),
	},
	Doc: doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for p := range podsec.Judged(s) {
		if podsec.Windows(p) {
			continue // there are no capabilities
		}
		v := r.Pod(p)
		for _, c := range p.Containers {
			if podsec.DropsAll(c) {
				continue
			}
			got := "not set"
			if sc := c.SecurityContext; sc != nil && sc.Capabilities != nil && len(sc.Capabilities.Drop) > 0 {
				got = fmt.Sprintf("%v", sc.Capabilities.Drop)
			}
			f := v.Broken(c.Path+".securityContext.capabilities.drop", got, "[ALL]")
			// A process that starts as root may count on them to change its user or
			// the owner of its files; any other starts without them anyway.
			if !podsec.IdentityOf(p, c).MayBeRoot() {
				podsec.Mend(f, c, "securityContext.capabilities.drop", []any{"ALL"})
			}
		}
	}
}
