package host

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/atrest"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/etcd"
)

// storedTimeout bounds the counting of one API server's objects.
const storedTimeout = 30 * time.Second

// stored asks etcd how the objects are that the API servers are told to encrypt, as the
// API server itself would: from its network, with its client certificate.
func (s *survey) stored(ctx context.Context) {
	for _, p := range s.group.processes {
		config := s.encryption(p)
		if p.component != "kube-apiserver" || config == nil || len(config.Encrypted()) == 0 {
			continue
		}
		if err := s.count(ctx, p, config.Encrypted()); err != nil {
			s.gap(cluster.StoredObjects, fmt.Sprintf("etcd of kube-apiserver (process %d): %v", p.pid, err))
		}
	}
}

// encryption is the configuration that an API server was started with, if it was read.
func (s *survey) encryption(p *process) *cluster.EncryptionConfiguration {
	file := flag(p, cluster.ConfigFlags[cluster.EncryptionFile])
	for _, c := range s.configs {
		if c.Encryption != nil && c.File == file {
			return c.Encryption
		}
	}
	return nil
}

// count counts in the first of an API server's etcd servers that answers.
func (s *survey) count(ctx context.Context, p *process, resources []string) error {
	ctx, cancel := context.WithTimeout(ctx, storedTimeout)
	defer cancel()
	flags := cluster.ParseFlags(p.argv[1:])
	kept := map[string]bool{} // in another etcd
	for _, o := range flags.List("etcd-servers-overrides") {
		gr, _, _ := strings.Cut(o, "#")
		group, name, _ := strings.Cut(gr, "/")
		kept[strings.TrimSuffix(name+"."+group, ".")] = true
	}
	var here []string
	for _, r := range resources {
		if !kept[r] {
			here = append(here, r)
		}
	}
	config, err := s.etcdTLS(p, flags)
	if err != nil {
		return err
	}
	dial := new(net.Dialer).DialContext
	if s.group.net != s.self {
		from, err := enter(s.Proc, p.pid, s.group.net, 1)
		if err != nil {
			return err
		}
		defer from.close()
		dial = from.dialIP
	}
	servers := flags.List("etcd-servers")
	if len(servers) == 0 {
		return errors.New("--etcd-servers is not set")
	}
	var errs []error
	for _, server := range servers {
		u, err := url.Parse(server)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" {
			errs = append(errs, fmt.Errorf("%s is no address of etcd", server))
			continue
		}
		client := etcd.NewClient(server, config, dial)
		tallies, err := atrest.CountIn(ctx, client, flags.Get("etcd-prefix", atrest.DefaultRegistry), here)
		client.HTTP.CloseIdleConnections()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, t := range tallies {
			s.machine.Stored = append(s.machine.Stored, cluster.Stored{Resource: t.Resource, Objects: t.Objects, Plain: t.Plain()})
		}
		return nil
	}
	return errors.Join(errs...)
}

// etcdTLS is how an API server makes itself known to etcd; nil without files. The key is
// used and not kept.
func (s *survey) etcdTLS(p *process, flags cluster.Flags) (*tls.Config, error) {
	ca, cert, key := flags.Get("etcd-cafile", ""), flags.Get("etcd-certfile", ""), flags.Get("etcd-keyfile", "")
	if ca == "" && cert == "" {
		return nil, nil //nolint:nilnil // etcd without TLS needs none
	}
	v, err := s.view(p)
	if err != nil {
		return nil, err
	}
	read := func(file string) ([]byte, error) {
		if !path.IsAbs(file) {
			file = path.Join(p.cwd, file)
		}
		data, err := v.read(file)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", file, err)
		}
		return data, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		data, err := read(ca)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AppendCertsFromPEM(data)
	}
	if cert == "" {
		return config, nil
	}
	public, err := read(cert)
	if err != nil {
		return nil, err
	}
	private, err := read(key)
	if err != nil {
		return nil, err
	}
	defer clear(private)
	pair, err := tls.X509KeyPair(public, private)
	if err != nil {
		return nil, fmt.Errorf("%s and its key: %w", cert, err)
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}

// dialIP is dial for a client that takes any address.
func (n *network) dialIP(ctx context.Context, _, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	if _, err := netip.ParseAddr(host); err != nil {
		return nil, fmt.Errorf("%s is a name, which only the machine itself can look up: run it there", host)
	}
	return n.dial(ctx, net.JoinHostPort(host, port))
}
