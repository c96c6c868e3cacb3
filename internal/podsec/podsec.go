// Package podsec knows what a pod's security fields mean once they take effect: how
// the container's setting and the pod's combine, what a host path opens, which
// service-account token is mounted. It judges nothing and refuses to know of
// clusters beyond the one pod spec it is given.
package podsec

import (
	"cmp"
	"iter"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

// Judged returns the pod specs whose shape is for the cluster's owner to choose. It
// leaves out the mirrors of static pods, which the API cannot change and whose
// writers own the node already, and kubeadm's own add-ons.
func Judged(s *cluster.Snapshot) iter.Seq[*cluster.PodSpec] {
	return func(yield func(*cluster.PodSpec) bool) {
		for _, p := range s.Pods() {
			if !p.Static() && !addon(p) && !yield(p) {
				return
			}
		}
	}
}

// addon reports whether the pod is kube-proxy or CoreDNS as kubeadm deploys them:
// kube-proxy must be privileged to program the node's network, and `kubeadm upgrade`
// undoes any change to either. One that was given more than kubeadm gives is judged
// like everybody's (cmd/kubeadm/app/phases/addons).
func addon(p *cluster.PodSpec) bool {
	if p.Of != nil {
		p = p.Of
	}
	if p.Namespace() != "kube-system" || len(p.Containers) != 1 {
		return false
	}
	var hostPaths []string
	switch p.Object.Kind + "/" + p.Object.Name {
	case "DaemonSet/kube-proxy":
		hostPaths = []string{"/run/xtables.lock", "/lib/modules"}
		if cmd := p.Containers[0].Command; len(cmd) == 0 || cmd[0] != "/usr/local/bin/kube-proxy" {
			return false
		}
	case "Deployment/coredns":
		if p.Spec.HostNetwork || Privileged(p.Containers[0]) {
			return false
		}
	default:
		return false
	}
	return !p.Spec.HostPID && !p.Spec.HostIPC && !slices.ContainsFunc(p.Spec.Volumes, func(v corev1.Volume) bool {
		return v.HostPath != nil && !slices.Contains(hostPaths, v.HostPath.Path)
	})
}

// Windows reports whether the pod declares that it runs on Windows, where the kernel
// features of Linux (capabilities, seccomp, user numbers) do not exist.
func Windows(p *cluster.PodSpec) bool {
	return p.Spec.OS != nil && p.Spec.OS.Name == corev1.Windows
}

// OwnUsers reports whether the pod has a user namespace of its own: its root is a
// powerless number on the node. Pod Security relaxes the same way (KEP-127).
func OwnUsers(p *cluster.PodSpec) bool {
	return p.Spec.HostUsers != nil && !*p.Spec.HostUsers
}

// Mend proposes to set a field of the container. An ephemeral container cannot be
// changed once it is there, so for one there is nothing to propose.
func Mend(f *control.Finding, c cluster.Container, field string, value any) {
	if c.Kind != cluster.Ephemeral {
		f.Set(c.Path+"."+field, value)
	}
}

// Privileged reports whether the container has every device and capability of its node.
func Privileged(c cluster.Container) bool {
	return c.SecurityContext != nil && isTrue(c.SecurityContext.Privileged)
}

// HostProcess reports whether the container is a Windows host process, which is what
// privileged is on Linux. The container's word goes before the pod's.
func HostProcess(p *cluster.PodSpec, c cluster.Container) bool {
	if c.SecurityContext != nil && c.SecurityContext.WindowsOptions != nil && c.SecurityContext.WindowsOptions.HostProcess != nil {
		return *c.SecurityContext.WindowsOptions.HostProcess
	}
	sc := p.Spec.SecurityContext
	return sc != nil && sc.WindowsOptions != nil && isTrue(sc.WindowsOptions.HostProcess)
}

// An Identity is the user that a container runs as, as the kubelet sees it after the
// container's settings overrode the pod's field by field. A nil field was set nowhere.
type Identity struct {
	NonRoot *bool
	User    *int64
	// NonRootPath and UserPath lead to the field that decided, or would decide, inside the object.
	NonRootPath, UserPath string
}

// IdentityOf combines the pod's and the container's settings
// (pkg/securitycontext.DetermineEffectiveSecurityContext).
func IdentityOf(p *cluster.PodSpec, c cluster.Container) Identity {
	id := Identity{NonRootPath: c.Path + ".securityContext.runAsNonRoot", UserPath: c.Path + ".securityContext.runAsUser"}
	if sc := c.SecurityContext; sc != nil {
		id.NonRoot, id.User = sc.RunAsNonRoot, sc.RunAsUser
	}
	if sc := p.Spec.SecurityContext; sc != nil {
		if id.NonRoot == nil && sc.RunAsNonRoot != nil {
			id.NonRoot, id.NonRootPath = sc.RunAsNonRoot, p.Path+".securityContext.runAsNonRoot"
		}
		if id.User == nil && sc.RunAsUser != nil {
			id.User, id.UserPath = sc.RunAsUser, p.Path+".securityContext.runAsUser"
		}
	}
	return id
}

// MayBeRoot reports whether nothing keeps the container from running as user 0. With
// runAsNonRoot the kubelet refuses to start an image whose user is root, and
// runAsUser 0 with it (pkg/kubelet/kuberuntime, verifyRunAsNonRoot).
func (id Identity) MayBeRoot() bool {
	return !isTrue(id.NonRoot) && (id.User == nil || *id.User == 0)
}

// EscalationAllowed reports whether a process may gain more rights than its parent,
// which is so until the field says false.
func EscalationAllowed(c cluster.Container) bool {
	sc := c.SecurityContext
	return sc == nil || sc.AllowPrivilegeEscalation == nil || *sc.AllowPrivilegeEscalation
}

// Added returns the capabilities that the container asks for, as Capability names them.
func Added(c cluster.Container) []string {
	if c.SecurityContext == nil || c.SecurityContext.Capabilities == nil {
		return nil
	}
	var out []string
	for _, name := range c.SecurityContext.Capabilities.Add {
		out = append(out, Capability(name))
	}
	return out
}

// DropsAll reports whether the container gives up every capability it does not add.
func DropsAll(c cluster.Container) bool {
	return c.SecurityContext != nil && c.SecurityContext.Capabilities != nil &&
		slices.ContainsFunc(c.SecurityContext.Capabilities.Drop, func(n corev1.Capability) bool { return Capability(n) == "ALL" })
}

// Capability is the name of a capability in capitals and without CAP_, which runtimes
// take either way.
func Capability(name corev1.Capability) string {
	return strings.TrimPrefix(strings.ToUpper(string(name)), "CAP_")
}

// Baseline are the capabilities that the Pod Security baseline lets a container add:
// what runtimes give by default, without NET_RAW.
var Baseline = []string{
	"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD",
	"NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
}

// Seccomp returns the profile that applies to the container and the path of the
// field that says so. The type is empty where neither the container nor the pod has
// one; unless the kubelet runs with seccompDefault, that is Unconfined.
func Seccomp(p *cluster.PodSpec, c cluster.Container) (profile corev1.SeccompProfileType, path string) {
	if c.SecurityContext != nil && c.SecurityContext.SeccompProfile != nil {
		return c.SecurityContext.SeccompProfile.Type, c.Path + ".securityContext.seccompProfile.type"
	}
	if p.Spec.SecurityContext != nil && p.Spec.SecurityContext.SeccompProfile != nil {
		return p.Spec.SecurityContext.SeccompProfile.Type, p.Path + ".securityContext.seccompProfile.type"
	}
	return "", c.Path + ".securityContext.seccompProfile.type"
}

// ProcMount returns how the container's /proc is mounted.
func ProcMount(c cluster.Container) corev1.ProcMountType {
	if c.SecurityContext == nil || c.SecurityContext.ProcMount == nil {
		return corev1.DefaultProcMount
	}
	return cmp.Or(*c.SecurityContext.ProcMount, corev1.DefaultProcMount)
}

// Automounts reports whether the API server puts a token of the service account into
// the pod, and the path that decides: the pod's word goes before the account's, and
// silence means yes. The account may be nil.
func Automounts(p *cluster.PodSpec, account *corev1.ServiceAccount) bool {
	switch {
	case p.Spec.AutomountServiceAccountToken != nil:
		return *p.Spec.AutomountServiceAccountToken
	case account != nil && account.AutomountServiceAccountToken != nil:
		return *account.AutomountServiceAccountToken
	}
	return true
}

// HoldsToken reports whether a process in the pod can be its service account towards
// the API server: by an automounted token or by one that the pod projects itself.
func HoldsToken(p *cluster.PodSpec, account *corev1.ServiceAccount) bool {
	return Automounts(p, account) || slices.ContainsFunc(p.Spec.Volumes, func(v corev1.Volume) bool {
		return v.Projected != nil && slices.ContainsFunc(v.Projected.Sources, func(src corev1.VolumeProjection) bool {
			t := src.ServiceAccountToken
			// A token for another audience is refused by the API server, whose own
			// audience is by default its issuer inside the cluster.
			return t != nil && (t.Audience == "" || strings.Contains(t.Audience, "kubernetes.default.svc"))
		})
	})
}

// AccountOf returns the pod's service account, or nil where the snapshot lacks it.
func AccountOf(s *cluster.Snapshot, p *cluster.PodSpec) *corev1.ServiceAccount {
	o := s.Get(cluster.Ref{Kind: "ServiceAccount", Namespace: p.Namespace(), Name: p.ServiceAccount()})
	if o == nil {
		return nil
	}
	account, _ := o.Value.(*corev1.ServiceAccount)
	return account
}

func isTrue(b *bool) bool { return b != nil && *b }
