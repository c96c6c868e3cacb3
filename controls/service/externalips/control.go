// Package externalips finds Services that claim addresses of others.
package externalips

import (
	_ "embed"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is service.externalips.
var Control = &control.Control{
	ID:       "service.externalips",
	Title:    "Service claims addresses by externalIPs",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.Services},
	Check:    check,
	Refs: []control.Ref{
		control.CIS("1.2.3").Further(),
		control.MITRE("T1557"),
	},
	Doc: doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for o, svc := range cluster.All[*corev1.Service](s, "Service") {
		v := r.Object(o)
		if len(svc.Spec.ExternalIPs) > 0 {
			v.Broken("spec.externalIPs", strings.Join(svc.Spec.ExternalIPs, ", "), "none")
		}
	}
}
