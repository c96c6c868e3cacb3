// Package netpol reads what policies of the network mean, Kubernetes' own and those of
// Cilium and Calico, and which pods they isolate.
package netpol

import (
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
)

// Isolates reports which directions a policy isolates. Without policyTypes it is ingress,
// and egress if there are egress rules (k8s.io/api/networking/v1/types.go, PolicyTypes).
func Isolates(np *networkingv1.NetworkPolicy) (ingress, egress bool) {
	if len(np.Spec.PolicyTypes) == 0 {
		return true, len(np.Spec.Egress) > 0
	}
	return slices.Contains(np.Spec.PolicyTypes, networkingv1.PolicyTypeIngress),
		slices.Contains(np.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
}

// All reports whether a peer is every address there is.
func All(peer networkingv1.NetworkPolicyPeer) bool {
	b := peer.IPBlock
	return b != nil && len(b.Except) == 0 && (b.CIDR == "0.0.0.0/0" || b.CIDR == "::/0")
}
