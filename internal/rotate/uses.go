package rotate

import (
	"path"
	"slices"
	"strings"
)

// When a component reads a file again. The words below each use name where
// Kubernetes 1.36 or etcd 3.6 says so.
type pickup int

const (
	reloads   pickup = iota // by itself: at each handshake, or within a minute
	slow                    // by itself, within five minutes: client-go looks that often
	onRestart               // never
)

const (
	kubernetes = "/etc/kubernetes/"
	certs      = kubernetes + "pki/"
	kubeletPKI = "/var/lib/kubelet/pki/"
)

// use is one file that one component reads.
type use struct {
	component, file string // file may end in *
	when            pickup
}

var uses = []use{
	// client/pkg/transport/listener.go: GetCertificate reads the pair at each
	// handshake, trusted-ca-file becomes a pool at the start.
	{"etcd", certs + "etcd/ca.crt", onRestart},
	{"etcd", certs + "etcd/server.*", reloads},
	{"etcd", certs + "etcd/peer.*", reloads},

	// storage/storagebackend/factory/etcd3.go builds the same TLSInfo: the pair
	// is read at each handshake, the authority once.
	{"kube-apiserver", certs + "etcd/ca.crt", onRestart},
	{"kube-apiserver", certs + "apiserver-etcd-client.*", reloads},
	// pkg/server/dynamiccertificates watches the file and looks each minute:
	// serving pair, client-ca-file, requestheader-client-ca-file, and in
	// kube-aggregator the proxy's client pair.
	{"kube-apiserver", certs + "apiserver.*", reloads},
	{"kube-apiserver", certs + "front-proxy-ca.crt", reloads},
	{"kube-apiserver", certs + "front-proxy-client.*", reloads},
	// client-ca-file is reloaded at once, but the same file is
	// kubelet-certificate-authority, which is client-go's CAFile: since 1.36
	// (ClientsAllowCARotation) read again every five minutes, before never.
	{"kube-apiserver", certs + "ca.crt", slow},
	// pkg/kubelet/client sets ReloadTLSFiles: every five minutes.
	{"kube-apiserver", certs + "apiserver-kubelet-client.*", slow},
	// controlplane/apiserver: StaticPublicKeysGetter, and a signer made once.
	{"kube-apiserver", certs + "sa.*", onRestart},

	// root-ca-file is read when the publisher starts, and client-ca-file is
	// dynamic; the same file, so a restart.
	{"kube-controller-manager", certs + "ca.crt", onRestart},
	{"kube-controller-manager", certs + "sa.key", onRestart},
	{"kube-controller-manager", certs + "front-proxy-ca.crt", reloads},
	{"kube-controller-manager", certs + "kube-controller-manager.*", reloads},
	// certificates/signer/ca_provider.go reloads the pair.
	{"kube-controller-manager", certs + "ca-signing.crt", reloads},
	{"kube-controller-manager", certs + "ca.key", reloads},
	// What is embedded in a kubeconfig is never looked at again.
	{"kube-controller-manager", kubernetes + "controller-manager.conf", onRestart},

	{"kube-scheduler", kubernetes + "scheduler.conf", onRestart},
	{"kube-scheduler", certs + "kube-scheduler.*", reloads},

	// ReloadKubeletClientCAFile and ReloadKubeletServerCertificateFile are on
	// since 1.31; the pair that the kubelet keeps for itself is read at start.
	{"kubelet", certs + "ca.crt", reloads},
	{"kubelet", kubeletPKI + "kubelet.*", reloads},
	{"kubelet", kubeletPKI + "kubelet-client-*", onRestart},
	{"kubelet", kubeletPKI + "kubelet-server-*", onRestart},
	{"kubelet", kubernetes + "kubelet.conf", onRestart},
	{"kube-proxy", kubernetes + "kube-proxy.conf", onRestart},
	{"lab-net", kubernetes + "lab-net.conf", onRestart},
}

// stopOrder is how components of one machine are stopped: those that depend on
// others first.
var stopOrder = []string{"kube-apiserver", "etcd", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "lab-net"}

func matches(pattern, file string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(file, prefix) && path.Dir(pattern) == path.Dir(file)
	}
	return pattern == file
}

// restartsFor lists the machine's components that must be restarted for what
// has changed, in the order in which they are stopped.
func restartsFor(phase PhaseName, m Machine, changed []string) []string {
	need := map[string]bool{}
	for _, u := range uses {
		if u.when == reloads || !slices.Contains(m.Components, u.component) {
			continue
		}
		// In distribute nothing depends on it yet: the apiservers are
		// restarted in switch before any kubelet shows a new certificate.
		if u.when == slow && phase == Distribute {
			continue
		}
		// In switch the order within a bundle changes, and not who is in it.
		if path.Base(u.file) == "ca.crt" && phase == Switch {
			continue
		}
		if slices.ContainsFunc(changed, func(f string) bool { return matches(u.file, f) }) {
			need[u.component] = true
		}
	}
	// An apiserver speaks to its own etcd member only, and stops before it.
	if need["etcd"] && slices.Contains(m.Components, "kube-apiserver") {
		need["kube-apiserver"] = true
	}
	var order []string
	for _, c := range stopOrder {
		if need[c] {
			order = append(order, c)
		}
	}
	return order
}

// serverOf is which port shows the certificate of a file.
func serverOf(file string) string {
	switch {
	case file == certs+"apiserver.crt":
		return "kube-apiserver"
	case file == certs+"etcd/server.crt":
		return "etcd"
	case file == certs+"etcd/peer.crt":
		return "etcd-peer"
	case file == certs+"kube-controller-manager.crt":
		return "kube-controller-manager"
	case file == certs+"kube-scheduler.crt":
		return "kube-scheduler"
	case matches(kubeletPKI+"kubelet-server-*", file), file == kubeletPKI+"kubelet.crt":
		return "kubelet"
	}
	return ""
}
