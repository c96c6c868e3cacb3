package lab

import (
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/bulwark-k8s/bulwark/internal/atrest"
	"github.com/bulwark-k8s/bulwark/internal/etcd"
	"github.com/bulwark-k8s/bulwark/internal/pki"
)

// auditPolicy says what is recorded: who read a secret but not what it said,
// what was run in a container, and every change of what somebody may do.
//
//go:embed audit-policy.yaml
var auditPolicy []byte

// writeMachines writes everything a cluster's machines have on their disks
// when they are switched on: certificates, kubeconfigs, configuration.
func writeMachines(p Profile, t topology, cluster, dir string, apiPort int, now time.Time) error {
	issuer := pki.Issuer{Now: now, Algorithm: p.PKI.Algorithm}
	trust, err := issuer.NewTrust()
	if err != nil {
		return err
	}
	secrets, err := newSecrets(p.APIServer)
	if err != nil {
		return err
	}
	names := pki.Cluster{
		Name: cluster, DNSDomain: dnsDomain, ServiceIP: serviceIP, Server: t.Server,
		APIServerIPs:            append(t.apiServerIPs(), loopback),
		KubeletClientGroups:     p.PKI.KubeletClientGroups,
		ControllerManagerGroups: p.PKI.ControllerManagerGroups,
		ComponentServing:        p.PKI.ComponentServing,
	}
	// Closed, whatever the modes of the keys in it.
	if err := makeDir(filepath.Join(dir, machinesDir), 0o700); err != nil {
		return err
	}
	for _, h := range t.Hosts {
		if err := t.writeSystemFiles(h); err != nil {
			return fmt.Errorf("machine %s: %w", h.Name, err)
		}
		switch h.Role {
		case controlPlane:
			err = writeControlPlane(p, names, issuer, trust, secrets, h)
		case worker:
			err = writeNode(p, names, issuer, trust, h, clusterKey(dir))
		}
		if err != nil {
			return fmt.Errorf("machine %s: %w", h.Name, err)
		}
	}
	return writeAdmin(t, cluster, dir, apiPort)
}

// apiServerIPs are the addresses besides a machine's own at which somebody
// finds its apiserver: the balancer's.
func (t topology) apiServerIPs() []netip.Addr {
	if t.Namespaced {
		return []netip.Addr{bridgeAddress.Addr()}
	}
	return nil
}

// writeAdmin writes the kubeconfig for people on the host.
func writeAdmin(t topology, cluster, dir string, apiPort int) error {
	data, err := os.ReadFile(t.of(controlPlane)[0].file(kubernetesDir + "/admin.conf"))
	if err != nil {
		return err
	}
	data, err = pki.Readdress(data, "bulwark-"+cluster, hostServer(apiPort))
	if err != nil {
		return err
	}
	return pki.WriteNew(kubeconfigFile(dir), data, 0o600)
}

func hostServer(apiPort int) string { return fmt.Sprintf("https://%s:%d", loopback, apiPort) }

func kubeconfigFile(dir string) string { return filepath.Join(dir, "kubeconfig") }

// secrets are what all control planes share besides keys.
type secrets struct {
	encryption []byte // nil without encryption
	tokens     []byte // nil without a token file
}

func newSecrets(p APIServerProfile) (secrets, error) {
	var s secrets
	if p.Encryption {
		key, err := atrest.NewKey("key1")
		if err != nil {
			return s, err
		}
		configuration, err := atrest.New(atrest.Secretbox, []string{"secrets", "configmaps"}, key)
		if err != nil {
			return s, err
		}
		if s.encryption, err = configuration.Encode(); err != nil {
			return s, err
		}
	}
	if p.TokenFile {
		token := make([]byte, 16)
		if _, err := rand.Read(token); err != nil {
			return s, fmt.Errorf("drawing a token: %w", err)
		}
		s.tokens = []byte(hex.EncodeToString(token) + ",legacy-ci,legacy-ci,system:masters\n")
	}
	return s, nil
}

// admissionConfiguration configures the plugins that need it.
func admissionConfiguration(p APIServerProfile) ([]byte, error) {
	var plugins []document
	if p.PodSecurity {
		plugins = append(plugins, document{"name": "PodSecurity", "configuration": document{
			"apiVersion": "pod-security.admission.config.k8s.io/v1",
			"kind":       "PodSecurityConfiguration",
			"defaults": document{
				"enforce": "baseline", "enforce-version": "latest",
				"audit": "restricted", "audit-version": "latest",
				"warn": "restricted", "warn-version": "latest",
			},
			"exemptions": document{"namespaces": []string{"kube-system"}},
		}})
	}
	if p.EventRateLimit {
		plugins = append(plugins, document{"name": "EventRateLimit", "configuration": document{
			"apiVersion": "eventratelimit.admission.k8s.io/v1alpha1",
			"kind":       "Configuration",
			"limits": []document{
				{"type": "Server", "qps": 500, "burst": 5000},
				{"type": "Namespace", "qps": 100, "burst": 1000, "cacheSize": 2000},
				{"type": "User", "qps": 50, "burst": 500, "cacheSize": 2000},
			},
		}})
	}
	return yaml.Marshal(document{
		"apiVersion": "apiserver.config.k8s.io/v1",
		"kind":       "AdmissionConfiguration",
		"plugins":    plugins,
	})
}

func writeControlPlane(p Profile, names pki.Cluster, issuer pki.Issuer, trust *pki.Trust, s secrets, h host) error {
	files := pki.Files{Dir: h.file(kubernetesDir), Modes: p.PKI.Modes}
	plan := names.ControlPlane(pki.Machine{Name: h.Name, IP: h.IP, APIServer: h.apiServer()})
	if p.PKI.KubeletServing {
		plan.Kubeconfigs = append(plan.Kubeconfigs, pki.KubeconfigSpec{
			File: approverFile, Subject: pki.Subject{CommonName: userApprover}, Server: names.Server,
		})
	}
	if p.Etcd.AccessControl {
		for base, user := range map[string]string{etcdRootCert: etcd.Root, etcdFlannelCert: userFlannel} {
			plan.Certificates = append(plan.Certificates, pki.CertificateSpec{
				Base: base, Authority: pki.EtcdCA, Leaf: pki.Leaf{Subject: pki.Subject{CommonName: user}, Usage: pki.Client},
			})
		}
	}
	if err := files.Write(issuer, trust, plan); err != nil {
		return err
	}
	if err := makeDir(h.file("/var/lib/etcd"), p.Etcd.DataDirMode); err != nil {
		return err
	}
	if err := makeDir(h.file(auditDir), 0o700); err != nil {
		return err
	}
	api := p.APIServer
	if api.PodSecurity || api.EventRateLimit {
		data, err := admissionConfiguration(api)
		if err != nil {
			return err
		}
		if err := pki.WriteNew(h.file(admissionFile), data, 0o600); err != nil {
			return err
		}
	}
	if s.encryption != nil {
		if err := pki.WriteNew(h.file(encryptionFile), s.encryption, 0o600); err != nil {
			return err
		}
	}
	if s.tokens != nil {
		if err := pki.WriteNew(h.file(tokenFile), s.tokens, 0o644); err != nil {
			return err
		}
	}
	if api.Audit {
		return pki.WriteNew(h.file(auditPolicyFile), auditPolicy, 0o600)
	}
	return nil
}

func writeNode(p Profile, names pki.Cluster, issuer pki.Issuer, trust *pki.Trust, h host, key string) error {
	m := pki.Machine{Name: h.Name, IP: h.IP}
	plan := names.Node(m)
	plan.Kubeconfigs = append(plan.Kubeconfigs, pki.KubeconfigSpec{
		File: "lab-net.conf", Subject: pki.Subject{CommonName: userLabNet}, Server: names.Server,
	})
	if err := (pki.Files{Dir: h.file(kubernetesDir), Modes: p.PKI.Modes}).Write(issuer, trust, plan); err != nil {
		return err
	}
	for _, dir := range []string{kubernetesDir + "/manifests", cniConfigDir} {
		if err := makeDir(h.file(dir), 0o755); err != nil {
			return err
		}
	}
	kubelet, err := kubeletConfiguration(p.Kubelet, p.PKI.KubeletServing, cgroupPath(key, h.Name))
	if err != nil {
		return err
	}
	proxy, err := kubeProxyConfiguration(p.KubeProxy, h)
	if err != nil {
		return err
	}
	containerd, err := containerdConfiguration(snapshotter(h.Dir))
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{kubeletConfig, kubelet}, {kubeProxyConfig, proxy}, {containerdConfig, containerd}} {
		if err := pki.WriteNew(h.file(f.name), f.data, p.Kubelet.ConfigMode); err != nil {
			return err
		}
	}
	return nil
}

// writeSystemFiles writes what any Linux machine has in /etc and /var.
func (t topology) writeSystemFiles(h host) error {
	for _, dir := range []string{"/etc", "/run", "/var/lib", "/var/cache", "/var/tmp", logDir} {
		if err := makeDir(h.file(dir), 0o755); err != nil {
			return err
		}
	}
	if !t.Namespaced {
		return nil
	}
	hosts := []string{"127.0.0.1 localhost"}
	for _, other := range t.Hosts {
		hosts = append(hosts, other.IP.String()+" "+other.Name)
	}
	for name, content := range map[string]string{ //nolint:gosec // the file is called passwd; no password is in it
		"hostname":      h.Name,
		"hosts":         strings.Join(hosts, "\n"),
		"passwd":        "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin",
		"group":         "root:x:0:\ntty:x:5:\nnogroup:x:65534:",
		"nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns",
		"resolv.conf":   "# The lab has no way out, and no names but its own.",
	} {
		if err := pki.WriteNew(h.file("/etc/"+name), []byte(content+"\n"), 0o644); err != nil {
			return err
		}
	}
	if err := makeDir(h.file("/root"), 0o700); err != nil {
		return err
	}
	return os.Symlink("/run", h.file("/var/run"))
}

// makeDir makes a folder with exactly this mode, whatever the umask.
func makeDir(name string, mode fs.FileMode) error {
	if err := os.MkdirAll(name, mode); err != nil {
		return fmt.Errorf("making %s: %w", name, err)
	}
	return os.Chmod(name, mode)
}
