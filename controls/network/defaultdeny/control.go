// Package defaultdeny finds namespaces where the next pod would be open.
package defaultdeny

import (
	_ "embed"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/bulwark-k8s/bulwark/controls/internal/netpol"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is network.defaultdeny.
var Control = &control.Control{
	ID:       "network.defaultdeny",
	Title:    "Namespace leaves its next pod open",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.Namespaces},
	With:     append(slices.Clone(cluster.Isolation), cluster.Workloads...),
	Check:    check,
	Refs: []control.Ref{
		control.CIS("5.3.2").Further(),
		control.NSA("Network separation"),
	},
	Doc: doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	policies := map[string][]*networkingv1.NetworkPolicy{}
	for o, np := range cluster.All[*networkingv1.NetworkPolicy](s, "NetworkPolicy") {
		policies[o.Namespace] = append(policies[o.Namespace], np)
	}
	index := netpol.New(s)
	for _, o := range s.Kind("Namespace") {
		pods := s.PodsIn(o.Name)
		if o.Name == "kube-system" {
			continue // who may start a pod there owns the cluster
		}
		if len(pods) == 0 || len(policies[o.Name]) == 0 {
			continue // nobody is there, or each pod is reported by network.isolation
		}
		v := r.Object(o)
		next := index.Next(o.Name)
		if next.Unsure != "" {
			continue // another network's policy that may catch it
		}
		var missing []string
		for _, direction := range []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress} {
			if direction == networkingv1.PolicyTypeIngress && next.Ingress || direction == networkingv1.PolicyTypeEgress && next.Egress {
				continue
			}
			if !caught(policies[o.Name], direction) && isolated(pods, index, direction) {
				missing = append(missing, strings.ToLower(string(direction)))
			}
		}
		if len(missing) > 0 {
			v.Broken("default deny", "missing for "+strings.Join(missing, " and "), "a NetworkPolicy that selects every pod").
				Because("each pod of today is isolated by a policy of its own, and the next one is not")
		}
	}
}

// caught reports whether a policy selects every pod that may come.
func caught(policies []*networkingv1.NetworkPolicy, direction networkingv1.PolicyType) bool {
	return slices.ContainsFunc(policies, func(np *networkingv1.NetworkPolicy) bool {
		sel := np.Spec.PodSelector
		return len(sel.MatchLabels)+len(sel.MatchExpressions) == 0 && isolates(np, direction)
	})
}

// isolated reports whether every pod of today is selected. Where one is not, it is
// reported itself.
func isolated(pods []*cluster.PodSpec, index *netpol.Index, direction networkingv1.PolicyType) bool {
	return !slices.ContainsFunc(pods, func(p *cluster.PodSpec) bool {
		ingress, egress := index.ByKubernetes(p)
		return !p.Spec.HostNetwork && !closes(ingress, egress, direction)
	})
}

func isolates(np *networkingv1.NetworkPolicy, direction networkingv1.PolicyType) bool {
	ingress, egress := netpol.Isolates(np)
	return closes(ingress, egress, direction)
}

func closes(ingress, egress bool, direction networkingv1.PolicyType) bool {
	return direction == networkingv1.PolicyTypeIngress && ingress || direction == networkingv1.PolicyTypeEgress && egress
}
