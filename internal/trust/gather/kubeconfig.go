package gather

import (
	"bytes"
	"crypto/x509"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"

	"github.com/bulwark-k8s/bulwark/internal/trust"
)

// isKubeconfig reports whether a file says that it is one.
func isKubeconfig(data []byte) bool {
	if !bytes.Contains(data, []byte("Config")) {
		return false
	}
	var head struct {
		Kind     string `json:"kind"`
		Clusters []any  `json:"clusters"`
	}
	return yaml.Unmarshal(data, &head) == nil && (head.Kind == "Config" || head.Kind == "" && head.Clusters != nil)
}

// kubeconfig adds every context of a file, and the certificates in it.
func (r *Reader) kubeconfig(path string, at trust.Place, purpose *trust.Purpose, file *trust.File, data []byte) {
	at.Origin = trust.InKubeconfig
	config, err := clientcmd.Load(data)
	if err != nil {
		r.gap(label(at), "no kubeconfig that can be parsed")
		return
	}
	k := trust.Kubeconfig{Place: at, Purpose: purpose, File: file}
	contexts := maps.Clone(config.Contexts)
	// Users and clusters that no context joins are credentials and trust all the same.
	for _, user := range slices.Sorted(maps.Keys(config.AuthInfos)) {
		if !slices.ContainsFunc(slices.Collect(maps.Values(contexts)), func(c *clientcmdapi.Context) bool { return c != nil && c.AuthInfo == user }) {
			if contexts == nil {
				contexts = map[string]*clientcmdapi.Context{}
			}
			contexts["(none) "+user] = &clientcmdapi.Context{AuthInfo: user}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(contexts)) {
		if c := contexts[name]; c != nil {
			k.Accesses = append(k.Accesses, r.access(path, at, purpose, file, config, name, c))
		}
	}
	r.facts.Kubeconfigs = append(r.facts.Kubeconfigs, k)
}

func (r *Reader) access(path string, at trust.Place, purpose *trust.Purpose, file *trust.File, config *clientcmdapi.Config, name string, c *clientcmdapi.Context) trust.Access {
	a := trust.Access{Context: name, Cluster: c.Cluster, User: c.AuthInfo, Current: name == config.CurrentContext}
	add := func(certs []*x509.Certificate, detail string, purpose *trust.Purpose, trusted bool) {
		place := at
		place.Detail = detail
		for i, cert := range certs {
			r.facts.Certificates = append(r.facts.Certificates, trust.Certificate{
				Certificate: cert, Place: place, Purpose: purpose, Position: i, Trusted: trusted, File: file,
			})
		}
	}
	if cl := config.Clusters[c.Cluster]; cl != nil {
		a.Server, a.TLSServerName, a.ProxyURL, a.Insecure = cl.Server, cl.TLSServerName, cl.ProxyURL, cl.InsecureSkipTLSVerify
		a.HasCA = len(cl.CertificateAuthorityData) > 0 || cl.CertificateAuthority != ""
		b := r.referenced(path, at, "cluster "+c.Cluster+", certificate-authority", cl.CertificateAuthorityData, cl.CertificateAuthority)
		a.CAs = b.certs
		add(b.certs, "cluster "+c.Cluster, nil, true)
	}
	u := config.AuthInfos[c.AuthInfo]
	if u == nil {
		return a
	}
	if len(u.ClientCertificateData) > 0 || u.ClientCertificate != "" {
		a.Credentials = append(a.Credentials, trust.ByCertificate)
		b := r.referenced(path, at, "user "+c.AuthInfo+", client-certificate", u.ClientCertificateData, u.ClientCertificate)
		if len(b.certs) > 0 {
			a.Client = b.certs[0]
		}
		add(b.certs, "user "+c.AuthInfo, purpose, false)
	}
	if len(u.ClientKeyData) > 0 || u.ClientKey != "" {
		a.HasKey = true
		b := r.referenced(path, at, "user "+c.AuthInfo+", client-key", u.ClientKeyData, u.ClientKey)
		for _, key := range b.keys {
			a.KeyID = key.id
		}
	}
	a.Inline = len(u.ClientKeyData) > 0 || u.Token != "" || u.Password != ""
	if u.Token != "" {
		a.Credentials = append(a.Credentials, trust.ByToken)
	}
	if u.TokenFile != "" {
		a.Credentials = append(a.Credentials, trust.ByTokenFile)
	}
	if u.Password != "" {
		a.Credentials = append(a.Credentials, trust.ByPassword)
	}
	if u.Exec != nil {
		a.Credentials = append(a.Credentials, trust.ByExec+filepath.Base(u.Exec.Command))
	}
	if u.AuthProvider != nil {
		a.Credentials = append(a.Credentials, trust.ByProvider+u.AuthProvider.Name)
	}
	return a
}

// referenced reads what a kubeconfig embeds, or names as a file: relative to its own
// folder or, in a machine's bundle, to the machine.
func (r *Reader) referenced(path string, at trust.Place, what string, data []byte, file string) bundle {
	if len(data) == 0 && file == "" {
		return bundle{}
	}
	if len(data) == 0 {
		found := file
		if !filepath.IsAbs(found) {
			found = filepath.Join(filepath.Dir(path), found)
		} else if root, _ := split(path); root != "" {
			if in := filepath.Join(root, found); exists(in) {
				found = in
			}
		}
		read, _, err := readFile(found)
		if err != nil {
			r.gap(label(at), what+": "+file+": "+reason(err))
			return bundle{}
		}
		data = read
	}
	defer clear(data)
	b := parsePEM(data)
	for _, p := range b.problems {
		r.gap(label(at), what+": "+p)
	}
	if b.empty() {
		r.gap(label(at), what+": nothing that can be parsed")
	}
	return b
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
