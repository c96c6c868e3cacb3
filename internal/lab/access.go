package lab

import "github.com/bulwark-k8s/bulwark/internal/lab/probe"

// Access is a way in for whoever works on a cluster's control planes from
// outside of its machines.
type Access struct {
	Profile    Profile
	Folder     string
	Kubeconfig string
	// API is the balancer's URL on the host.
	API           string
	ControlPlanes []ControlPlane

	close []func() error
}

// ControlPlane is one machine of an Access. Its addresses are those inside the
// cluster's network; Dial gets there.
type ControlPlane struct {
	Name      string
	APIServer string // URL
	Etcd      string // URL of the client port
	Dial      probe.Dial

	host host
}

// File is where a file of the machine lies on the host.
func (c ControlPlane) File(inside string) string { return c.host.file(inside) }

// PKI is where a file of the machine's certificate folder lies on the host.
func (c ControlPlane) PKI(name string) string { return c.host.file(pkiDir + "/" + name) }

// EncryptionFile is the machine's EncryptionConfiguration, as the host sees it.
func (c ControlPlane) EncryptionFile() string { return c.host.file(encryptionFile) }
