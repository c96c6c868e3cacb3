// Package readiness finds containers behind a Service that do not say when they are ready.
package readiness

import (
	_ "embed"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is hygiene.readiness.
var Control = &control.Control{
	ID:       "hygiene.readiness",
	Title:    "Workload gets requests before it can answer",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	With:     []cluster.Need{cluster.Services},
	Check:    check,
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	var services []cluster.Selection[bool]
	for o, svc := range cluster.All[*corev1.Service](s, "Service") {
		if len(svc.Spec.Selector) > 0 && !svc.Spec.PublishNotReadyAddresses {
			services = append(services, cluster.Selection[bool]{Namespace: o.Namespace, Selector: labels.SelectorFromSet(svc.Spec.Selector), Of: true})
		}
	}
	served := cluster.Selecting(s, services)
	for _, p := range s.Pods() {
		if p.Of != nil || !served[p] {
			continue // nobody sends it anything
		}
		v := r.Pod(p)
		probed := slices.ContainsFunc(p.Containers, func(c cluster.Container) bool { return c.ReadinessProbe != nil })
		if !probed && len(p.Spec.ReadinessGates) == 0 {
			v.Broken(p.Path+".containers", "no readinessProbe", "one in the container that answers")
		}
	}
}
