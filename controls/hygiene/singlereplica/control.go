// Package singlereplica finds Deployments that users reach and that have a single replica.
package singlereplica

import (
	_ "embed"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is hygiene.singlereplica.
var Control = &control.Control{
	ID:       "hygiene.singlereplica",
	Title:    "Workload behind an Ingress has one replica",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.Deployments},
	With:     []cluster.Need{cluster.Services, cluster.Ingresses, cluster.Autoscalers},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1499")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	scaled := map[cluster.Ref]bool{}
	for o, h := range cluster.All[*autoscalingv2.HorizontalPodAutoscaler](s, "HorizontalPodAutoscaler") {
		t := h.Spec.ScaleTargetRef
		scaled[cluster.Ref{Kind: t.Kind, Namespace: o.Namespace, Name: t.Name}] = true
	}
	public := cluster.Selecting(s, served(s))
	for _, p := range s.Pods() {
		d, ok := p.Object.Value.(*appsv1.Deployment)
		if !ok || scaled[p.Object.Ref] || !public[p] {
			continue
		}
		v := r.Object(p.Object)
		if d.Spec.Replicas == nil || *d.Spec.Replicas == 1 {
			v.Broken("spec.replicas", "1", "2 or more").Because("users reach it through an Ingress")
		}
	}
}

// served are the pods of Services that an Ingress leads to.
func served(s *cluster.Snapshot) []cluster.Selection[bool] {
	var out []cluster.Selection[bool]
	for o, ing := range cluster.All[*networkingv1.Ingress](s, "Ingress") {
		add := func(b *networkingv1.IngressBackend) {
			if b == nil || b.Service == nil {
				return
			}
			if svc := s.Get(cluster.Ref{Kind: "Service", Namespace: o.Namespace, Name: b.Service.Name}); svc != nil {
				if v, ok := svc.Value.(*corev1.Service); ok && len(v.Spec.Selector) > 0 {
					out = append(out, cluster.Selection[bool]{Namespace: o.Namespace, Selector: labels.SelectorFromSet(v.Spec.Selector), Of: true})
				}
			}
		}
		add(ing.Spec.DefaultBackend)
		for _, rule := range ing.Spec.Rules {
			if rule.HTTP != nil {
				for i := range rule.HTTP.Paths {
					add(&rule.HTTP.Paths[i].Backend)
				}
			}
		}
	}
	return out
}
