// Package listener says which listening ports the catalogue answers for.
package listener

import "github.com/bulwark-k8s/bulwark/internal/cluster"

// Judged reports whether the port belongs to a component that guards the cluster.
// kube-proxy and CoreDNS serve plain metrics by design, and runtimes listen on
// sockets; what else listens on a machine is not Kubernetes.
func Judged(l cluster.Listener) bool {
	switch l.Component {
	case "kube-apiserver", "etcd", "kubelet", "kube-controller-manager", "kube-scheduler":
		return true
	}
	return false
}
