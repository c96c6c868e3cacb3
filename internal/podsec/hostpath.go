package podsec

import (
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// A HostMount is a piece of the node's file system inside a container.
type HostMount struct {
	Volume *corev1.Volume
	// Container is nil for a volume that no container mounts.
	Container *cluster.Container
	// Path on the node that the container sees: the volume's with the mount's subPath.
	Path     string
	Writable bool
}

// HostMounts returns what the pod mounts of its node, in the order of its volumes. A
// volume that nothing mounts is there once, without a container.
func HostMounts(p *cluster.PodSpec) []HostMount {
	var out []HostMount
	for i := range p.Spec.Volumes {
		v := &p.Spec.Volumes[i]
		if v.HostPath == nil {
			continue
		}
		mounted := false
		for j := range p.Containers {
			for _, m := range p.Containers[j].VolumeMounts {
				if m.Name != v.Name {
					continue
				}
				mounted = true
				out = append(out, HostMount{
					Volume: v, Container: &p.Containers[j],
					Path: nodePath(v.HostPath.Path, m.SubPath), Writable: !m.ReadOnly,
				})
			}
		}
		if !mounted {
			out = append(out, HostMount{Volume: v, Path: nodePath(v.HostPath.Path, "")})
		}
	}
	return out
}

// nodePath is where a mount leads. /var/run has been a link to /run for so long that
// both are the same place.
func nodePath(volume, sub string) string {
	p := path.Join("/", volume, sub)
	if p == "/var/run" || strings.HasPrefix(p, "/var/run/") {
		p = strings.TrimPrefix(p, "/var")
	}
	return p
}

// sensitive are places on a node that give more than their files. Where deep is
// true, reading anything below gives it too; elsewhere a read-only file below (a time
// zone, a certificate bundle) gives nothing.
var sensitive = []struct {
	path, gain string
	deep       bool
}{
	{"/etc/kubernetes", "it holds the node's Kubernetes credentials and its static pods", true},
	{"/var/lib/kubelet", "it holds the kubelet's credential and every pod's secrets", true},
	{"/var/lib/etcd", "it holds every secret of the cluster", true},
	{"/var/lib/containerd", "it holds every container's files", true},
	{"/var/lib/docker", "it holds every container's files", true},
	{"/root", "it is root's home, with its keys", true},
	{"/proc", "it shows every process of the node and its environment", true},
	{"/dev", "it holds the node's disks and memory", true},
	{"/etc", "it holds the node's accounts and its jobs", false},
	{"/sys", "it is the kernel's switchboard", false},
	{"/boot", "it holds the kernel that the node starts next", false},
	{"/run", "it holds the sockets of the node's services", false},
	{"/home", "it holds the homes of the node's users", false},
	{"/usr", "it holds the programs that the node runs", false},
	{"/bin", "it holds the programs that the node runs", false},
	{"/sbin", "it holds the programs that the node runs", false},
	{"/lib", "it holds the libraries and modules that the node runs", false},
	{"/lib64", "it holds the libraries that the node runs", false},
	{"/opt", "it holds the network plugins that the node runs as root", false},
	{"/var/log", "through a link there the kubelet reads any file of the node", false},
	{"/var/spool", "it holds the node's jobs", false},
}

// Gain says what a mount of the node's file system opens, or "" for an ordinary place.
func Gain(m HostMount) string {
	if m.Path == "/" {
		return "it is the node's whole file system"
	}
	for _, s := range sensitive {
		if below(s.path, m.Path) || below(m.Path, s.path) && (s.deep || m.Writable) {
			return s.gain
		}
	}
	return ""
}

// sockets are where container runtimes take orders, as root and without a password.
var sockets = []string{
	"/run/containerd/containerd.sock",
	"/run/docker.sock",
	"/run/crio/crio.sock",
	"/run/cri-dockerd.sock",
	"/run/k3s/containerd/containerd.sock",
	"/run/podman/podman.sock",
	"/run/dockershim.sock",
}

// RuntimeSocket returns the first runtime socket that the container reaches through
// the mount: the socket itself or a folder above it. Distributions move the sockets
// (/run/k0s, /var/snap/microk8s) and keep their names, so a file of such a name is one
// wherever it lies. A read-only mount does not help, since connecting to a socket is no
// write.
func RuntimeSocket(m HostMount) string {
	if m.Container == nil {
		return ""
	}
	for _, s := range sockets {
		switch {
		case below(s, m.Path):
			return s
		case path.Base(m.Path) == path.Base(s):
			return m.Path
		}
	}
	return ""
}

// below reports whether the path is the folder or lies in it.
func below(path, folder string) bool {
	return path == folder || folder == "/" || strings.HasPrefix(path, folder+"/")
}
