// Package metadata finds policies that let pods reach the cloud's metadata service.
package metadata

import (
	_ "embed"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/network"
)

//go:embed doc.md
var doc string

// Control is network.metadata.
var Control = &control.Control{
	ID:       "network.metadata",
	Title:    "Pods may ask the cloud for their node's credential",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.NetworkPolicies},
	With:     []cluster.Need{cluster.Nodes},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1552.005")},
	Doc:      doc,
}

const metadata = "169.254.169.254"

func check(s *cluster.Snapshot, r *control.Report) {
	address := netip.MustParseAddr(metadata)
	if s.Live && s.Looked(cluster.Nodes) && !inCloud(s) {
		return // there is nobody to ask
	}
	for o, np := range cluster.All[*networkingv1.NetworkPolicy](s, "NetworkPolicy") {
		v := r.Object(o)
		if _, egress := network.Isolates(np); !egress {
			continue
		}
		for i, rule := range np.Spec.Egress {
			if !web(rule.Ports) {
				continue
			}
			for j, peer := range rule.To {
				if peer.IPBlock == nil || !covers(peer.IPBlock, address) || network.AllAddresses(peer) && len(rule.Ports) == 0 {
					continue // everything on every port is network.allowall's to report
				}
				path := fmt.Sprintf("spec.egress[%d].to[%d].ipBlock", i, j)
				except := []any{metadata + "/32"}
				for _, cidr := range peer.IPBlock.Except {
					except = append(except, cidr)
				}
				v.Broken(path, peer.IPBlock.CIDR, "the same except "+metadata+"/32").Set(path+".except", except)
			}
		}
	}
}

// inCloud reports whether one of the nodes is a cloud's machine. Clusters that run in
// containers give their nodes an ID too.
func inCloud(s *cluster.Snapshot) bool {
	for _, node := range cluster.All[*corev1.Node](s, "Node") {
		provider, _, ok := strings.Cut(node.Spec.ProviderID, "://")
		if ok && !slices.Contains([]string{"kind", "k3s", "k3d", "docker"}, provider) {
			return true
		}
	}
	return false
}

func covers(b *networkingv1.IPBlock, address netip.Addr) bool {
	within := func(cidr string) bool {
		p, err := netip.ParsePrefix(cidr)
		return err == nil && p.Contains(address)
	}
	return within(b.CIDR) && !slices.ContainsFunc(b.Except, within)
}

// web reports whether the ports let through 80/TCP, where the service answers. A port
// with a name is one of a pod, and the service is none.
func web(ports []networkingv1.NetworkPolicyPort) bool {
	return len(ports) == 0 || slices.ContainsFunc(ports, func(p networkingv1.NetworkPolicyPort) bool {
		if p.Protocol != nil && *p.Protocol != corev1.ProtocolTCP {
			return false
		}
		switch {
		case p.Port == nil:
			return true
		case p.Port.Type == intstr.String:
			return false
		case p.EndPort != nil:
			return p.Port.IntVal <= 80 && 80 <= *p.EndPort
		}
		return p.Port.IntVal == 80
	})
}
