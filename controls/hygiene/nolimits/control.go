// Package nolimits finds namespaces with workloads and without a LimitRange.
package nolimits

import (
	_ "embed"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is hygiene.nolimits.
var Control = &control.Control{
	ID:       "hygiene.nolimits",
	Title:    "Namespace gives pods no bounds by default",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.Namespaces},
	With:     []cluster.Need{cluster.LimitRanges, cluster.Pods},
	Check:    check,
	Refs:     []control.Ref{control.NSA("Resource policies"), control.MITRE("T1499")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	ranges := map[string]bool{}
	for o := range cluster.All[*corev1.LimitRange](s, "LimitRange") {
		ranges[o.Namespace] = true
	}
	for _, o := range s.Kind("Namespace") {
		pods := s.PodsIn(o.Name)
		if strings.HasPrefix(o.Name, "kube-") || len(pods) == 0 {
			continue
		}
		v := r.Object(o)
		if !ranges[o.Name] && slices.ContainsFunc(pods, unbounded) {
			v.Broken("LimitRange", "none", "one with default requests and a memory limit").Because("some pods there say nothing of memory")
		}
	}
}

func unbounded(p *cluster.PodSpec) bool {
	if p.Spec.Resources != nil && p.Spec.Resources.Limits.Memory().Sign() > 0 {
		return false
	}
	return slices.ContainsFunc(p.Containers, func(c cluster.Container) bool {
		return c.Kind != cluster.Ephemeral && c.Resources.Limits.Memory().IsZero()
	})
}
