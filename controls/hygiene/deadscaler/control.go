// Package deadscaler finds HorizontalPodAutoscalers without a target.
package deadscaler

import (
	_ "embed"
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is hygiene.deadscaler.
var Control = &control.Control{
	ID:       "hygiene.deadscaler",
	Title:    "Autoscaler scales something that does not exist",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.Autoscalers},
	With:     []cluster.Need{cluster.Deployments, cluster.StatefulSets},
	Check:    check,
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	if !s.Live {
		return // files are a part of a cluster
	}
	for o, h := range cluster.All[*autoscalingv2.HorizontalPodAutoscaler](s, "HorizontalPodAutoscaler") {
		t := h.Spec.ScaleTargetRef
		if t.Kind != "Deployment" && t.Kind != "StatefulSet" || !strings.HasPrefix(t.APIVersion, "apps/") {
			continue
		}
		v := r.Object(o)
		if ref := (cluster.Ref{Kind: t.Kind, Namespace: o.Namespace, Name: t.Name}); s.Get(ref) == nil {
			v.Broken("spec.scaleTargetRef", ref.String()+", which does not exist", "a workload that exists")
		}
	}
}
