// Package targetport finds Services whose port by name is no port of their pods.
package targetport

import (
	_ "embed"
	"iter"

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
	type selection struct{ namespace, selector string }
	known := map[selection]map[string]bool{} // Services that are alike look at their pods once
	for o, svc := range cluster.All[*corev1.Service](s, "Service") {
		if len(svc.Spec.Selector) == 0 {
			continue
		}
		sel := labels.SelectorFromSet(svc.Spec.Selector)
		key := selection{o.Namespace, sel.String()}
		ports, ok := known[key]
		if !ok {
			ports = portsOf(s.Selected(o.Namespace, sel))
			known[key] = ports
		}
		if ports == nil {
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

// portsOf are the names of the ports of the pods; nil where there is no pod.
func portsOf(pods iter.Seq[*cluster.PodSpec]) map[string]bool {
	var ports map[string]bool
	for p := range pods {
		if ports == nil {
			ports = map[string]bool{}
		}
		for _, c := range p.Containers {
			for _, port := range c.Ports {
				ports[port.Name] = true
			}
		}
	}
	return ports
}
