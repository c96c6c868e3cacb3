// Package cloud tells whose machines a cluster's nodes are. It asks no cloud.
package cloud

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// Provider is the scheme of a node's provider ID: "aws", "gce", "azure"; empty elsewhere.
func Provider(node *corev1.Node) string {
	scheme, _, ok := strings.Cut(node.Spec.ProviderID, "://")
	if !ok {
		return ""
	}
	return scheme
}

// Of reports whether one of the nodes is a machine of the provider.
func Of(s *cluster.Snapshot, provider string) bool {
	for _, node := range cluster.All[*corev1.Node](s, "Node") {
		if Provider(node) == provider {
			return true
		}
	}
	return false
}
