package pki

import (
	"fmt"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Kubeconfig issues a client certificate and embeds it, with the cluster's
// authority, in a kubeconfig. The key exists nowhere else.
func (i Issuer) Kubeconfig(trust *Trust, spec KubeconfigSpec) ([]byte, error) {
	authority, ok := trust.Authorities[ClusterCA]
	if !ok {
		return nil, fmt.Errorf("no authority %s to issue from", ClusterCA)
	}
	pair, err := i.Issue(authority, Leaf{Subject: spec.Subject, Usage: Client})
	if err != nil {
		return nil, err
	}
	key, err := EncodeKey(pair.Key)
	if err != nil {
		return nil, err
	}
	return newKubeconfig(spec, EncodeCertificate(authority.Certificate), EncodeCertificate(pair.Certificate), key)
}

// newKubeconfig embeds what is in PEM form already.
func newKubeconfig(spec KubeconfigSpec, ca, cert, key []byte) ([]byte, error) {
	return encodeKubeconfig("kubernetes", spec.Subject.CommonName, &clientcmdapi.Cluster{
		Server:                   spec.Server,
		CertificateAuthorityData: ca,
	}, &clientcmdapi.AuthInfo{
		ClientCertificateData: cert,
		ClientKeyData:         key,
	})
}

// Readdress returns the kubeconfig with its one cluster's server replaced and
// everything named after name, so that several can be merged into one file.
func Readdress(kubeconfig []byte, name, server string) ([]byte, error) {
	cfg, err := clientcmd.Load(kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	current, ok := cfg.Contexts[cfg.CurrentContext]
	if !ok || cfg.Clusters[current.Cluster] == nil || cfg.AuthInfos[current.AuthInfo] == nil {
		return nil, fmt.Errorf("kubeconfig: context %q is not complete", cfg.CurrentContext)
	}
	cluster := cfg.Clusters[current.Cluster].DeepCopy()
	cluster.Server = server
	return encodeKubeconfig(name, current.AuthInfo, cluster, cfg.AuthInfos[current.AuthInfo])
}

func encodeKubeconfig(cluster, user string, c *clientcmdapi.Cluster, a *clientcmdapi.AuthInfo) ([]byte, error) {
	cfg := clientcmdapi.NewConfig()
	context := user + "@" + cluster
	cfg.Clusters[cluster] = c
	cfg.AuthInfos[context] = a
	cfg.Contexts[context] = &clientcmdapi.Context{Cluster: cluster, AuthInfo: context}
	cfg.CurrentContext = context
	data, err := clientcmd.Write(*cfg)
	if err != nil {
		return nil, fmt.Errorf("encoding the kubeconfig: %w", err)
	}
	return data, nil
}
