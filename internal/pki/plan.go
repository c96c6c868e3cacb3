package pki

import (
	"fmt"
	"net/netip"
	"path"
	"strings"
)

// Paths of the authorities, relative to the certificate folder and without
// extension, as kubeadm has them.
const (
	ClusterCA    = "ca"
	EtcdCA       = "etcd/ca"
	FrontProxyCA = "front-proxy-ca"
	// ServiceAccountKey is no certificate but the pair that signs tokens.
	ServiceAccountKey = "sa"
)

// Groups that Kubernetes or kubeadm give a meaning to.
const (
	// GroupMasters is above RBAC: nothing can be taken from its members while
	// their certificates live. One break-glass identity has it and no other.
	GroupMasters = "system:masters"
	// GroupAdmins is bound to cluster-admin by an RBAC object, which can be
	// deleted. It is for day-to-day administration.
	GroupAdmins = "kubeadm:cluster-admins"
	GroupNodes  = "system:nodes"
	// GroupMonitoring and GroupMaintenance are bound to the roles of RBAC.
	GroupMonitoring  = "bulwark:monitoring"
	GroupMaintenance = "bulwark:maintenance"
)

// AuthoritySpec is an authority of a plan.
type AuthoritySpec struct {
	Base       string // path without extension, and the name certificates refer to it by
	CommonName string
}

// CertificateSpec is a certificate of a plan: Base+".crt" and Base+".key".
type CertificateSpec struct {
	Base      string
	Authority string // an AuthoritySpec's Base
	Leaf
}

// KubeconfigSpec is a kubeconfig of a plan, with a client certificate of its
// own embedded.
type KubeconfigSpec struct {
	File    string // relative to the folder that holds the certificate folder
	Subject Subject
	Server  string // https://host:port
}

// Plan is everything one machine holds. Authorities are made once per cluster
// and are the same in every machine's plan.
type Plan struct {
	Authorities  []AuthoritySpec
	Certificates []CertificateSpec
	Kubeconfigs  []KubeconfigSpec
}

// Authorities are the three separate roots of a cluster. Sharing one between
// etcd and the API would let every API client speak to etcd; sharing one with
// the front proxy would let every client claim to be any user.
func Authorities() []AuthoritySpec {
	return []AuthoritySpec{
		{Base: ClusterCA, CommonName: "kubernetes"},
		{Base: EtcdCA, CommonName: "etcd-ca"},
		{Base: FrontProxyCA, CommonName: "front-proxy-ca"},
	}
}

// Cluster is what all machines of a cluster share.
type Cluster struct {
	Name      string
	DNSDomain string // cluster.local
	// ServiceIP is the first address of the service range: the address by
	// which pods dial the apiserver.
	ServiceIP netip.Addr
	// MoreServiceIPs are the first addresses of further service ranges: a
	// dual-stack cluster has one.
	MoreServiceIPs []netip.Addr
	// Server is the URL in the kubeconfigs of machines that have no apiserver
	// of their own, and of people.
	Server string
	// Names and addresses, besides each machine's own, by which the apiserver
	// is dialled.
	APIServerDNSNames []string
	APIServerIPs      []netip.Addr
	// KubeletClientGroups are the groups of the identity with which the
	// apiserver calls kubelets. Empty is the least: then the cluster binds
	// that one user to system:kubelet-api-admin.
	KubeletClientGroups []string
	// ControllerManagerGroups are extra groups of the controller manager's
	// identity; there is no good reason for any.
	ControllerManagerGroups []string
	// ComponentServing gives the controller manager and the scheduler serving
	// certificates of the cluster's authority. Without, each makes a
	// self-signed one in memory, which nobody can verify.
	ComponentServing bool
}

// Machine is one host of a cluster.
type Machine struct {
	Name string
	IP   netip.Addr
	// MoreIPs are further addresses by which it is dialled.
	MoreIPs []netip.Addr
	// APIServer is the URL of this machine's own apiserver, for the components
	// beside it. Control planes only.
	APIServer string
}

// ips are the machine's addresses, and those by which it dials itself.
func (m Machine) ips() []netip.Addr {
	return distinct([]netip.Addr{m.IP}, m.MoreIPs, []netip.Addr{loopback, netip.IPv6Loopback()})
}

var loopback = netip.MustParseAddr("127.0.0.1")

// ControlPlane is what a machine with an apiserver, an etcd member, a
// controller manager and a scheduler holds.
func (c Cluster) ControlPlane(m Machine) Plan {
	domain := c.DNSDomain
	own := []string{m.Name, "localhost"}
	ownIPs := m.ips()
	p := Plan{
		Authorities: Authorities(),
		Certificates: []CertificateSpec{
			{Base: "apiserver", Authority: ClusterCA, Leaf: Leaf{
				Subject: Subject{CommonName: "kube-apiserver"}, Usage: Server,
				DNSNames: distinct([]string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + domain}, own, c.APIServerDNSNames),
				IPs:      distinct([]netip.Addr{c.ServiceIP}, c.MoreServiceIPs, ownIPs, c.APIServerIPs),
			}},
			{Base: "apiserver-kubelet-client", Authority: ClusterCA, Leaf: Leaf{
				Subject: Subject{CommonName: UserKubeletClient, Organizations: c.KubeletClientGroups}, Usage: Client,
			}},
			{Base: "apiserver-etcd-client", Authority: EtcdCA, Leaf: Leaf{
				Subject: Subject{CommonName: "kube-apiserver-etcd-client"}, Usage: Client,
			}},
			{Base: "front-proxy-client", Authority: FrontProxyCA, Leaf: Leaf{
				Subject: Subject{CommonName: "front-proxy-client"}, Usage: Client,
			}},
			{Base: "etcd/server", Authority: EtcdCA, Leaf: Leaf{
				Subject: Subject{CommonName: m.Name}, Usage: ServerAndClient, DNSNames: own, IPs: ownIPs,
			}},
			{Base: "etcd/peer", Authority: EtcdCA, Leaf: Leaf{
				Subject: Subject{CommonName: m.Name}, Usage: ServerAndClient, DNSNames: own, IPs: ownIPs,
			}},
			{Base: "etcd/healthcheck-client", Authority: EtcdCA, Leaf: Leaf{
				Subject: Subject{CommonName: "kube-etcd-healthcheck-client"}, Usage: Client,
			}},
		},
		Kubeconfigs: []KubeconfigSpec{
			{File: "admin.conf", Subject: Subject{CommonName: "kubernetes-admin", Organizations: []string{GroupAdmins}}, Server: c.Server},
			{File: "super-admin.conf", Subject: Subject{CommonName: "kubernetes-super-admin", Organizations: []string{GroupMasters}}, Server: c.Server},
			{File: "controller-manager.conf", Subject: Subject{CommonName: "system:kube-controller-manager", Organizations: c.ControllerManagerGroups}, Server: m.APIServer},
			{File: "scheduler.conf", Subject: Subject{CommonName: "system:kube-scheduler"}, Server: m.APIServer},
		},
	}
	if c.ComponentServing {
		for _, name := range []string{"kube-controller-manager", "kube-scheduler"} {
			p.Certificates = append(p.Certificates, CertificateSpec{Base: name, Authority: ClusterCA, Leaf: Leaf{
				Subject: Subject{CommonName: name}, Usage: Server, DNSNames: own, IPs: ownIPs,
			}})
		}
	}
	return p
}

// Users that components are known by.
const (
	UserKubeletClient = "kube-apiserver-kubelet-client"
	UserKubeProxy     = "system:kube-proxy"
)

// NodeUser is the only user name the Node authorizer takes for a node.
func NodeUser(node string) string { return "system:node:" + node }

// Node is what a worker holds. The kubelet's serving certificate is signed by
// the cluster's authority and names the node's address, so that the apiserver
// can verify whom it sends an exec session to.
func (c Cluster) Node(m Machine) Plan {
	return Plan{
		Kubeconfigs: []KubeconfigSpec{
			{File: "kubelet.conf", Subject: Subject{CommonName: NodeUser(m.Name), Organizations: []string{GroupNodes}}, Server: c.Server},
			{File: "kube-proxy.conf", Subject: Subject{CommonName: UserKubeProxy}, Server: c.Server},
		},
	}
}

// KubeletServing is the serving certificate of a node's kubelet.
func (c Cluster) KubeletServing(m Machine) CertificateSpec {
	return CertificateSpec{Base: "kubelet", Authority: ClusterCA, Leaf: Leaf{
		Subject: Subject{CommonName: NodeUser(m.Name), Organizations: []string{GroupNodes}}, Usage: Server,
		DNSNames: []string{m.Name}, IPs: distinct([]netip.Addr{m.IP}, m.MoreIPs),
	}}
}

// validate refuses a plan that could write outside its folder, that names an
// unknown authority, or that would write a file twice.
func (p Plan) validate() error {
	seen := map[string]bool{}
	once := func(file string) error {
		if clean := path.Clean(file); clean != file || path.IsAbs(file) || strings.HasPrefix(clean, "..") || file == "." {
			return fmt.Errorf("file %q: want a clean path below the folder", file)
		}
		if seen[file] {
			return fmt.Errorf("file %s: planned twice", file)
		}
		seen[file] = true
		return nil
	}
	for _, a := range p.Authorities {
		if err := once(a.Base); err != nil {
			return err
		}
	}
	for _, c := range p.Certificates {
		if err := once(c.Base); err != nil {
			return err
		}
	}
	for _, k := range p.Kubeconfigs {
		if err := once(k.File); err != nil {
			return err
		}
		if k.Server == "" {
			return fmt.Errorf("kubeconfig %s: no server", k.File)
		}
	}
	return nil
}

// distinct joins lists, keeping the first of equal elements and the order.
func distinct[T comparable](lists ...[]T) []T {
	seen := map[T]bool{}
	var out []T
	for _, list := range lists {
		for _, v := range list {
			if !seen[v] {
				seen[v] = true
				out = append(out, v)
			}
		}
	}
	return out
}
