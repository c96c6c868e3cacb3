// Package debugger finds running pods that somebody left a debugger in.
package debugger

import (
	_ "embed"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is pod.debugger.
var Control = &control.Control{
	ID:       "pod.debugger",
	Title:    "Debugger was left in a running pod",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.Pods},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1609")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, p := range s.Pods() {
		pod, ok := p.Object.Value.(*corev1.Pod)
		if !ok {
			continue // templates have no ephemeral containers
		}
		v := r.Pod(p)
		for _, c := range p.Containers {
			if c.Kind == cluster.Ephemeral && !ended(pod, c.Name) {
				v.Broken(c.Path, "image "+c.Image, "no ephemeral container")
			}
		}
	}
}

// ended reports whether the debugger has finished. It stays in the spec all the same.
func ended(pod *corev1.Pod, name string) bool {
	return slices.ContainsFunc(pod.Status.EphemeralContainerStatuses, func(st corev1.ContainerStatus) bool {
		return st.Name == name && st.State.Terminated != nil
	})
}
