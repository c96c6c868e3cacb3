// Package selectsnobody finds Services that wait for a pod.
package selectsnobody

import (
	_ "embed"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is service.selectsnobody.
var Control = &control.Control{
	ID:       "service.selectsnobody",
	Title:    "Service selects no pod",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.Services},
	With:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1557")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	if !s.Live {
		return // files are a part of a cluster; the pods may be elsewhere
	}
	for o, svc := range cluster.All[*corev1.Service](s, "Service") {
		v := r.Object(o)
		if len(svc.Spec.Selector) == 0 || svc.Spec.Type == corev1.ServiceTypeExternalName {
			continue // somebody else writes its endpoints
		}
		selects := labels.SelectorFromSet(svc.Spec.Selector)
		if !s.Selects(o.Namespace, selects) {
			v.Broken("spec.selector", selects.String(), "labels of a pod in "+o.Namespace)
		}
	}
}
