// Package noquota finds namespaces with workloads and without a ResourceQuota.
package noquota

import (
	_ "embed"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is hygiene.noquota.
var Control = &control.Control{
	ID:       "hygiene.noquota",
	Title:    "Namespace may take all of the cluster",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.Namespaces},
	With:     []cluster.Need{cluster.ResourceQuotas, cluster.Pods},
	Check:    check,
	Refs:     []control.Ref{control.NSA("Resource policies"), control.MITRE("T1499")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	quotas := map[string]bool{}
	for o := range cluster.All[*corev1.ResourceQuota](s, "ResourceQuota") {
		quotas[o.Namespace] = true
	}
	for _, o := range s.Kind("Namespace") {
		if len(s.PodsIn(o.Name)) == 0 || strings.HasPrefix(o.Name, "kube-") {
			continue
		}
		if v := r.Object(o); !quotas[o.Name] {
			v.Broken("ResourceQuota", "none", "one for the namespace")
		}
	}
}
