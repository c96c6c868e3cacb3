// Package allowall finds policies that let everybody through.
package allowall

import (
	_ "embed"
	"fmt"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/network"
)

//go:embed doc.md
var doc string

// Control is network.allowall.
var Control = &control.Control{
	ID:       "network.allowall",
	Title:    "NetworkPolicy lets everybody through",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.NetworkPolicies},
	Check:    check,
	Refs:     []control.Ref{control.NSA("Network separation"), control.MITRE("T1046")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for o, np := range cluster.All[*networkingv1.NetworkPolicy](s, "NetworkPolicy") {
		v := r.Object(o)
		ingress, egress := network.Isolates(np)
		if ingress {
			for i, rule := range np.Spec.Ingress {
				if what := open(rule.From, rule.Ports); what != "" {
					v.Broken(fmt.Sprintf("spec.ingress[%d]", i), what, "the peers that need it")
				}
			}
		}
		if egress {
			for i, rule := range np.Spec.Egress {
				if what := open(rule.To, rule.Ports); what != "" {
					v.Broken(fmt.Sprintf("spec.egress[%d]", i), what, "the peers that it needs")
				}
			}
		}
	}
}

// open says how a rule lets everybody through on every port, or "". A door for everybody
// on a port that is named is a choice.
func open(peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort) string {
	switch {
	case len(ports) > 0:
		return ""
	case len(peers) == 0:
		return "everybody on every port"
	}
	for _, peer := range peers {
		if network.AllAddresses(peer) {
			return peer.IPBlock.CIDR + " on every port"
		}
	}
	return ""
}
