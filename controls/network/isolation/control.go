// Package isolation finds pods that no NetworkPolicy selects.
package isolation

import (
	_ "embed"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/bulwark-k8s/bulwark/controls/internal/netpol"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is network.isolation.
var Control = &control.Control{
	ID:       "network.isolation",
	Title:    "Pod can talk to everything and be talked to",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	With:     []cluster.Need{cluster.NetworkPolicies},
	Check:    check,
	Refs:     []control.Ref{control.CIS("5.3.2"), control.NSA("Network separation"), control.MITRE("T1046")},
	Doc:      doc,
}

// A policy is one NetworkPolicy with its selector parsed once.
type policy struct {
	selects         labels.Selector
	ingress, egress bool
}

func check(s *cluster.Snapshot, r *control.Report) {
	byNamespace := map[string][]policy{}
	for o, np := range cluster.All[*networkingv1.NetworkPolicy](s, "NetworkPolicy") {
		sel, err := metav1.LabelSelectorAsSelector(&np.Spec.PodSelector)
		if err != nil {
			continue // the API server refuses such a policy
		}
		p := policy{selects: sel}
		p.ingress, p.egress = netpol.Isolates(np)
		byNamespace[o.Namespace] = append(byNamespace[o.Namespace], p)
	}
	for _, p := range s.Pods() {
		if p.Spec.HostNetwork {
			continue // no policy applies there: pod.hostnetwork says so
		}
		var ingress, egress bool
		for _, np := range byNamespace[p.Namespace()] {
			if np.selects.Matches(labels.Set(p.Meta.Labels)) {
				ingress, egress = ingress || np.ingress, egress || np.egress
			}
		}
		v := r.Pod(p)
		switch {
		case !ingress && !egress:
			v.Broken("isolation", "none", "a NetworkPolicy for ingress and one for egress")
		case !ingress:
			v.Broken("isolation", "egress only", "a NetworkPolicy for ingress too")
		case !egress:
			v.Broken("isolation", "ingress only", "a NetworkPolicy for egress too")
		}
	}
}
