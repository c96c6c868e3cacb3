package lab

import (
	"fmt"
	"io/fs"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/pki"
)

// Profile is a way of running the same components. Every difference between a
// hardened cluster and a weak one is a field here; what a field turns into (a
// flag, a line of a configuration file, an object) is written once, in the
// file of its component.
type Profile struct {
	Name    string
	Summary string
	// Warning is printed when the cluster is ready.
	Warning string

	PKI               PKIProfile
	Etcd              EtcdProfile
	APIServer         APIServerProfile
	ControllerManager ControllerManagerProfile
	Scheduler         ServingProfile
	Kubelet           KubeletProfile
	KubeProxy         KubeProxyProfile
}

// PKIProfile is how certificates and their files are made.
type PKIProfile struct {
	Algorithm pki.Algorithm
	Modes     pki.Modes
	// KubeletClientGroups are the groups of the apiserver's identity towards
	// kubelets.
	KubeletClientGroups []string
	// ControllerManagerGroups are extra groups of the controller manager's.
	ControllerManagerGroups []string
	// ComponentServing signs the serving certificates of controller manager
	// and scheduler.
	ComponentServing bool
	// KubeletServing has kubelets ask for serving certificates through the
	// API, again and again as they age; the owner judges what they ask for.
	KubeletServing bool
}

// TLSProfile is what a server agrees to. The zero value leaves it to Go.
type TLSProfile struct {
	MinVersion   string // VersionTLS12
	CipherSuites []string
}

// EtcdProfile is how etcd runs.
type EtcdProfile struct {
	// Plaintext is HTTP for clients and peers, without any certificate.
	Plaintext bool
	// PlaintextMetrics adds kubeadm's HTTP listener for metrics, on loopback.
	PlaintextMetrics bool
	// MembersByName takes peers only by the names of the cluster's members.
	// Without, whoever has any certificate of etcd's authority is a peer.
	MembersByName bool
	TLS           TLSProfile
	// AccessControl lets each identity read and write its own keys and no
	// others.
	AccessControl bool
	// DataDirMode is the mode of the folder with every object of the cluster.
	DataDirMode fs.FileMode
}

// APIServerProfile is how the apiserver runs.
type APIServerProfile struct {
	Authorization []string
	// Anonymous says it in so many words; nil leaves it to the default, which
	// lets strangers in as system:anonymous.
	Anonymous        *bool
	AdmissionPlugins []string
	DisabledPlugins  []string
	// PodSecurity enforces baseline and warns of what is not restricted, in
	// every namespace that does not say otherwise.
	PodSecurity    bool
	EventRateLimit bool
	// Encryption encrypts secrets and config maps before they reach etcd.
	Encryption bool
	Audit      bool
	// AccountLookup says in so many words that a deleted account's tokens end
	// with it, and Timeout how long a request may take.
	AccountLookup bool
	Timeout       string
	Profiling     bool
	TLS           TLSProfile
	// VerifyKubelets checks kubelets' serving certificates.
	VerifyKubelets bool
	// ExtendTokens lets service account tokens live for a year when a client
	// is too old to renew them.
	ExtendTokens bool
	// TokenFile has a file of tokens that never expire.
	TokenFile bool
	// BootstrapTokens accepts kubeadm's join tokens.
	BootstrapTokens bool
}

// ServingProfile is how a component serves its health and metrics.
type ServingProfile struct {
	// Everywhere binds all addresses of the machine instead of loopback.
	Everywhere bool
	Profiling  bool
	TLS        TLSProfile
}

// ControllerManagerProfile is how the controller manager runs.
type ControllerManagerProfile struct {
	ServingProfile
	// OwnAccounts gives each controller its own service account, so that each
	// can do what it needs and no more.
	OwnAccounts bool
	// TerminatedPods is how many finished pods are kept; zero is the default.
	TerminatedPods int
	// SigningDuration is for how long certificates are signed through the API.
	SigningDuration string
}

// KubeletProfile is how kubelets run.
type KubeletProfile struct {
	// ConfigMode is the mode of a node's configuration files.
	ConfigMode            fs.FileMode
	Anonymous             bool
	AlwaysAllow           bool
	ReadOnlyPort          int
	HealthPort            int // plain HTTP on loopback; zero is none
	ProtectKernelDefaults bool
	SeccompDefault        bool
	PodPidsLimit          int
	EventRecordQPS        int // zero is the default
	StreamingIdleTimeout  string
	Profiling             bool
	TLS                   TLSProfile
}

// KubeProxyProfile is how kube-proxy runs.
type KubeProxyProfile struct {
	// Everywhere serves health on all addresses of the node.
	Everywhere bool
}

// strongSuites are what is left of TLS 1.2 when forward secrecy and
// authenticated encryption are asked for. TLS 1.3 has no other kind.
var strongSuites = []string{
	"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
	"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
	"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
	"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
	"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
	"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
}

// weakSuites are what scanners look for: no forward secrecy, CBC with SHA-1,
// triple DES, RC4. The first is there because HTTP/2 insists on it.
var weakSuites = []string{
	"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
	"TLS_RSA_WITH_AES_128_GCM_SHA256",
	"TLS_RSA_WITH_AES_128_CBC_SHA",
	"TLS_RSA_WITH_AES_256_CBC_SHA",
	"TLS_RSA_WITH_3DES_EDE_CBC_SHA",
	"TLS_RSA_WITH_RC4_128_SHA",
}

// Hardened has every practice on that the components know.
var Hardened = Profile{
	Name:    "hardened",
	Summary: "every practice on",
	PKI: PKIProfile{
		Algorithm:        pki.ECDSAP256,
		ComponentServing: true,
		KubeletServing:   true,
	},
	Etcd: EtcdProfile{
		MembersByName: true,
		AccessControl: true,
		TLS:           TLSProfile{MinVersion: "TLS1.2", CipherSuites: strongSuites},
		DataDirMode:   0o700,
	},
	APIServer: APIServerProfile{
		Authorization:    []string{"Node", "RBAC"},
		Anonymous:        new(false),
		AdmissionPlugins: []string{"NodeRestriction", "DenyServiceExternalIPs", "EventRateLimit", "PodSecurity"},
		PodSecurity:      true,
		EventRateLimit:   true,
		Encryption:       true,
		Audit:            true,
		AccountLookup:    true,
		Timeout:          "60s",
		VerifyKubelets:   true,
		TLS:              TLSProfile{MinVersion: "VersionTLS12", CipherSuites: strongSuites},
	},
	ControllerManager: ControllerManagerProfile{
		ServingProfile:  ServingProfile{TLS: TLSProfile{MinVersion: "VersionTLS12", CipherSuites: strongSuites}},
		OwnAccounts:     true,
		TerminatedPods:  1000,
		SigningDuration: "2160h",
	},
	Scheduler: ServingProfile{TLS: TLSProfile{MinVersion: "VersionTLS12", CipherSuites: strongSuites}},
	Kubelet: KubeletProfile{
		ConfigMode:            0o600,
		ProtectKernelDefaults: true,
		SeccompDefault:        true,
		PodPidsLimit:          4096,
		EventRecordQPS:        50,
		StreamingIdleTimeout:  "5m",
		TLS:                   TLSProfile{MinVersion: "VersionTLS12", CipherSuites: strongSuites},
	},
}

// Kubeadm is what `kubeadm init` of the same version gives, file by file and
// flag by flag, as far as components that are not pods allow.
var Kubeadm = Profile{
	Name:    "kubeadm",
	Summary: "what kubeadm gives",
	PKI: PKIProfile{
		Algorithm:           pki.RSA2048,
		KubeletClientGroups: []string{pki.GroupAdmins},
	},
	Etcd: EtcdProfile{PlaintextMetrics: true, DataDirMode: 0o700},
	APIServer: APIServerProfile{
		Authorization:    []string{"Node", "RBAC"},
		AdmissionPlugins: []string{"NodeRestriction"},
		Profiling:        true,
		ExtendTokens:     true,
		BootstrapTokens:  true,
	},
	ControllerManager: ControllerManagerProfile{
		ServingProfile: ServingProfile{Profiling: true},
		OwnAccounts:    true,
	},
	Scheduler: ServingProfile{Profiling: true},
	Kubelet:   KubeletProfile{ConfigMode: 0o644, HealthPort: kubeletHealthPort, Profiling: true},
	KubeProxy: KubeProxyProfile{Everywhere: true},
}

// Weak is what the practices warn of. Each item is listed in docs/lab.md.
var Weak = Profile{
	Name:    "weak",
	Summary: "what the practices warn of",
	Warning: "this cluster is insecure on purpose: anyone who reaches its port is its administrator. Keep nothing in it.",
	PKI: PKIProfile{
		Algorithm:               pki.RSA2048,
		Modes:                   pki.Modes{Key: 0o644, Certificate: 0o644, Kubeconfig: 0o644},
		KubeletClientGroups:     []string{pki.GroupMasters},
		ControllerManagerGroups: []string{pki.GroupMasters},
	},
	Etcd: EtcdProfile{Plaintext: true, PlaintextMetrics: true, DataDirMode: 0o755},
	APIServer: APIServerProfile{
		Authorization:   []string{"RBAC"},
		Anonymous:       new(true),
		DisabledPlugins: []string{"PodSecurity"},
		Profiling:       true,
		TLS:             TLSProfile{MinVersion: "VersionTLS10", CipherSuites: weakSuites},
		ExtendTokens:    true,
		TokenFile:       true,
		BootstrapTokens: true,
	},
	ControllerManager: ControllerManagerProfile{
		ServingProfile: ServingProfile{Everywhere: true, Profiling: true, TLS: TLSProfile{MinVersion: "VersionTLS10", CipherSuites: weakSuites}},
	},
	Scheduler: ServingProfile{Everywhere: true, Profiling: true, TLS: TLSProfile{MinVersion: "VersionTLS10", CipherSuites: weakSuites}},
	Kubelet: KubeletProfile{
		ConfigMode:           0o666,
		Anonymous:            true,
		AlwaysAllow:          true,
		ReadOnlyPort:         10255,
		HealthPort:           kubeletHealthPort,
		StreamingIdleTimeout: "0s",
		Profiling:            true,
		TLS:                  TLSProfile{MinVersion: "VersionTLS10", CipherSuites: weakSuites},
	},
	KubeProxy: KubeProxyProfile{Everywhere: true},
}

// Profiles lists what ProfileNamed knows, the default first.
var Profiles = []Profile{Hardened, Kubeadm, Weak}

// ProfileNamed returns a profile by its name.
func ProfileNamed(name string) (Profile, error) {
	var names []string
	for _, p := range Profiles {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Profile{}, fmt.Errorf("profile %q: want one of %s", name, strings.Join(names, ", "))
}
