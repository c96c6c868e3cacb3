package trust

import (
	"path"
	"slices"
	"strings"
)

// A Root is one of a cluster's circles of trust.
type Root string

// The circles. A k3s cluster splits the first into one for servers and one for clients.
const (
	RootCluster    Root = "cluster"
	RootServers    Root = "servers"
	RootClients    Root = "clients"
	RootEtcd       Root = "etcd"
	RootEtcdPeers  Root = "etcd peers"
	RootFrontProxy Root = "front proxy"
)

// A Purpose is what a file is for, by its place in a known layout.
type Purpose struct {
	// Name in plain words: "kube-apiserver, serving".
	Name      string
	Component string
	// Authority is whether it signs others. Key files that sign tokens are neither.
	Authority bool
	// Root is the circle it belongs to.
	Root Root
	// Signs is whether a process of the machine signs with the authority's key by itself:
	// the controller manager's signer, or the supervisor of k3s and RKE2, which issues
	// everything anew when it starts.
	Signs          bool
	Server, Client bool
	// Token is a service-account key: no certificate at all.
	Token bool
	// BreakGlass is the one identity that may be above RBAC.
	BreakGlass bool
}

func authority(name string, root Root) *Purpose {
	return &Purpose{Name: name, Authority: true, Root: root}
}

// signing is the same authority where a process signs with it.
func signing(p *Purpose) *Purpose {
	other := *p
	other.Signs = true
	return &other
}

func client(name, component string, root Root) *Purpose {
	return &Purpose{Name: name, Component: component, Root: root, Client: true}
}

func server(name, component string) *Purpose {
	return &Purpose{Name: name, Component: component, Root: RootCluster, Server: true}
}

func both(name, component string, root Root) *Purpose {
	return &Purpose{Name: name, Component: component, Root: root, Server: true, Client: true}
}

// The purposes that judgements refer to.
var (
	clusterCA    = signing(authority("cluster CA", RootCluster))
	serverCA     = signing(authority("server CA", RootServers))
	clientCA     = signing(authority("client CA", RootClients))
	etcdCA       = authority("etcd CA", RootEtcd)
	etcdPeerCA   = signing(authority("etcd peer CA", RootEtcdPeers))
	frontProxyCA = authority("front-proxy CA", RootFrontProxy)

	apiServing    = server("kube-apiserver, serving", "kube-apiserver")
	apiToKubelet  = client("kube-apiserver to kubelets", "kube-apiserver", RootCluster)
	apiToEtcd     = client("kube-apiserver to etcd", "kube-apiserver", RootEtcd)
	frontProxy    = client("kube-apiserver to aggregated APIs", "kube-apiserver", RootFrontProxy)
	etcdServing   = both("etcd, serving clients", "etcd", RootEtcd)
	etcdPeer      = both("etcd, between members", "etcd", RootEtcd)
	etcdHealth    = client("etcd health check", "people", RootEtcd)
	kubeletServe  = server("kubelet, serving", "kubelet")
	kubeletClient = client("kubelet to kube-apiserver", "kubelet", RootCluster)
	cmServing     = server("kube-controller-manager, serving", "kube-controller-manager")
	cmClient      = client("kube-controller-manager to kube-apiserver", "kube-controller-manager", RootCluster)
	schedServing  = server("kube-scheduler, serving", "kube-scheduler")
	schedClient   = client("kube-scheduler to kube-apiserver", "kube-scheduler", RootCluster)
	proxyClient   = client("kube-proxy to kube-apiserver", "kube-proxy", RootCluster)
	adminClient   = client("administrator", "people", RootCluster)
	breakGlass    = &Purpose{Name: "break-glass administrator", Component: "people", Root: RootCluster, Client: true, BreakGlass: true}
	bootstrap     = client("kubelet that joins", "kubelet", RootCluster)
	tokenKey      = &Purpose{Name: "service-account tokens", Token: true}
)

// layouts tell purposes by the end of a path without its extension. The longest match
// wins. The names are kubeadm's, bulwark's own, and those of k3s and RKE2 (k3s-io/k3s,
// pkg/daemons/control/deps/deps.go, CreateRuntimeCertFiles, where version.Program is k3s
// or rke2; pkg/agent/config/config.go for the agent's folder).
var layouts = map[string]*Purpose{
	"ca":                           clusterCA,
	"etcd/ca":                      etcdCA,
	"front-proxy-ca":               frontProxyCA,
	"apiserver":                    apiServing,
	"apiserver-kubelet-client":     apiToKubelet,
	"apiserver-etcd-client":        apiToEtcd,
	"front-proxy-client":           frontProxy,
	"etcd/server":                  etcdServing,
	"etcd/peer":                    etcdPeer,
	"etcd/healthcheck-client":      etcdHealth,
	"sa":                           tokenKey,
	"kubelet":                      kubeletServe,
	"kubelet/pki/kubelet":          kubeletServe,
	"kubelet-server-current":       kubeletServe,
	"kubelet-client-current":       kubeletClient,
	"kube-controller-manager":      cmServing,
	"kube-scheduler":               schedServing,
	"admin.conf":                   adminClient,
	"super-admin.conf":             breakGlass,
	"controller-manager.conf":      cmClient,
	"scheduler.conf":               schedClient,
	"kubelet.conf":                 kubeletClient,
	"bootstrap-kubelet.conf":       bootstrap,
	"kube-proxy.conf":              proxyClient,
	"server-ca":                    serverCA,
	"server-ca.nochain":            serverCA,
	"client-ca":                    clientCA,
	"client-ca.nochain":            clientCA,
	"token-ca":                     serverCA,
	"request-header-ca":            signing(frontProxyCA),
	"etcd/server-ca":               signing(etcdCA),
	"etcd/peer-ca":                 etcdPeerCA,
	"client-admin":                 k3s(adminClient, RootClients),
	"client-supervisor":            client("supervisor to kube-apiserver", "people", RootClients),
	"client-controller":            k3s(cmClient, RootClients),
	"client-scheduler":             k3s(schedClient, RootClients),
	"client-kube-apiserver":        k3s(apiToKubelet, RootClients),
	"client-kube-proxy":            k3s(proxyClient, RootClients),
	"client-kubelet":               k3s(kubeletClient, RootClients),
	"client-k3s-controller":        client("k3s controller to kube-apiserver", "k3s-controller", RootClients),
	"client-k3s-cloud-controller":  client("k3s cloud controller to kube-apiserver", "k3s-cloud-controller", RootClients),
	"client-rke2-controller":       client("RKE2 controller to kube-apiserver", "rke2-controller", RootClients),
	"client-rke2-cloud-controller": client("RKE2 cloud controller to kube-apiserver", "rke2-cloud-controller", RootClients),
	"client-auth-proxy":            frontProxy,
	"serving-kube-apiserver":       k3s(apiServing, RootServers),
	"serving-kubelet":              k3s(kubeletServe, RootServers),
	"etcd/client":                  apiToEtcd,
	"etcd/server-client":           etcdServing,
	"etcd/peer-server-client":      k3s(etcdPeer, RootEtcdPeers),
	"service":                      tokenKey,
	"service.current":              tokenKey,
	"dynamic-cert.json":            {Name: "supervisor, serving", Component: "supervisor", Root: RootServers, Server: true},
	"k3s.yaml":                     k3s(adminClient, RootClients),
	"rke2.yaml":                    k3s(adminClient, RootClients),
	"kube-controller-manager/kube-controller-manager": k3s(cmServing, RootServers),
	"kube-scheduler/kube-scheduler":                   k3s(schedServing, RootServers),
	"admin.kubeconfig":                                k3s(adminClient, RootClients),
	"controller.kubeconfig":                           k3s(cmClient, RootClients),
	"scheduler.kubeconfig":                            k3s(schedClient, RootClients),
	"kubelet.kubeconfig":                              k3s(kubeletClient, RootClients),
	"kubeproxy.kubeconfig":                            k3s(proxyClient, RootClients),
	"api-server.kubeconfig":                           k3s(client("kube-apiserver to itself", "kube-apiserver", RootClients), RootClients),
	"k3scontroller.kubeconfig":                        client("k3s controller to kube-apiserver", "k3s-controller", RootClients),
	"rke2controller.kubeconfig":                       client("RKE2 controller to kube-apiserver", "rke2-controller", RootClients),
	"cloud-controller.kubeconfig":                     client("cloud controller to kube-apiserver", "cloud-controller", RootClients),
	"supervisor.kubeconfig":                           client("supervisor to kube-apiserver", "people", RootClients),
	"temporary-certs/apiserver-loopback-client__":     client("kube-apiserver to itself", "kube-apiserver", RootClients),
}

// k3s is the same purpose in another circle.
func k3s(p *Purpose, root Root) *Purpose {
	other := *p
	other.Root = root
	return &other
}

// PurposeOf tells what a file is for from its path, or nil. Where the folder tells a
// name apart (etcd/server, kubelet/pki/kubelet), the longer name wins.
func PurposeOf(file string) *Purpose {
	file = strings.ReplaceAll(file, `\`, "/")
	if ext := path.Ext(file); slices.Contains([]string{".crt", ".key", ".pub", ".pem", ".age", ".csr"}, ext) {
		file = strings.TrimSuffix(file, ext)
		if inner := path.Ext(file); inner == ".crt" || inner == ".key" {
			file = strings.TrimSuffix(file, inner)
		}
	}
	parts := strings.Split(file, "/")
	for n := min(3, len(parts)); n > 0; n-- {
		if p := layouts[strings.Join(parts[len(parts)-n:], "/")]; p != nil {
			return p
		}
	}
	return nil
}

// same reports whether two purposes are one, circles aside.
func (p *Purpose) same(o *Purpose) bool {
	return p != nil && o != nil && p.Name == o.Name
}

// portComponents are who listens on Kubernetes' ports by default.
var portComponents = map[string]string{
	"2379": "etcd", "2380": "etcd", "2381": "etcd",
	"6443": "kube-apiserver", "443": "kube-apiserver", "8443": "kube-apiserver", "9345": "rke2-supervisor",
	"10250": "kubelet", "10255": "kubelet", "10248": "kubelet",
	"10249": "kube-proxy", "10256": "kube-proxy",
	"10257": "kube-controller-manager", "10259": "kube-scheduler",
}

// ComponentOfPort guesses who listens on a port.
func ComponentOfPort(port string) string { return portComponents[port] }
