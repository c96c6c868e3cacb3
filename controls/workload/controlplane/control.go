// Package controlplane finds workloads that tolerate the taint of control-plane machines.
package controlplane

import (
	_ "embed"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is workload.controlplane.
var Control = &control.Control{
	ID:       "workload.controlplane",
	Title:    "Workload may run beside the control plane",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.NSA("Control plane hardening"), control.MITRE("T1611")},
	Doc:      doc,
}

var taints = []string{"node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, p := range s.Pods() {
		if p.Namespace() == "kube-system" || p.Static() {
			continue // who may write there owns the cluster
		}
		v := r.Pod(p)
		if p.Object.Kind == "DaemonSet" || p.Of != nil && p.Of.Object.Kind == "DaemonSet" || ofDaemonSet(p) {
			continue // agents that look after every node
		}
		for i, t := range p.Spec.Tolerations {
			if slices.Contains(taints, t.Key) && t.Effect != corev1.TaintEffectPreferNoSchedule {
				v.Broken(fmt.Sprintf("%s.tolerations[%d]", p.Path, i), t.Key, "no toleration of it")
			}
		}
	}
}

func ofDaemonSet(p *cluster.PodSpec) bool {
	ref := metav1.GetControllerOfNoCopy(p.Object.Meta)
	return ref != nil && ref.Kind == "DaemonSet"
}
