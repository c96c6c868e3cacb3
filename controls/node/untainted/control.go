// Package untainted finds control-plane nodes without a taint in clusters that have others.
package untainted

import (
	_ "embed"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is node.untainted.
var Control = &control.Control{
	ID:       "node.untainted",
	Title:    "Workloads may be put beside the control plane",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.Nodes},
	Check:    check,
	Refs:     []control.Ref{control.NSA("Control plane hardening"), control.MITRE("T1611")},
	Doc:      doc,
}

const role = "node-role.kubernetes.io/control-plane"

func check(s *cluster.Snapshot, r *control.Report) {
	var servers []*cluster.Object
	workers := 0
	for o := range cluster.All[*corev1.Node](s, "Node") {
		if _, ok := o.Meta.Labels[role]; ok {
			servers = append(servers, o)
		} else {
			workers++
		}
	}
	if workers == 0 {
		return // there is nowhere else to go
	}
	for _, o := range servers {
		v := r.Object(o)
		node := o.Value.(*corev1.Node)
		if !node.Spec.Unschedulable && !slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Effect != corev1.TaintEffectPreferNoSchedule }) {
			v.Broken("spec.taints", "none", role+":NoSchedule").Because("%d other nodes are there to run workloads", workers)
		}
	}
}
