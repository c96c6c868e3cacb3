// Package anynamespace finds policies that let pods of every namespace in, on every port.
package anynamespace

import (
	_ "embed"
	"fmt"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/network"
)

//go:embed doc.md
var doc string

// Control is network.anynamespace.
var Control = &control.Control{
	ID:       "network.anynamespace",
	Title:    "NetworkPolicy lets every namespace in",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.NetworkPolicies},
	Check:    check,
	Refs:     []control.Ref{control.NSA("Network separation"), control.MITRE("T1046")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for o, np := range cluster.All[*networkingv1.NetworkPolicy](s, "NetworkPolicy") {
		v := r.Object(o)
		if ingress, _ := network.Isolates(np); !ingress {
			continue
		}
		for i, rule := range np.Spec.Ingress {
			if len(rule.Ports) > 0 {
				continue // a door for everybody on a port that is named is a choice
			}
			for j, peer := range rule.From {
				if all(peer.NamespaceSelector) && (peer.PodSelector == nil || all(peer.PodSelector)) {
					v.Broken(fmt.Sprintf("spec.ingress[%d].from[%d].namespaceSelector", i, j), "every namespace on every port", "the namespaces or ports that need it")
				}
			}
		}
	}
}

func all(sel *metav1.LabelSelector) bool {
	return sel != nil && len(sel.MatchLabels)+len(sel.MatchExpressions) == 0
}
