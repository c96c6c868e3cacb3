// Package seccompannotation finds pods whose seccomp profile is an annotation.
package seccompannotation

import (
	_ "embed"
	"maps"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is pod.seccompannotation.
var Control = &control.Control{
	ID:       "pod.seccompannotation",
	Title:    "Seccomp profile stands where nobody reads it",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1611")},
	Doc:      doc,
}

const (
	podKey       = "seccomp.security.alpha.kubernetes.io/pod"
	containerKey = "container.seccomp.security.alpha.kubernetes.io/"
)

func check(s *cluster.Snapshot, r *control.Report) {
	for _, p := range s.Pods() {
		v := r.Pod(p)
		set := p.Spec.SecurityContext != nil && p.Spec.SecurityContext.SeccompProfile != nil
		// The API server let go of the annotations in v1.27 (KEP-135).
		for _, key := range slices.Sorted(maps.Keys(p.Meta.Annotations)) {
			name, ofContainer := strings.CutPrefix(key, containerKey)
			if key == podKey {
				name = ""
			}
			if (ofContainer || key == podKey) && !set && !profiled(p, name) {
				v.Broken("annotations["+key+"]", p.Meta.Annotations[key], "securityContext.seccompProfile").
					Because("annotations have had no effect since v1.27")
			}
		}
	}
}

// profiled reports whether the container has a profile of its own; without a name,
// whether all have.
func profiled(p *cluster.PodSpec, name string) bool {
	return len(p.Containers) > 0 && !slices.ContainsFunc(p.Containers, func(c cluster.Container) bool {
		return (name == "" || c.Name == name) && (c.SecurityContext == nil || c.SecurityContext.SeccompProfile == nil)
	})
}
