// Package exposedescape finds workloads open to the outside that can break out of their container.
package exposedescape

import (
	_ "embed"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
	"github.com/bulwark-k8s/bulwark/internal/reach"
)

//go:embed doc.md
var doc string

// Control is workload.exposedescape.
var Control = &control.Control{
	ID:       "workload.exposedescape",
	Title:    "Workload open to the outside can take its node",
	Severity: control.Critical,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	With:     append([]cluster.Need{cluster.Services}, reach.Fronted...),
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1190"), control.MITRE("T1611")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	open := doors(s)
	for p := range podsec.Judged(s) {
		v := r.Pod(p)
		by := open[p]
		if by == nil {
			continue
		}
		if path, got, want := escape(p); path != "" {
			v.Broken(path, got, want).Because("%s leads to it from outside", by[0]).Through(by...)
		}
	}
}

// doors are, for every pod that is open to the outside, the Service it is open by and what
// leads to that, where something does.
func doors(s *cluster.Snapshot) map[*cluster.PodSpec][]cluster.Ref {
	before, _ := reach.Fronts(s)
	var open []cluster.Selection[[]cluster.Ref]
	for o, svc := range cluster.All[*corev1.Service](s, "Service") {
		if len(svc.Spec.Selector) == 0 {
			continue
		}
		by := []cluster.Ref{o.Ref}
		front, ok := before[o.Ref]
		switch {
		case svc.Spec.Type == corev1.ServiceTypeNodePort, svc.Spec.Type == corev1.ServiceTypeLoadBalancer, len(svc.Spec.ExternalIPs) > 0:
		case ok:
			by = []cluster.Ref{front, o.Ref}
		default:
			continue
		}
		open = append(open, cluster.Selection[[]cluster.Ref]{Namespace: o.Namespace, Selector: labels.SelectorFromSet(svc.Spec.Selector), Of: by})
	}
	return cluster.Selecting(s, open)
}

// escape returns the field that makes a break-out a matter of one command.
func escape(p *cluster.PodSpec) (path, got, want string) {
	for _, c := range p.Containers {
		if podsec.Privileged(c) {
			return c.Path + ".securityContext.privileged", "true", "false"
		}
	}
	for _, m := range podsec.HostMounts(p) {
		field := fmt.Sprintf("%s.volumes[%s].hostPath.path", p.Path, m.Volume.Name)
		if podsec.RuntimeSocket(m) != "" || m.Container != nil && m.Writable && podsec.Gain(m) != "" {
			return field, m.Volume.HostPath.Path, "no hostPath volume"
		}
	}
	if p.Spec.HostPID && !podsec.OwnUsers(p) {
		return p.Path + ".hostPID", "true", "false"
	}
	for _, c := range p.Containers {
		for _, name := range podsec.Added(c) {
			if slices.Contains([]string{"ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_RAWIO", "DAC_READ_SEARCH", "BPF"}, name) && !podsec.OwnUsers(p) {
				return c.Path + ".securityContext.capabilities.add", name, "none beyond the default ones"
			}
		}
	}
	return "", "", ""
}
