// Package targetport finds Services whose port by name is no port of their pods.
package targetport

import (
	_ "embed"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is hygiene.targetport.
var Control = &control.Control{
	ID:       "hygiene.targetport",
	Title:    "Service leads to a port that no pod has",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.Services},
	With:     cluster.Workloads,
	Check:    check,
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for o, svc := range cluster.All[*corev1.Service](s, "Service") {
		if len(svc.Spec.Selector) == 0 {
			continue
		}
		sel := labels.SelectorFromSet(svc.Spec.Selector)
		ports := map[string]bool{}
		selected := false
		for _, p := range s.PodsIn(o.Namespace) {
			if !sel.Matches(labels.Set(p.Meta.Labels)) {
				continue
			}
			selected = true
			for _, c := range p.Containers {
				for _, port := range c.Ports {
					ports[port.Name] = true
				}
			}
		}
		if !selected {
			continue // service.selectsnobody
		}
		v := r.Object(o)
		for _, port := range svc.Spec.Ports {
			if port.TargetPort.Type == intstr.String && !ports[port.TargetPort.StrVal] {
				v.Broken("spec.ports", port.TargetPort.StrVal, "the name of a port of its pods")
			}
		}
	}
}
