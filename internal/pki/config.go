package pki

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Config is a cluster as cluster.yaml describes it. ParseConfig is the only
// way to one that has been checked.
type Config struct {
	Name          string
	Endpoint      Endpoint
	BindPort      int      // where each apiserver listens on its own machine
	ExtraSANs     []string // names and addresses besides those that follow from the rest
	ServiceCIDRs  []netip.Prefix
	ClusterDomain string
	ControlPlanes []Host
	Etcd          []Host // empty: stacked, a member on every control plane
	Workers       []Host
	Docker        []string // machines whose Docker daemon is reached over the network
	Algorithm     Algorithm
	CALifetime    time.Duration
	LeafLifetime  time.Duration
	CAKeys        CAKeys
}

// Endpoint is where machines and people reach the API.
type Endpoint struct {
	Host string // a DNS name or an address
	Port int
}

func (e Endpoint) String() string { return net.JoinHostPort(e.Host, strconv.Itoa(e.Port)) }

// Host is a machine of a Config. The first address is the one it is known by.
type Host struct {
	Name      string
	Addresses []netip.Addr
}

// Store says where the keys of authorities are kept.
type Store string

// The stores. External is a store elsewhere: this program makes requests and
// never sees the keys.
const (
	StoreFile     Store = "file"
	StoreAge      Store = "age"
	StoreExternal Store = "external"
)

// CAKeys says where the keys of authorities live.
type CAKeys struct {
	Store      Store
	Recipients []string // age1…; for StoreAge
	Passphrase bool     // for StoreAge, instead of recipients
	// OnControlPlanes puts the cluster authority's key, and no other, beside
	// every controller manager, which needs it to sign the certificates that
	// kubelets request. The default is true for StoreFile and false otherwise.
	OnControlPlanes bool
}

// What a Config has where cluster.yaml says nothing.
const (
	DefaultPort          = 6443
	DefaultClusterDomain = "cluster.local"
	DefaultServiceCIDR   = "10.96.0.0/12"
)

// Bounds of lifetimes. Below an hour a cluster would renew all the time; above
// a hundred years a number has a zero too many.
const (
	minLifetime = time.Hour
	maxLifetime = 100 * 365 * 24 * time.Hour
)

// SingleNode is the cluster of one machine: what init makes without a file.
func SingleNode(name string, addresses []netip.Addr) Config {
	c := Config{Name: "kubernetes", ControlPlanes: []Host{{Name: name, Addresses: addresses}}}
	c.setDefaults()
	return c
}

func (c *Config) setDefaults() {
	if c.Name == "" {
		c.Name = "kubernetes"
	}
	if c.BindPort == 0 {
		c.BindPort = DefaultPort
	}
	if c.ClusterDomain == "" {
		c.ClusterDomain = DefaultClusterDomain
	}
	if len(c.ServiceCIDRs) == 0 {
		c.ServiceCIDRs = []netip.Prefix{netip.MustParsePrefix(DefaultServiceCIDR)}
	}
	if c.Endpoint.Host == "" && len(c.ControlPlanes) > 0 && len(c.ControlPlanes[0].Addresses) > 0 {
		c.Endpoint = Endpoint{Host: c.ControlPlanes[0].Addresses[0].String(), Port: c.BindPort}
	}
	if c.Algorithm == "" {
		c.Algorithm = ECDSAP256
	}
	if c.CALifetime == 0 {
		c.CALifetime = DefaultAuthorityLifetime
	}
	if c.LeafLifetime == 0 {
		c.LeafLifetime = DefaultLifetime
	}
	if c.CAKeys.Store == "" {
		c.CAKeys = CAKeys{Store: StoreFile, OnControlPlanes: true}
	}
}

// machines are all hosts, each once, in the order of the file.
func (c Config) machines() []Host {
	var all []Host
	for _, list := range [][]Host{c.ControlPlanes, c.Etcd, c.Workers} {
		all = append(all, list...)
	}
	return all
}

// YAML writes the config so that ParseConfig reads the same one.
func (c Config) YAML() []byte {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("name: %s", strconv.Quote(c.Name))
	line("endpoint: %s", strconv.Quote(c.Endpoint.String()))
	line("bindPort: %d", c.BindPort)
	line("extraSANs: %s", flow(c.ExtraSANs))
	line("serviceCIDRs: %s", flow(c.ServiceCIDRs))
	line("clusterDomain: %s", strconv.Quote(c.ClusterDomain))
	hosts := func(key string, list []Host) {
		line("%s:", key)
		for _, h := range list {
			line("  - {name: %s, addresses: %s}", strconv.Quote(h.Name), flow(h.Addresses))
		}
	}
	hosts("controlPlanes", c.ControlPlanes)
	if len(c.Etcd) == 0 {
		line("etcd: stacked")
	} else {
		hosts("etcd", c.Etcd)
	}
	hosts("workers", c.Workers)
	line("docker: %s", flow(c.Docker))
	line("algorithm: %s", strings.ToLower(string(c.Algorithm)))
	line("lifetimes: {ca: %s, leaf: %s}", formatLifetime(c.CALifetime), formatLifetime(c.LeafLifetime))
	line("caKeys:")
	line("  store: %s", c.CAKeys.Store)
	if len(c.CAKeys.Recipients) > 0 {
		line("  recipients: %s", flow(c.CAKeys.Recipients))
	}
	if c.CAKeys.Passphrase {
		line("  passphrase: true")
	}
	if c.CAKeys.Store != StoreExternal {
		line("  onControlPlanes: %t", c.CAKeys.OnControlPlanes)
	}
	return []byte(b.String())
}

func flow[T any](list []T) string {
	parts := make([]string, len(list))
	for i, v := range list {
		parts[i] = strconv.Quote(fmt.Sprint(v))
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// ExampleConfig is cluster.yaml with every key and what it means.
const ExampleConfig = `# cluster.yaml: what ` + "`bulwark pki init -f cluster.yaml -d DIR`" + ` makes.
# Only controlPlanes is required; the rest shows its default or an example.

name: prod

# Where machines and people reach the API: a name or an address, and a port
# (6443). With one control plane it may be left out. With several it is the
# balancer in front of them, or a name that resolves to all of them.
endpoint: api.prod.example.com:6443

# The port of each apiserver on its own machine.
bindPort: 6443

# Further names and addresses by which the API is dialled.
extraSANs: [api.internal, 203.0.113.7]

# One range, or one of each family: the first decides the family of the
# kubernetes service.
serviceCIDRs: [10.96.0.0/12, "fd00:10:96::/112"]
clusterDomain: cluster.local

# The first address is the one a machine is known by.
controlPlanes:
  - {name: cp-1, addresses: [10.0.0.11, "fd00::11"]}
  - {name: cp-2, addresses: [10.0.0.12, "fd00::12"]}
  - {name: cp-3, addresses: [10.0.0.13, "fd00::13"]}

# stacked: a member on every control plane. Or a list of machines of their own:
#   etcd:
#     - {name: etcd-1, addresses: [10.0.0.21]}
etcd: stacked

workers:
  - {name: node-1, addresses: [10.0.0.101, "fd00::101"]}
  - {name: node-2, addresses: [10.0.0.102, "fd00::102"]}

# Machines whose Docker daemon is reached over the network. Whoever holds the
# client's key is root on that machine: leave it empty if you can.
docker: []

# ecdsa-p256, ecdsa-p384, rsa-2048, rsa-3072 or rsa-4096
algorithm: ecdsa-p256

# h, d or y (365 days); from 1h to 100y, and no leaf outlives its authority.
lifetimes:
  ca: 10y
  leaf: 1y

# Where the keys of the authorities live.
#   store: file       plain files below DIR/ca
#   store: age        encrypted, either to recipients: [age1…] or with passphrase: true
#   store: external   elsewhere: init writes requests, pki import takes the answers
# onControlPlanes puts the cluster authority's key beside each controller
# manager, which signs what kubelets request. Its default is true for file and
# false otherwise; false means that kubelets do not rotate by themselves.
caKeys:
  store: file
  onControlPlanes: true
`
