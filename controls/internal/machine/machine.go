// Package machine says which of the things seen on a host are the catalogue's to
// judge, and who besides their user can get at them.
package machine

import (
	"fmt"
	"slices"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// Open reports whether group or others may do anything with a file. Bits behind a
// folder that lets neither through do not count.
func Open(f cluster.File) bool { return f.Mode&0o077 != 0 && !f.Shielded }

// Stranger names a file's owner where that is neither root nor the user as whom the
// component that uses the file runs, or returns "".
func Stranger(m *cluster.Machine, f cluster.File) string {
	if f.UID == 0 || slices.ContainsFunc(m.Processes, func(p cluster.Process) bool {
		return p.Component == f.UsedBy && p.UID == f.UID
	}) {
		return ""
	}
	return fmt.Sprintf("uid %d", f.UID)
}

// Guards reports whether a port belongs to a component that guards the cluster.
// kube-proxy and CoreDNS serve plain metrics by design, and runtimes listen on
// sockets; what else listens on a machine is not Kubernetes.
func Guards(l cluster.Listener) bool {
	switch l.Component {
	case "kube-apiserver", "etcd", "kubelet", "kube-controller-manager", "kube-scheduler":
		return true
	}
	return false
}
