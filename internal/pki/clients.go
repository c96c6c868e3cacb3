package pki

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// client is a user of a kubeconfig.
type client struct {
	user      string
	cert, key []byte // embedded, in PEM
	file      string // or the certificate's file
	server    string // of the first context that uses it
}

// clientsOf lists the users of a kubeconfig that have a client certificate, in
// the order of their names.
func clientsOf(data []byte) ([]client, error) {
	cfg, err := loadKubeconfig(data)
	if err != nil {
		return nil, err
	}
	var clients []client
	for name, info := range cfg.AuthInfos {
		c := client{user: name, cert: info.ClientCertificateData, key: info.ClientKeyData, file: info.ClientCertificate}
		if len(c.cert) == 0 && c.file == "" {
			continue
		}
		var contexts []string
		for context := range cfg.Contexts {
			contexts = append(contexts, context)
		}
		slices.Sort(contexts)
		for _, context := range contexts {
			if at := cfg.Contexts[context]; at.AuthInfo == name && cfg.Clusters[at.Cluster] != nil && c.server == "" {
				c.server = cfg.Clusters[at.Cluster].Server
			}
		}
		clients = append(clients, c)
	}
	slices.SortFunc(clients, func(a, b client) int { return compare(a.user, b.user) })
	return clients, nil
}

// loadKubeconfig keeps the parser's words to itself: they quote the file, and
// the file has a key in it.
func loadKubeconfig(data []byte) (*clientcmdapi.Config, error) {
	cfg, err := clientcmd.Load(data)
	if err != nil {
		return nil, fmt.Errorf("not a kubeconfig")
	}
	for _, c := range cfg.Contexts {
		if c == nil {
			return nil, fmt.Errorf("a context is empty")
		}
	}
	for _, a := range cfg.AuthInfos {
		if a == nil {
			return nil, fmt.Errorf("a user is empty")
		}
	}
	return cfg, nil
}

// withClient returns the kubeconfig with a user's certificate and key
// replaced, and everything else as it was.
func withClient(data []byte, user string, cert, key []byte) ([]byte, error) {
	cfg, err := loadKubeconfig(data)
	if err != nil {
		return nil, err
	}
	info := cfg.AuthInfos[user]
	if info == nil {
		return nil, fmt.Errorf("no user %s", quote(user))
	}
	info.ClientCertificateData = cert
	if key != nil {
		info.ClientKeyData = key
	}
	out, err := clientcmd.Write(*cfg)
	if err != nil {
		return nil, fmt.Errorf("encoding the kubeconfig: %w", err)
	}
	return out, nil
}

// certsOf are all certificates of a PEM file that can be read.
func certsOf(data []byte) []*x509.Certificate {
	var certs []*x509.Certificate
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return certs
		}
		if block.Type == blockCertificate {
			if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
				certs = append(certs, cert)
			}
		}
		data = rest
	}
}

func encodeCerts(certs []*x509.Certificate) []byte {
	var out []byte
	for _, c := range certs {
		out = append(out, EncodeCertificate(c)...)
	}
	return out
}
