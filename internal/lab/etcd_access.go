package lab

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/etcd"
	"github.com/bulwark-k8s/bulwark/internal/lab/probe"
)

const (
	etcdAccessJob = "etcd-access"
	// Client certificates that only access control gives a meaning: of the one
	// who may do everything, kept as super-admin.conf is, and of somebody else
	// who shares etcd with the apiserver, as flannel does.
	etcdRootCert    = "etcd/root-client"
	etcdFlannelCert = "etcd/flannel-client"
	userFlannel     = "flannel"
	// compactAfter is how long etcd keeps old revisions: as long as an apiserver
	// that compacts would let it.
	compactAfter = "5m"
)

// etcdUsers are who may read and write what, by the common names of their
// certificates. The apiserver keeps everything below its prefix. It also looks
// at a key beside it, where apiservers that compact etcd note how far; compacting
// takes root since etcd 3.7, so here etcd does that by itself, and nobody writes
// that key.
var etcdUsers = []etcd.User{
	{Name: "kube-apiserver-etcd-client", Prefixes: []string{"/registry/"}, Reads: []string{"compact_rev_key"}},
	{Name: "kube-etcd-healthcheck-client"},
	{Name: userFlannel, Prefixes: []string{"/coreos.com/network/"}},
}

func etcdAccessArgs(h host) []string {
	pki := func(name string) string { return h.path(pkiDir + "/" + name) }
	var f flags
	f.set("endpoint", "https://"+h.address(h.Ports.Etcd))
	f.set("cacert", pki("etcd/ca.crt"))
	f.set("cert", pki(etcdRootCert+".crt"))
	f.set("key", pki(etcdRootCert+".key"))
	return append([]string{HiddenCommand, etcdAccessJob}, f...)
}

// RestrictEtcd turns etcd's access control on, as a job of a machine. URL and
// certificates are the member's and root's.
func RestrictEtcd(ctx context.Context, member probe.Probe) error {
	const patience = 20 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	config, err := member.TLS()
	if err != nil {
		return fmt.Errorf("etcd's access control: %w", err)
	}
	return etcd.NewClient(member.URL, config, new(net.Dialer).DialContext).Restrict(ctx, etcdUsers)
}
