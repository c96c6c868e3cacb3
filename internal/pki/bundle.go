package pki

import (
	"net/netip"
	"path"
	"strings"
)

// The folders of a bundle that are no machine.
const (
	caFolder       = "ca"       // the authorities, apart from everything else
	adminFolder    = "admin"    // what people hold
	backupFolder   = "backup"   // what was replaced, by time
	requestsFolder = "requests" // requests to give away, without any key
	pendingFolder  = "pending"  // the keys of these requests
	// RotationFolder has the state of a rotation while it is under way.
	RotationFolder = "rotation"
	configFile     = "cluster.yaml"
	rbacFile       = "rbac.yaml"
)

// Where a machine of a bundle has its files, as in its own root.
const (
	kubernetesFolder = "etc/kubernetes"
	kubeletFolder    = "var/lib/kubelet/pki"
	dockerFolder     = "etc/docker"
)

// CertAuthority is an authority of a Bundle.
type CertAuthority struct {
	AuthoritySpec
	File   string   // below the bundle, without extension
	Copies []string // where its certificate is needed
	Keys   []string // where its key is needed
}

// Item is a certificate of a Bundle: a pair of files, or a kubeconfig.
type Item struct {
	ID        string // cp-1/etcd/server, node-1/kubelet.conf, admin/admin.conf
	Authority string // base of an authority
	Leaf
	Certificate, Key string // files of a pair
	Kubeconfig       string // or the file that holds both
	Server           string // the URL in the kubeconfig
}

// file is where an item's certificate is.
func (i Item) file() string {
	if i.Kubeconfig != "" {
		return i.Kubeconfig
	}
	return i.Certificate
}

// Bundle is everything that a cluster's machines and people hold, as files
// below one folder.
type Bundle struct {
	Authorities []CertAuthority
	Items       []Item
	// ServiceAccountCopies are bases of the pair that signs tokens, besides
	// the one beside the authorities.
	ServiceAccountCopies []string
}

// cluster is what a Config says of all machines.
func (c Config) cluster() Cluster {
	names := Cluster{
		Name: c.Name, DNSDomain: c.ClusterDomain, Server: "https://" + c.Endpoint.String(),
		ComponentServing: true,
	}
	for i, r := range c.ServiceCIDRs {
		if first := r.Masked().Addr().Next(); i == 0 {
			names.ServiceIP = first
		} else {
			names.MoreServiceIPs = append(names.MoreServiceIPs, first)
		}
	}
	for _, s := range append([]string{c.Endpoint.Host}, c.ExtraSANs...) {
		if a, err := netip.ParseAddr(s); err == nil {
			names.APIServerIPs = append(names.APIServerIPs, a)
		} else {
			names.APIServerDNSNames = append(names.APIServerDNSNames, s)
		}
	}
	return names
}

// Bundle lays out what the config asks for.
func (c Config) Bundle() Bundle {
	b := &bundler{names: c.cluster()}
	for _, spec := range Authorities() {
		b.authority(spec)
	}
	for _, h := range c.ControlPlanes {
		b.controlPlane(c, h)
	}
	for _, h := range c.Etcd {
		b.etcd(h)
	}
	for _, h := range c.Workers {
		b.node(h)
	}
	addresses := map[string][]netip.Addr{}
	for _, h := range c.machines() {
		addresses[h.Name] = h.Addresses
	}
	b.people()
	for _, name := range c.Docker {
		b.docker(name, addresses[name])
	}
	for i := range b.Authorities {
		b.Authorities[i].Copies = distinct(b.Authorities[i].Copies)
	}
	return b.Bundle
}

type bundler struct {
	Bundle
	names Cluster
}

func (b *bundler) authority(spec AuthoritySpec) {
	b.Authorities = append(b.Authorities, CertAuthority{AuthoritySpec: spec, File: caFolder + "/" + spec.Base})
}

// trust gives a machine an authority's certificate.
func (b *bundler) trust(base, file string) {
	for i := range b.Authorities {
		if b.Authorities[i].Base == base {
			b.Authorities[i].Copies = append(b.Authorities[i].Copies, file)
		}
	}
}

func machineOf(h Host) Machine {
	return Machine{Name: h.Name, IP: h.Addresses[0], MoreIPs: h.Addresses[1:]}
}

func (b *bundler) pairs(machine, folder string, specs []CertificateSpec) {
	for _, s := range specs {
		base := path.Join(machine, folder, s.Base)
		b.Items = append(b.Items, Item{
			ID: machine + "/" + s.Base, Authority: s.Authority, Leaf: s.Leaf,
			Certificate: base + ".crt", Key: base + ".key",
		})
	}
}

func (b *bundler) kubeconfigs(owner, folder string, specs []KubeconfigSpec) {
	for _, s := range specs {
		b.Items = append(b.Items, Item{
			ID: owner + "/" + s.File, Authority: ClusterCA, Leaf: Leaf{Subject: s.Subject, Usage: Client},
			Kubeconfig: path.Join(owner, folder, s.File), Server: s.Server,
		})
	}
}

const pkiFolder = kubernetesFolder + "/" + certificateDir

func (b *bundler) controlPlane(c Config, h Host) {
	m := machineOf(h)
	m.APIServer = "https://" + Endpoint{m.IP.String(), c.BindPort}.String()
	plan := b.names.ControlPlane(m)
	var pairs []CertificateSpec
	for _, s := range plan.Certificates {
		if len(c.Etcd) == 0 || !strings.HasPrefix(s.Base, "etcd/") {
			pairs = append(pairs, s)
		}
	}
	var configs []KubeconfigSpec
	for _, k := range plan.Kubeconfigs {
		// The break-glass identity is for people, and lives on no machine.
		if k.File != "super-admin.conf" {
			configs = append(configs, k)
		}
	}
	b.pairs(h.Name, pkiFolder, pairs)
	b.kubeconfigs(h.Name, kubernetesFolder, configs)
	b.node(h)
	b.trust(EtcdCA, path.Join(h.Name, pkiFolder, EtcdCA+".crt"))
	b.trust(FrontProxyCA, path.Join(h.Name, pkiFolder, FrontProxyCA+".crt"))
	b.ServiceAccountCopies = append(b.ServiceAccountCopies, path.Join(h.Name, pkiFolder, ServiceAccountKey))
	if c.CAKeys.OnControlPlanes {
		b.Authorities[0].Keys = append(b.Authorities[0].Keys, path.Join(h.Name, pkiFolder, ClusterCA+".key"))
	}
}

// etcd is a machine with a member and no apiserver.
func (b *bundler) etcd(h Host) {
	var pairs []CertificateSpec
	for _, s := range b.names.ControlPlane(machineOf(h)).Certificates {
		if strings.HasPrefix(s.Base, "etcd/") {
			pairs = append(pairs, s)
		}
	}
	b.pairs(h.Name, pkiFolder, pairs)
	b.trust(EtcdCA, path.Join(h.Name, pkiFolder, EtcdCA+".crt"))
}

// node is what a machine with a kubelet holds.
func (b *bundler) node(h Host) {
	m := machineOf(h)
	b.pairs(h.Name, kubeletFolder, []CertificateSpec{b.names.KubeletServing(m)})
	b.kubeconfigs(h.Name, kubernetesFolder, b.names.Node(m).Kubeconfigs)
	b.trust(ClusterCA, path.Join(h.Name, pkiFolder, ClusterCA+".crt"))
}

// people are the identities of those who run the cluster.
func (b *bundler) people() {
	identity := func(file, user, group string) KubeconfigSpec {
		return KubeconfigSpec{File: file, Server: b.names.Server, Subject: Subject{CommonName: user, Organizations: []string{group}}}
	}
	b.kubeconfigs(adminFolder, "", []KubeconfigSpec{
		identity("admin.conf", "kubernetes-admin", GroupAdmins),
		identity("super-admin.conf", "kubernetes-super-admin", GroupMasters),
		identity("monitoring.conf", "monitoring", GroupMonitoring),
		identity("maintenance.conf", "maintenance", GroupMaintenance),
	})
}

// docker is a daemon that is reached over the network. Each has an authority
// of its own, because a daemon takes every client of its authority for root:
// with the cluster's, every kubelet would be root on that machine, and with
// one for all, a client of one machine would be root on all of them.
func (b *bundler) docker(machine string, addresses []netip.Addr) {
	base := dockerBase(machine)
	b.authority(AuthoritySpec{Base: base, CommonName: "docker-ca-" + machine})
	daemon := path.Join(machine, dockerFolder)
	client := path.Join(adminFolder, "docker", machine)
	// The names are those that docker itself looks for.
	b.trust(base, daemon+"/ca.pem")
	b.trust(base, client+"/ca.pem")
	b.Items = append(
		b.Items,
		Item{
			ID: machine + "/docker", Authority: base,
			Leaf: Leaf{
				Subject: Subject{CommonName: machine}, Usage: Server,
				DNSNames: []string{machine, "localhost"}, IPs: distinct(addresses, []netip.Addr{loopback, netip.IPv6Loopback()}),
			},
			Certificate: daemon + "/server-cert.pem", Key: daemon + "/server-key.pem",
		},
		Item{
			ID: adminFolder + "/docker/" + machine, Authority: base,
			Leaf:        Leaf{Subject: Subject{CommonName: "docker-client-of-" + machine}, Usage: Client},
			Certificate: client + "/cert.pem", Key: client + "/key.pem",
		},
	)
}

func dockerBase(machine string) string { return "docker/" + machine }
