package lab

import (
	"fmt"
	"net/netip"
	"path/filepath"
)

// The cluster's networks. They are the same in every cluster: each has
// namespaces of its own, so they never meet.
var (
	// bridgeAddress is where nodes find the apiservers.
	bridgeAddress = netip.MustParsePrefix("10.200.0.1/24")
	serviceIP     = netip.MustParseAddr("10.96.0.1")
	dnsIP         = netip.MustParseAddr("10.96.0.10")
	loopback      = netip.MustParseAddr("127.0.0.1")
)

const (
	serviceCIDR = "10.96.0.0/12"
	podCIDR     = "10.244.0.0/16"
	dnsDomain   = "cluster.local"
	pauseImage  = "lab.bulwark.test/pause:1"

	maxControlPlanes = 3
	maxNodes         = 50
)

// role is what a machine is for.
type role string

const (
	controlPlane role = "control-plane"
	worker       role = "node"
)

// host is one machine of a cluster.
type host struct {
	Name string     `json:"name"`
	Role role       `json:"role"`
	IP   netip.Addr `json:"ip"`
	// Link is the bridge's end of its interface; at most 15 characters.
	Link  string `json:"link"`
	Ports ports  `json:"ports,omitzero"`
	// Dir is the machine's folder on the host: etc, var and run in it are the
	// machine's own.
	Dir string `json:"dir"`
	// Prefix goes before every path in a process's arguments: empty where the
	// machine has its own root, and Dir where it has not.
	Prefix string `json:"prefix,omitempty"`
}

// ports are the listening ports of a control plane's components.
type ports struct {
	Etcd, EtcdPeer, EtcdMetrics, API, ControllerManager, Scheduler int
}

// standardPorts are used wherever a machine has a network of its own.
var standardPorts = ports{Etcd: 2379, EtcdPeer: 2380, EtcdMetrics: 2381, API: 6443, ControllerManager: 10257, Scheduler: 10259}

// path is where a component finds a file of its machine.
func (h host) path(inside string) string { return filepath.Join(h.Prefix, inside) }

// file is where the same file lies on the host.
func (h host) file(inside string) string { return filepath.Join(h.Dir, inside) }

// address is where a component of this machine that listens on port is dialled
// from other machines.
func (h host) address(port int) string { return fmt.Sprintf("%s:%d", h.IP, port) }

// apiServer is the URL of the machine's own apiserver.
func (h host) apiServer() string { return "https://" + h.address(h.Ports.API) }

const (
	// machinesDir has a folder for each machine, below the cluster's.
	machinesDir = "machines"

	kubernetesDir = "/etc/kubernetes"
	pkiDir        = kubernetesDir + "/pki"
	logDir        = "/var/log/kubernetes"
	auditDir      = logDir + "/audit"
	reportFile    = "/run/bulwark/processes.json"

	admissionFile   = kubernetesDir + "/admission.yaml"
	encryptionFile  = kubernetesDir + "/encryption.yaml"
	auditPolicyFile = kubernetesDir + "/audit-policy.yaml"
	tokenFile       = kubernetesDir + "/tokens.csv"

	containerdSocket = "/run/containerd/containerd.sock"
)

// topology is where everything of a cluster is.
type topology struct {
	Namespaced bool   `json:"namespaced"`
	Hosts      []host `json:"hosts"`
	// Server is the apiservers' URL for machines without one of their own.
	Server string `json:"server"`
}

func (t topology) of(r role) []host {
	var hosts []host
	for _, h := range t.Hosts {
		if h.Role == r {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

// namespacedTopology lays out machines with networks of their own.
func namespacedTopology(dir string, controlPlanes, nodes int) topology {
	t := topology{Namespaced: true, Server: fmt.Sprintf("https://%s:%d", bridgeAddress.Addr(), standardPorts.API)}
	add := func(r role, name, link string, last byte) {
		ip := bridgeAddress.Addr().As4()
		ip[3] = last
		h := host{Name: name, Role: r, IP: netip.AddrFrom4(ip), Link: link, Dir: filepath.Join(dir, machinesDir, name)}
		if r == controlPlane {
			h.Ports = standardPorts
		}
		t.Hosts = append(t.Hosts, h)
	}
	for i := range controlPlanes {
		add(controlPlane, fmt.Sprintf("control-plane-%d", i+1), fmt.Sprintf("cp-%d", i+1), byte(11+i))
	}
	for i := range nodes {
		add(worker, fmt.Sprintf("node-%d", i+1), fmt.Sprintf("node-%d", i+1), byte(101+i))
	}
	return t
}

// plainTopology lays out control planes that share the host's loopback
// address. free gives ports that nobody listens on.
func plainTopology(dir string, controlPlanes, apiPort int, free func() (int, error)) (topology, error) {
	t := topology{Server: fmt.Sprintf("https://%s:%d", loopback, apiPort)}
	for i := range controlPlanes {
		name := fmt.Sprintf("control-plane-%d", i+1)
		h := host{Name: name, Role: controlPlane, IP: loopback, Dir: filepath.Join(dir, machinesDir, name)}
		h.Prefix = h.Dir
		for _, port := range []*int{&h.Ports.Etcd, &h.Ports.EtcdPeer, &h.Ports.EtcdMetrics, &h.Ports.API, &h.Ports.ControllerManager, &h.Ports.Scheduler} {
			var err error
			if *port, err = free(); err != nil {
				return topology{}, fmt.Errorf("choosing ports: %w", err)
			}
		}
		t.Hosts = append(t.Hosts, h)
	}
	return t, nil
}
