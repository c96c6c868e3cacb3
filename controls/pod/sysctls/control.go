// Package sysctls finds pods that set kernel parameters beyond their own namespaces.
package sysctls

import (
	_ "embed"
	"fmt"
	"strconv"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed doc.md
var doc string

// Control is pod.sysctls.
var Control = &control.Control{
	ID:       "pod.sysctls",
	Title:    "Pod sets unsafe kernel parameters",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.PSS("baseline: Sysctls"), control.MITRE("T1611")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for p := range podsec.Judged(s) {
		v := r.Pod(p)
		if p.Spec.SecurityContext == nil {
			continue
		}
		path := p.Path + ".securityContext.sysctls"
		// A patch cannot take one item out of this list by its name, so it is set anew.
		var safe []any
		for _, sysctl := range p.Spec.SecurityContext.Sysctls {
			if podsec.SafeSysctl(sysctl.Name) {
				safe = append(safe, map[string]any{"name": sysctl.Name, "value": sysctl.Value})
			}
		}
		for _, sysctl := range p.Spec.SecurityContext.Sysctls {
			if podsec.SafeSysctl(sysctl.Name) {
				continue
			}
			f := v.Broken(fmt.Sprintf("%s[%s]", path, sysctl.Name), strconv.Quote(sysctl.Value), "not set")
			if len(safe) > 0 {
				f.Set(path, safe)
			} else {
				f.Remove(path)
			}
		}
	}
}
