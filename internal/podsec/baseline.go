package podsec

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// A HostCall is a probe or handler by which the kubelet connects from the node to a host
// that the container names, which makes it a scanner on the pod's behalf.
type HostCall struct {
	// Path leads to the field host inside the object.
	Path, Host string
}

// HostCalls returns the container's, probes first.
func HostCalls(c cluster.Container) []HostCall {
	var out []HostCall
	add := func(where string, get *corev1.HTTPGetAction, tcp *corev1.TCPSocketAction) {
		if get != nil && get.Host != "" {
			out = append(out, HostCall{c.Path + "." + where + ".httpGet.host", get.Host})
		}
		if tcp != nil && tcp.Host != "" {
			out = append(out, HostCall{c.Path + "." + where + ".tcpSocket.host", tcp.Host})
		}
	}
	for _, probe := range []struct {
		where string
		*corev1.Probe
	}{{"livenessProbe", c.LivenessProbe}, {"readinessProbe", c.ReadinessProbe}, {"startupProbe", c.StartupProbe}} {
		if probe.Probe != nil {
			add(probe.where, probe.HTTPGet, probe.TCPSocket)
		}
	}
	if c.Lifecycle == nil {
		return out
	}
	if h := c.Lifecycle.PostStart; h != nil {
		add("lifecycle.postStart", h.HTTPGet, h.TCPSocket)
	}
	if h := c.Lifecycle.PreStop; h != nil {
		add("lifecycle.preStop", h.HTTPGet, h.TCPSocket)
	}
	return out
}

// SafeSELinux reports whether the options are among those that the Pod Security baseline allows.
func SafeSELinux(o *corev1.SELinuxOptions) bool {
	return o == nil || o.User == "" && o.Role == "" &&
		slices.Contains([]string{"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}, o.Type)
}

// SafeSysctl reports whether a kernel parameter is among those that the Pod Security
// baseline lets a pod set.
func SafeSysctl(name string) bool { return slices.Contains(safeSysctls, name) }

// safeSysctls touch the pod's own namespaces only.
var safeSysctls = []string{
	"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports",
	"net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range", "net.ipv4.tcp_syncookies",
	"net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes",
	"net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
}
