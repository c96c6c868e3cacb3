// Package selectsnothing finds policies that protect no pod.
package selectsnothing

import (
	_ "embed"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is network.selectsnothing.
var Control = &control.Control{
	ID:       "network.selectsnothing",
	Title:    "NetworkPolicy selects no pod",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.NetworkPolicies},
	With:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.NSA("Network separation")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	if !s.Live {
		return // files are a part of a cluster; the pods may be elsewhere
	}
	for o, np := range cluster.All[*networkingv1.NetworkPolicy](s, "NetworkPolicy") {
		v := r.Object(o)
		selects, err := metav1.LabelSelectorAsSelector(&np.Spec.PodSelector)
		if err != nil || selects.Empty() {
			continue // all that come are selected
		}
		if !s.Selects(o.Namespace, selects) {
			v.Broken("spec.podSelector", selects.String(), "labels of a pod in "+o.Namespace)
		}
	}
}
