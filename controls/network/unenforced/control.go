// Package unenforced finds clusters whose network is known not to enforce policies.
package unenforced

import (
	_ "embed"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is network.unenforced.
var Control = &control.Control{
	ID:       "network.unenforced",
	Title:    "Nothing enforces the NetworkPolicies",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.NetworkPolicies},
	With:     []cluster.Need{cluster.DaemonSets},
	Check:    check,
	Refs:     []control.Ref{control.CIS("5.3.1"), control.NSA("Network separation")},
	Doc:      doc,
}

// enforcers are parts of the names of agents that enforce policies.
var enforcers = []string{
	"calico", "canal", "cilium", "antrea", "kube-router", "weave", "ovn", "ovs", "romana", "kindnet", "kube-network-policies",
	"network-policy", "netpol", "azure-npm", "aws-node", "nsx", "kube-ovn", "sdn", "terway", "contiv", "multus-networkpolicy",
}

func check(s *cluster.Snapshot, r *control.Report) {
	if !s.Live {
		return // files are a part of a cluster
	}
	plain, enforced := "", false
	for o := range cluster.All[*appsv1.DaemonSet](s, "DaemonSet") {
		if slices.ContainsFunc(enforcers, func(e string) bool { return strings.Contains(o.Name, e) }) {
			enforced = true
		}
		if strings.HasPrefix(o.Name, "kube-flannel") {
			plain = o.String()
		}
	}
	if plain == "" && !enforced {
		return // what network there is cannot be told from here
	}
	for _, o := range s.Kind("NetworkPolicy") {
		v := r.Object(o)
		if enforced {
			continue
		}
		v.Broken("enforcement", "none", "a network that enforces policies").
			Because("%s carries packets and enforces nothing, and no agent that does is here", plain)
	}
}
