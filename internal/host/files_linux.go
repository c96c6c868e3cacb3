package host

import (
	"encoding/base64"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	kubeletv1beta1 "k8s.io/kubelet/config/v1beta1"
	"sigs.k8s.io/yaml"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// flagRoles are the flags that name a file, and what the file is for. The components
// agree on their meaning, but for those that filesOf treats apart.
var flagRoles = map[string]cluster.FileRole{
	"kubeconfig":                               cluster.Kubeconfig,
	"authentication-kubeconfig":                cluster.Kubeconfig,
	"authorization-kubeconfig":                 cluster.Kubeconfig,
	"bootstrap-kubeconfig":                     cluster.Kubeconfig,
	"authentication-token-webhook-config-file": cluster.Kubeconfig,
	"authorization-webhook-config-file":        cluster.Kubeconfig,
	"audit-webhook-config-file":                cluster.Kubeconfig,

	"tls-private-key-file":                           cluster.PrivateKey,
	"etcd-keyfile":                                   cluster.PrivateKey,
	"kubelet-client-key":                             cluster.PrivateKey,
	"service-account-signing-key-file":               cluster.PrivateKey,
	"service-account-private-key-file":               cluster.PrivateKey,
	"proxy-client-key-file":                          cluster.PrivateKey,
	"cluster-signing-key-file":                       cluster.PrivateKey,
	"cluster-signing-kube-apiserver-client-key-file": cluster.PrivateKey,
	"cluster-signing-kubelet-client-key-file":        cluster.PrivateKey,
	"cluster-signing-kubelet-serving-key-file":       cluster.PrivateKey,
	"cluster-signing-legacy-unknown-key-file":        cluster.PrivateKey,
	"key-file":                      cluster.PrivateKey,
	"client-key-file":               cluster.PrivateKey,
	"peer-key-file":                 cluster.PrivateKey,
	"peer-client-key-file":          cluster.PrivateKey,
	"tls-cert-file":                 cluster.Certificate,
	"client-ca-file":                cluster.Certificate,
	"etcd-cafile":                   cluster.Certificate,
	"etcd-certfile":                 cluster.Certificate,
	"kubelet-client-certificate":    cluster.Certificate,
	"kubelet-certificate-authority": cluster.Certificate,
	"proxy-client-cert-file":        cluster.Certificate,
	"requestheader-client-ca-file":  cluster.Certificate,
	"peer-ca-file":                  cluster.Certificate,
	"root-ca-file":                  cluster.Certificate,
	"oidc-ca-file":                  cluster.Certificate,
	"cluster-signing-cert-file":     cluster.Certificate,
	"cluster-signing-kube-apiserver-client-cert-file": cluster.Certificate,
	"cluster-signing-kubelet-client-cert-file":        cluster.Certificate,
	"cluster-signing-kubelet-serving-cert-file":       cluster.Certificate,
	"cluster-signing-legacy-unknown-cert-file":        cluster.Certificate,
	"cert-file":             cluster.Certificate,
	"client-cert-file":      cluster.Certificate,
	"trusted-ca-file":       cluster.Certificate,
	"peer-cert-file":        cluster.Certificate,
	"peer-client-cert-file": cluster.Certificate,
	"peer-trusted-ca-file":  cluster.Certificate,

	"config":                           cluster.ConfigFile,
	"config-file":                      cluster.ConfigFile,
	"audit-policy-file":                cluster.ConfigFile,
	"admission-control-config-file":    cluster.ConfigFile,
	"authentication-config":            cluster.ConfigFile,
	"authorization-config":             cluster.ConfigFile,
	"authorization-policy-file":        cluster.ConfigFile,
	"egress-selector-config-file":      cluster.ConfigFile,
	"tracing-config-file":              cluster.ConfigFile,
	"image-credential-provider-config": cluster.ConfigFile,

	"encryption-provider-config": cluster.SecretConfig,
	"token-auth-file":            cluster.SecretConfig,
	"basic-auth-file":            cluster.SecretConfig,
	"cloud-config":               cluster.SecretConfig,
	"token-file":                 cluster.SecretConfig,
	"agent-token-file":           cluster.SecretConfig,
}

// configDefaults are where components look without being told.
var configDefaults = map[string]string{
	"containerd": "/etc/containerd/config.toml",
	"crio":       "/etc/crio/crio.conf",
	"dockerd":    "/etc/docker/daemon.json",
	"k3s":        "/etc/rancher/k3s/config.yaml",
	"rke2":       "/etc/rancher/rke2/config.yaml",
}

// kubeconfigUsers are the components that kubeadm's kubeconfigs are for.
var kubeconfigUsers = map[string]string{
	"kubelet.conf":            "kubelet",
	"bootstrap-kubelet.conf":  "kubelet",
	"scheduler.conf":          "kube-scheduler",
	"controller-manager.conf": "kube-controller-manager",
}

// A fileSet collects the files of one machine, each once by whatever paths it is found.
type fileSet struct {
	base  *view
	files []cluster.File
	byID  map[[2]uint64]int
	// denied are paths that could not be looked at, with the reason.
	denied []string
}

func newFileSet(base *view) *fileSet {
	return &fileSet{base: base, byID: map[[2]uint64]int{}}
}

// add takes what a path leads to in a view. What does not exist is left out: flags may
// name files that are not there yet, or no longer.
func (s *fileSet) add(v *view, file string, role cluster.FileRole, usedBy string) {
	p, err := v.stat(file)
	if err != nil {
		s.failed(v, file, err)
		return
	}
	file = path.Clean(file)
	if v != s.base {
		for _, candidate := range v.outside(p.path, s.base) {
			if b, err := s.base.stat(candidate); err == nil && b.same(p) {
				p, file = b, candidate
				break
			}
		}
	}
	id := [2]uint64{p.st.Dev, p.st.Ino}
	i, ok := s.byID[id]
	if !ok {
		s.byID[id] = len(s.files)
		f := p.file(file, role, usedBy)
		if role == cluster.Certificate {
			if text, err := v.read(p.path); err == nil {
				for _, cert := range cluster.ParseCertificates(text) {
					f.Keys = append(f.Keys, cluster.KeyID(cert))
					f.Certificates = append(f.Certificates, cluster.Describe(cert))
				}
			}
		}
		s.files = append(s.files, f)
		return
	}
	f := &s.files[i]
	if holdsSecret(role) && !holdsSecret(f.Role) {
		f.Role = role
	}
	// Its weakest path counts.
	f.Shielded = f.Shielded && p.shielded
}

// have returns what was added of a file, or nil.
func (s *fileSet) have(v *view, file string) *cluster.File {
	p, err := v.stat(file)
	if err != nil {
		return nil
	}
	if i, ok := s.byID[[2]uint64{p.st.Dev, p.st.Ino}]; ok {
		return &s.files[i]
	}
	return nil
}

func holdsSecret(r cluster.FileRole) bool {
	return r == cluster.PrivateKey || r == cluster.Kubeconfig || r == cluster.SecretConfig
}

func (s *fileSet) failed(v *view, file string, err error) {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return
	}
	note := fmt.Sprintf("%s: %v", file, err)
	if v != s.base {
		note = fmt.Sprintf("%s as process %d sees it: %v", file, v.pid, err)
	}
	if !slices.Contains(s.denied, note) {
		s.denied = append(s.denied, note)
	}
}

// below adds the files of a folder and of those in it, down to a depth, as classify
// says; "" leaves one out.
func (s *fileSet) below(v *view, dir string, depth int, usedBy string, classify func(name string) cluster.FileRole) {
	p, err := v.stat(dir)
	if err != nil || !p.dir() {
		s.failed(v, dir, err)
		return
	}
	names, err := v.names(dir)
	if err != nil {
		s.failed(v, dir, err)
		return
	}
	s.add(v, dir, cluster.Directory, usedBy)
	for _, name := range names {
		file := path.Join(dir, name)
		if p, err := v.stat(file); err == nil && p.dir() {
			if depth > 0 {
				s.below(v, file, depth-1, usedBy, classify)
			}
		} else if role := classify(name); role != "" {
			s.add(v, file, role, usedBy)
		}
	}
}

// pkiRole tells keys from certificates by name. A kubelet keeps both in one .pem.
func pkiRole(name string) cluster.FileRole {
	switch path.Ext(name) {
	case ".key":
		return cluster.PrivateKey
	case ".crt", ".pub":
		return cluster.Certificate
	case ".pem":
		if strings.Contains(name, "key") || strings.HasPrefix(name, "kubelet-") {
			return cluster.PrivateKey
		}
		return cluster.Certificate
	}
	return ""
}

func all(role cluster.FileRole) func(string) cluster.FileRole {
	return func(string) cluster.FileRole { return role }
}

func withSuffix(role cluster.FileRole, suffixes ...string) func(string) cluster.FileRole {
	return func(name string) cluster.FileRole {
		if slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(name, s) }) {
			return role
		}
		return ""
	}
}

// filesOf adds the files that a process's flags and its component's conventions name,
// as the process sees them. The configuration is a kubelet's, and nil for others.
func (s *fileSet) filesOf(v *view, p *process, config *kubeletv1beta1.KubeletConfiguration) {
	flags := cluster.ParseFlags(p.args[1:])
	abs := func(file string) string {
		if !path.IsAbs(file) {
			return path.Join(p.cwd, file)
		}
		return file
	}
	for _, name := range flags.Names() {
		role, ok := flagRoles[name]
		if !ok {
			continue
		}
		for _, file := range flags.List(name) {
			s.add(v, abs(file), role, p.component)
			if role == cluster.Kubeconfig {
				s.kubeconfig(v, abs(file), p.component)
			}
			s.pkiAbove(v, abs(file), role, p.component)
		}
	}
	for _, file := range flags.List("service-account-key-file") {
		role := cluster.Certificate
		if path.Ext(file) == ".key" {
			role = cluster.PrivateKey // a private key also serves to verify
		}
		s.add(v, abs(file), role, p.component)
		s.pkiAbove(v, abs(file), role, p.component)
	}
	if pairs := flags.List("tls-sni-cert-key"); len(pairs) > 0 {
		// cert,key or cert,key:names; the list splits the pairs up as well.
		for i, file := range pairs {
			file, _, _ = strings.Cut(file, ":")
			if path.IsAbs(file) {
				s.add(v, file, []cluster.FileRole{cluster.Certificate, cluster.PrivateKey}[i%2], p.component)
			}
		}
	}
	if file, ok := configDefaults[p.component]; ok {
		if _, given := flags.Lookup("config"); !given {
			s.add(v, file, cluster.ConfigFile, p.component)
		}
	}
	for _, address := range append(flags.List("container-runtime-endpoint"), flags.List("host")...) {
		s.socket(v, address, p.component)
	}
	if dir := flags.Get("cert-dir", map[string]string{"kube-apiserver": "/var/run/kubernetes"}[p.component]); dir != "" {
		s.below(v, abs(dir), 0, p.component, pkiRole) // where it keeps the certificate that it makes for itself
	}
	switch p.component {
	case "etcd":
		s.add(v, abs(flags.Get("data-dir", flags.Get("name", "default")+".etcd")), cluster.DataDir, p.component)
		if wal, ok := flags.Lookup("wal-dir"); ok {
			s.add(v, abs(wal), cluster.DataDir, p.component)
		}
	case "kube-scheduler", "kube-proxy":
		if file, ok := flags.Lookup("config"); ok {
			s.clientConnection(v, abs(file), p.component)
		}
	case "kubelet":
		s.kubelet(v, flags, config)
	case "containerd":
		s.socket(v, flags.Get("address", flags.Get("a", "/run/containerd/containerd.sock")), p.component)
		if file, ok := flags.Lookup("c"); ok {
			s.add(v, abs(file), cluster.ConfigFile, p.component)
		}
	case "crio":
		s.below(v, "/etc/crio/crio.conf.d", 0, p.component, all(cluster.ConfigFile))
		s.socket(v, flags.Get("listen", "/run/crio/crio.sock"), p.component)
	case "dockerd":
		for _, address := range append(flags.List("H"), "/run/docker.sock") {
			s.socket(v, address, p.component)
		}
	case "k3s", "rke2":
		data := flags.Get("data-dir", flags.Get("d", "/var/lib/rancher/"+p.component))
		for _, dir := range []string{"server/tls", "agent"} {
			s.below(v, path.Join(data, dir), 4, p.component, func(name string) cluster.FileRole {
				if path.Ext(name) == ".kubeconfig" {
					return cluster.Kubeconfig
				}
				return pkiRole(name)
			})
		}
		for _, dir := range []string{"server/cred", "server/token", "server/agent-token"} {
			s.add(v, path.Join(data, dir), cluster.SecretConfig, p.component)
		}
		s.add(v, "/etc/rancher/"+p.component+"/"+p.component+".yaml", cluster.Kubeconfig, p.component)
		s.add(v, path.Join(data, "server/db/etcd"), cluster.DataDir, p.component)
		s.socket(v, "/run/k3s/containerd/containerd.sock", p.component)
	}
}

// kubelet adds what a kubelet's configuration and conventions name.
func (s *fileSet) kubelet(v *view, flags cluster.Flags, config *kubeletv1beta1.KubeletConfiguration) {
	const kubelet = "kubelet"
	root := flags.Get("root-dir", "/var/lib/kubelet")
	s.below(v, flags.Get("cert-dir", path.Join(root, "pki")), 0, kubelet, pkiRole)
	if dir, ok := flags.Lookup("config-dir"); ok {
		s.below(v, dir, 0, kubelet, withSuffix(cluster.ConfigFile, ".conf"))
	}
	for _, file := range []string{
		path.Join(root, "config.yaml"), path.Join(root, "kubeadm-flags.env"), "/etc/default/kubelet",
	} {
		s.add(v, file, cluster.ConfigFile, kubelet)
	}
	if config == nil {
		return
	}
	for file, role := range map[string]cluster.FileRole{
		config.TLSPrivateKeyFile:                cluster.PrivateKey,
		config.TLSCertFile:                      cluster.Certificate,
		config.Authentication.X509.ClientCAFile: cluster.Certificate,
	} {
		if file != "" {
			s.add(v, file, role, kubelet)
		}
	}
	if config.StaticPodPath != "" {
		s.below(v, config.StaticPodPath, 0, kubelet, all(cluster.StaticPod))
	}
	s.socket(v, config.ContainerRuntimeEndpoint, kubelet)
}

// conventions adds what stands on a machine of Kubernetes whatever the flags say.
func (s *fileSet) conventions() {
	const etc = "/etc/kubernetes"
	v := s.base
	for _, dir := range []string{"/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"} {
		s.add(v, dir+"/kubelet.service", cluster.ConfigFile, "kubelet")
		s.below(v, dir+"/kubelet.service.d", 0, "kubelet", withSuffix(cluster.ConfigFile, ".conf"))
	}
	if names, err := v.names(etc); err == nil {
		s.add(v, etc, cluster.Directory, "")
		for _, name := range names {
			if path.Ext(name) == ".conf" {
				file := path.Join(etc, name)
				s.add(v, file, cluster.Kubeconfig, kubeconfigUsers[name])
				s.kubeconfig(v, file, kubeconfigUsers[name])
			}
		}
	} else {
		s.failed(v, etc, err)
	}
	s.below(v, etc+"/manifests", 0, "kubelet", withSuffix(cluster.StaticPod, ".yaml", ".yml", ".json"))
	s.below(v, etc+"/pki", 4, "", pkiRole)
	s.below(v, "/etc/cni/net.d", 1, "", func(name string) cluster.FileRole {
		if strings.Contains(name, "kubeconfig") {
			return cluster.Kubeconfig
		}
		return cluster.ConfigFile
	})
	for _, file := range []string{"/run/containerd/containerd.sock", "/run/crio/crio.sock", "/run/docker.sock"} {
		s.add(v, file, cluster.Socket, "")
	}
}

// pkiAbove adds everything in the pki folder that a key or certificate lies in.
func (s *fileSet) pkiAbove(v *view, file string, role cluster.FileRole, usedBy string) {
	if role != cluster.PrivateKey && role != cluster.Certificate {
		return
	}
	for dir := path.Dir(file); dir != "/" && dir != "."; dir = path.Dir(dir) {
		if path.Base(dir) == "pki" {
			s.below(v, dir, 4, usedBy, pkiRole)
			return
		}
	}
}

// socket adds the socket of an address, with or without unix:// before it. Addresses
// of other kinds are not files.
func (s *fileSet) socket(v *view, address, usedBy string) {
	address = strings.TrimPrefix(address, "unix://")
	if path.IsAbs(address) {
		s.add(v, address, cluster.Socket, usedBy)
	}
}

// kubeconfig adds the files that a kubeconfig points at, and what the client
// certificates inside it say of themselves. Credentials inside it are passed over.
func (s *fileSet) kubeconfig(v *view, file, usedBy string) {
	var doc struct {
		Clusters []struct {
			Cluster struct {
				CA string `json:"certificate-authority"`
			} `json:"cluster"`
		} `json:"clusters"`
		Users []struct {
			User struct {
				Cert string `json:"client-certificate"`
				Data string `json:"client-certificate-data"`
				Key  string `json:"client-key"`
			} `json:"user"`
		} `json:"users"`
	}
	if !s.parse(v, file, &doc) {
		return
	}
	add := func(target string, role cluster.FileRole) {
		if target == "" {
			return
		}
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(file), target)
		}
		s.add(v, target, role, usedBy)
	}
	for _, u := range doc.Users {
		role := cluster.Certificate
		if u.User.Key == u.User.Cert {
			role = cluster.PrivateKey // both in one file
		}
		add(u.User.Key, cluster.PrivateKey)
		add(u.User.Cert, role)
		data, err := base64.StdEncoding.DecodeString(u.User.Data)
		if f := s.have(v, file); f != nil && err == nil {
			for _, cert := range cluster.ParseCertificates(data) {
				f.Certificates = append(f.Certificates, cluster.Describe(cert))
			}
		}
	}
	for _, c := range doc.Clusters {
		add(c.Cluster.CA, cluster.Certificate)
	}
}

// clientConnection adds the kubeconfig that a component's configuration names.
func (s *fileSet) clientConnection(v *view, file, usedBy string) {
	var doc struct {
		ClientConnection struct {
			Kubeconfig string `json:"kubeconfig"`
		} `json:"clientConnection"`
	}
	if s.parse(v, file, &doc) && path.IsAbs(doc.ClientConnection.Kubeconfig) {
		s.add(v, doc.ClientConnection.Kubeconfig, cluster.Kubeconfig, usedBy)
		s.kubeconfig(v, doc.ClientConnection.Kubeconfig, usedBy)
	}
}

// parse decodes the fields that doc has out of a YAML file, and forgets the rest.
func (s *fileSet) parse(v *view, file string, doc any) bool {
	b, err := v.read(file)
	if err != nil {
		s.failed(v, file, err)
		return false
	}
	defer clear(b)
	if err := yaml.Unmarshal(b, doc); err != nil {
		// Not the parser's words: they may quote a line of the file.
		s.failed(v, file, errors.New("not the YAML that it should be"))
		return false
	}
	return true
}
