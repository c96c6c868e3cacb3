// Package nobudget finds replicated workloads without a PodDisruptionBudget.
package nobudget

import (
	_ "embed"

	appsv1 "k8s.io/api/apps/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is hygiene.nobudget.
var Control = &control.Control{
	ID:       "hygiene.nobudget",
	Title:    "Nodes may be emptied of all replicas at once",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.Deployments, cluster.StatefulSets},
	With:     []cluster.Need{cluster.DisruptionBudgets},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1499")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	var budgets []cluster.Selection[bool]
	for o, b := range cluster.All[*policyv1.PodDisruptionBudget](s, "PodDisruptionBudget") {
		if sel, err := metav1.LabelSelectorAsSelector(b.Spec.Selector); err == nil {
			budgets = append(budgets, cluster.Selection[bool]{Namespace: o.Namespace, Selector: sel, Of: true})
		}
	}
	budgeted := cluster.Selecting(s, budgets)
	for _, p := range s.Pods() {
		var replicas *int32
		switch w := p.Object.Value.(type) {
		case *appsv1.Deployment:
			replicas = w.Spec.Replicas
		case *appsv1.StatefulSet:
			replicas = w.Spec.Replicas
		}
		if replicas == nil || *replicas < 2 {
			continue // one replica can only be kept by never emptying its node
		}
		v := r.Object(p.Object)
		if !budgeted[p] {
			v.Broken("PodDisruptionBudget", "none", "one that selects its pods").Because("it has %d replicas", *replicas)
		}
	}
}
