// Package publicnode finds nodes that the internet can address.
package publicnode

import (
	_ "embed"
	"net/netip"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/controls/internal/cloud"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is cloud.publicnode.
var Control = &control.Control{
	ID:       "cloud.publicnode",
	Title:    "Node has a public address",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.Nodes},
	Check:    check,
	Refs:     []control.Ref{control.NSA("Network separation"), control.MITRE("T1133")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for o, node := range cluster.All[*corev1.Node](s, "Node") {
		if cloud.Provider(node) == "" {
			continue // whose network it is cannot be told
		}
		v := r.Object(o)
		for _, a := range node.Status.Addresses {
			ip, err := netip.ParseAddr(a.Address)
			if a.Type == corev1.NodeExternalIP && err == nil && ip.Is4() && !ip.IsPrivate() && !ip.IsLoopback() && !ip.IsLinkLocalUnicast() {
				v.Broken("status.addresses", "ExternalIP "+a.Address, "private addresses alone").Because("only the cloud's firewall is between the internet and the kubelet, and every NodePort is public")
			}
		}
	}
}
