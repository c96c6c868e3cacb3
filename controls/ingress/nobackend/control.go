// Package nobackend finds Ingresses that lead to a Service which does not exist.
package nobackend

import (
	_ "embed"
	"fmt"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is ingress.nobackend.
var Control = &control.Control{
	ID:       "ingress.nobackend",
	Title:    "Ingress leads to a Service that does not exist",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.Ingresses},
	With:     []cluster.Need{cluster.Services},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1584.001")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	if !s.Live {
		return // files are a part of a cluster; the Service may be elsewhere
	}
	for o, ing := range cluster.All[*networkingv1.Ingress](s, "Ingress") {
		v := r.Object(o)
		judge := func(path string, b *networkingv1.IngressBackend) {
			if b == nil || b.Service == nil || s.Get(cluster.Ref{Kind: "Service", Namespace: o.Namespace, Name: b.Service.Name}) != nil {
				return
			}
			v.Broken(path+".service.name", b.Service.Name+", which does not exist", "a Service that exists")
		}
		judge("spec.defaultBackend", ing.Spec.DefaultBackend)
		for i, rule := range ing.Spec.Rules {
			if rule.HTTP == nil {
				continue
			}
			for j := range rule.HTTP.Paths {
				judge(fmt.Sprintf("spec.rules[%d].http.paths[%d].backend", i, j), &rule.HTTP.Paths[j].Backend)
			}
		}
	}
}
