package podsec

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// BelowBaseline says why Pod Security admission at the level baseline would refuse the
// pod, naming the first fault, or returns "" where it would let it in. It follows the
// latest version of the policy (k8s.io/pod-security-admission/policy).
func BelowBaseline(p *cluster.PodSpec) string {
	spec := p.Spec
	switch {
	case spec.HostNetwork:
		return "hostNetwork is true"
	case spec.HostPID:
		return "hostPID is true"
	case spec.HostIPC:
		return "hostIPC is true"
	}
	for _, v := range spec.Volumes {
		if v.HostPath != nil {
			return "volume " + v.Name + " is a hostPath"
		}
	}
	if why := podContext(spec.SecurityContext); why != "" {
		return why
	}
	for key, value := range p.Meta.Annotations {
		if strings.HasPrefix(key, corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix) && value != "" &&
			value != corev1.DeprecatedAppArmorBetaProfileRuntimeDefault && !strings.HasPrefix(value, corev1.DeprecatedAppArmorBetaProfileNamePrefix) {
			return "an annotation sets an AppArmor profile"
		}
	}
	for _, c := range p.Containers {
		if why := container(p, c); why != "" {
			return fmt.Sprintf("container %s %s", c.Name, why)
		}
	}
	return ""
}

func podContext(sc *corev1.PodSecurityContext) string {
	if sc == nil {
		return ""
	}
	for _, s := range sc.Sysctls {
		if !SafeSysctl(s.Name) {
			return "sysctl " + s.Name + " is set"
		}
	}
	switch {
	case sc.SeccompProfile != nil && sc.SeccompProfile.Type == corev1.SeccompProfileTypeUnconfined:
		return "its seccomp profile is Unconfined"
	case sc.AppArmorProfile != nil && sc.AppArmorProfile.Type == corev1.AppArmorProfileTypeUnconfined:
		return "its AppArmor profile is Unconfined"
	case !SafeSELinux(sc.SELinuxOptions):
		return "it sets SELinux options"
	case sc.WindowsOptions != nil && isTrue(sc.WindowsOptions.HostProcess):
		return "hostProcess is true"
	}
	return ""
}

func container(p *cluster.PodSpec, c cluster.Container) string {
	if sc := c.SecurityContext; sc != nil && sc.Capabilities != nil {
		for _, name := range sc.Capabilities.Add {
			// Letter by letter: admission does not know that runtimes read "chown" and
			// "CAP_CHOWN" as CHOWN too (policy/check_capabilities_baseline.go).
			if !slices.Contains(Baseline, string(name)) {
				return fmt.Sprintf("adds %s", cmp.Or(string(name), "a capability without a name"))
			}
		}
	}
	for _, port := range c.Ports {
		if port.HostPort != 0 {
			return fmt.Sprintf("takes the node's port %d", port.HostPort)
		}
	}
	if len(HostCalls(c)) > 0 {
		return "has a probe or handler that calls another host"
	}
	sc := c.SecurityContext
	switch {
	case sc == nil:
		return ""
	case Privileged(c):
		return "is privileged"
	case ProcMount(c) != corev1.DefaultProcMount && !OwnUsers(p):
		return "mounts /proc " + string(ProcMount(c))
	case sc.SeccompProfile != nil && sc.SeccompProfile.Type == corev1.SeccompProfileTypeUnconfined:
		return "has the seccomp profile Unconfined"
	case sc.AppArmorProfile != nil && sc.AppArmorProfile.Type == corev1.AppArmorProfileTypeUnconfined:
		return "has the AppArmor profile Unconfined"
	case !SafeSELinux(sc.SELinuxOptions):
		return "sets SELinux options"
	case sc.WindowsOptions != nil && isTrue(sc.WindowsOptions.HostProcess):
		return "is a host process"
	}
	return ""
}

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
