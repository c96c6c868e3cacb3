// Package nakedpod finds pods that nothing brings back.
package nakedpod

import (
	_ "embed"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is workload.nakedpod.
var Control = &control.Control{
	ID:       "workload.nakedpod",
	Title:    "Pod has no controller",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.Pods},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1610")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, p := range s.Pods() {
		if p.Object.Kind != "Pod" || p.Static() {
			continue // a template is its controller's; a static pod is the kubelet's
		}
		v := r.Pod(p)
		// The controller may be of a kind that is not in the snapshot.
		if metav1.GetControllerOfNoCopy(p.Object.Meta) == nil {
			v.Broken("metadata.ownerReferences", "without a controller", "a Deployment, Job or other controller")
		}
	}
}
