// Package blockingbudget finds PodDisruptionBudgets that allow no disruption.
package blockingbudget

import (
	_ "embed"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is hygiene.blockingbudget.
var Control = &control.Control{
	ID:       "hygiene.blockingbudget",
	Title:    "Budget never lets a node be emptied",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.DisruptionBudgets},
	With:     []cluster.Need{cluster.Deployments, cluster.StatefulSets},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1499")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for o, b := range cluster.All[*policyv1.PodDisruptionBudget](s, "PodDisruptionBudget") {
		v := r.Object(o)
		switch {
		case b.Spec.MaxUnavailable != nil && zero(*b.Spec.MaxUnavailable):
			v.Broken("spec.maxUnavailable", b.Spec.MaxUnavailable.String(), "1 or more")
		case b.Spec.MinAvailable != nil && b.Spec.MinAvailable.Type == intstr.String && b.Spec.MinAvailable.StrVal == "100%":
			v.Broken("spec.minAvailable", "100%", "less than all")
		case b.Spec.MinAvailable != nil && b.Spec.MinAvailable.Type == intstr.Int:
			if name, n := replicas(s, o.Namespace, b); name != "" && b.Spec.MinAvailable.IntVal >= n {
				v.Broken("spec.minAvailable", b.Spec.MinAvailable.String(), fmt.Sprintf("less than %d", n)).Because("%s has %d replicas", name, n)
			}
		}
	}
}

func zero(v intstr.IntOrString) bool {
	return v.Type == intstr.Int && v.IntVal == 0 || v.Type == intstr.String && v.StrVal == "0%"
}

// replicas counts what the budget selects, if that is one workload with a fixed number.
func replicas(s *cluster.Snapshot, namespace string, b *policyv1.PodDisruptionBudget) (string, int32) {
	sel, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
	if err != nil {
		return "", 0
	}
	var name string
	var n int32
	for p := range s.Selected(namespace, sel) {
		if p.Of != nil {
			continue
		}
		count := (*int32)(nil)
		switch w := p.Object.Value.(type) {
		case *appsv1.Deployment:
			count = w.Spec.Replicas
		case *appsv1.StatefulSet:
			count = w.Spec.Replicas
		default:
			return "", 0
		}
		if name != "" {
			return "", 0
		}
		name, n = p.Object.String(), 1
		if count != nil {
			n = *count
		}
	}
	return name, n
}
