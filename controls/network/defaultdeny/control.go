// Package defaultdeny finds namespaces where the next pod would be open.
package defaultdeny

import (
	_ "embed"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/network"
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
	policies := network.Compile(s, network.Options{Profile: network.Generic()})
	own := map[string]bool{}
	for _, o := range s.Kind("NetworkPolicy") {
		own[o.Namespace] = true
	}
	for _, o := range s.Kind("Namespace") {
		pods := s.PodsIn(o.Name)
		if o.Name == "kube-system" {
			continue // who may start a pod there owns the cluster
		}
		if len(pods) == 0 || !own[o.Name] {
			continue // nobody is there, or each pod is reported by network.isolation
		}
		v := r.Object(o)
		next := policies.IsolationOfAll(o.Name)
		// Where a pod of today is open, it is reported itself.
		today := network.Isolation{Ingress: network.Yes, Egress: network.Yes}
		for _, p := range pods {
			if is := policies.Isolation(p); !p.Spec.HostNetwork {
				today.Ingress, today.Egress = min(today.Ingress, is.Ingress), min(today.Egress, is.Egress)
			}
		}
		var missing []string
		if next.Ingress == network.No && today.Ingress == network.Yes {
			missing = append(missing, "ingress")
		}
		if next.Egress == network.No && today.Egress == network.Yes {
			missing = append(missing, "egress")
		}
		if len(missing) > 0 {
			v.Broken("default deny", "missing for "+strings.Join(missing, " and "), "a NetworkPolicy that selects every pod").
				Because("each pod of today is isolated by a policy of its own, and the next one is not")
		}
	}
}
