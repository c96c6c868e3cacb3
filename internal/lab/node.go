package lab

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"text/template"

	"sigs.k8s.io/yaml"

	"github.com/bulwark-k8s/bulwark/internal/lab/machine"
	"github.com/bulwark-k8s/bulwark/internal/lab/probe"
)

const (
	kubeletDir       = "/var/lib/kubelet"
	kubeletConfig    = kubeletDir + "/config.yaml"
	volumePluginDir  = kubeletDir + "/volumeplugins"
	kubeProxyConfig  = "/var/lib/kube-proxy/config.conf"
	containerdConfig = "/etc/containerd/config.toml"
	componentsDir    = "/opt/bulwark"
	imagesDir        = componentsDir + "/images"
	cniBinDir        = "/opt/cni/bin"
	cniConfigDir     = "/etc/cni/net.d"

	kubeletPort       = 10250
	proxyHealthPort   = 10256
	proxyMetricsPort  = 10249
	kubeletHealthPort = 10248

	// userLabNet is the identity of the network agent; the objects that let it
	// read what it needs are in manifests/.
	userLabNet = "system:lab-net"
)

// nodeProcesses are what makes a machine a node. images are the archives in
// the components' images folder, by file name.
func nodeProcesses(p KubeletProfile, t topology, h host, images []string) []machine.Process {
	process := func(name string, args []string, after ...machine.Condition) machine.Process {
		return machine.Process{
			Name: name, Path: "/usr/local/bin/" + name, Args: args,
			LogFile: logDir + "/" + name + ".log", After: after,
		}
	}
	socket := machine.Condition{Probe: &probe.Probe{URL: "unix://" + containerdSocket}}
	processes := []machine.Process{
		process("containerd", []string{"--config", containerdConfig}),
	}
	// Imported while the control plane starts, and before a kubelet could ask
	// a registry that is not there.
	imported := []machine.Condition{socket}
	for _, image := range images {
		name := "image-" + strings.TrimSuffix(image, filepath.Ext(image))
		processes = append(processes, machine.Process{
			Name: name, Job: true,
			Path:    "/usr/local/bin/ctr",
			Args:    []string{"--address", containerdSocket, "--namespace", "k8s.io", "images", "import", filepath.Join(imagesDir, image)},
			LogFile: logDir + "/images.log",
			After:   []machine.Condition{socket},
		})
		imported = append(imported, machine.Condition{Job: name})
	}
	ready := func(kubeconfig string) machine.Condition {
		return machine.Condition{Probe: &probe.Probe{URL: t.Server + "/readyz", Kubeconfig: kubernetesDir + "/" + kubeconfig}}
	}
	return append(processes,
		process("kubelet", kubeletArgs(p, h), append(imported, ready("kubelet.conf"))...),
		process("kube-proxy", []string{"--config=" + kubeProxyConfig}, ready("kube-proxy.conf")),
		process("lab-net", []string{"--kubeconfig", kubernetesDir + "/lab-net.conf", "--node", h.Name, "--cni-dir", cniConfigDir},
			ready("lab-net.conf")),
	)
}

func kubeletArgs(p KubeletProfile, h host) []string {
	args := []string{
		"--config=" + kubeletConfig,
		"--kubeconfig=" + kubernetesDir + "/kubelet.conf",
		"--hostname-override=" + h.Name,
		"--node-ip=" + h.IP.String(),
		// Other networks leave a mark on their nodes as well; by it one can tell who
		// enforces policies.
		"--node-labels=lab.bulwark.test/network=lab-net",
	}
	if p.StreamingIdleTimeout == never {
		args = append(args, "--streaming-connection-idle-timeout="+never)
	}
	return args
}

// never is what only the flag can say: in a file it is the same as absent.
const never = "0s"

// nodeHealth is how a node's processes are asked from the host, by name.
// Kubelets are asked as the apiserver does it, with its identity, from the
// control plane's files. proc is the folder in /proc of the node's first
// process.
func nodeHealth(p Profile, controlPlane, h host, proc string) map[string]probe.Probe {
	kubelet := probe.Probe{
		URL:        "https://" + h.address(kubeletPort) + "/healthz",
		Cert:       controlPlane.file(pkiDir + "/apiserver-kubelet-client.crt"),
		Key:        controlPlane.file(pkiDir + "/apiserver-kubelet-client.key"),
		SkipVerify: !p.PKI.KubeletServing,
	}
	if p.PKI.KubeletServing {
		kubelet.CA = controlPlane.file(pkiDir + "/ca.crt")
	}
	return map[string]probe.Probe{
		"containerd": {URL: "unix://" + filepath.Join(proc, "root", containerdSocket)},
		"kubelet":    kubelet,
		"kube-proxy": {URL: fmt.Sprintf("http://%s:%d/livez", loopback, proxyHealthPort)},
	}
}

// document is a configuration file as it is written: a map, since the typed
// forms would write every default out and hide what was chosen.
type document = map[string]any

func kubeletConfiguration(p KubeletProfile, serving bool, cgroupRoot string) ([]byte, error) {
	authorization := "Webhook"
	if p.AlwaysAllow {
		authorization = "AlwaysAllow"
	}
	d := document{
		"apiVersion": "kubelet.config.k8s.io/v1beta1",
		"kind":       "KubeletConfiguration",
		"authentication": document{
			"anonymous": document{"enabled": p.Anonymous},
			"webhook":   document{"enabled": !p.AlwaysAllow},
			"x509":      document{"clientCAFile": pkiDir + "/ca.crt"},
		},
		"authorization":            document{"mode": authorization},
		"cgroupDriver":             "cgroupfs",
		"cgroupRoot":               cgroupRoot,
		"failCgroupV1":             false,
		"clusterDNS":               []string{dnsIP.String()},
		"clusterDomain":            dnsDomain,
		"containerRuntimeEndpoint": "unix://" + containerdSocket,
		"healthzBindAddress":       loopback.String(),
		"healthzPort":              p.HealthPort,
		"resolvConf":               "/etc/resolv.conf",
		"rotateCertificates":       true,
		"volumePluginDir":          volumePluginDir,
		"staticPodPath":            kubernetesDir + "/manifests",
		// The machine's disk is the host's, and a lab must not evict its pods
		// because the host is well filled.
		"evictionHard":                document{"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
		"imageGCHighThresholdPercent": 100,
	}
	set := func(condition bool, name string, value any) {
		if condition {
			d[name] = value
		}
	}
	set(p.ReadOnlyPort != 0, "readOnlyPort", p.ReadOnlyPort)
	set(p.ProtectKernelDefaults, "protectKernelDefaults", true)
	set(p.SeccompDefault, "seccompDefault", true)
	set(!p.Profiling, "enableProfilingHandler", false)
	set(serving, "serverTLSBootstrap", true)
	set(p.TLS.MinVersion != "", "tlsMinVersion", p.TLS.MinVersion)
	set(len(p.TLS.CipherSuites) > 0, "tlsCipherSuites", p.TLS.CipherSuites)
	set(p.PodPidsLimit > 0, "podPidsLimit", p.PodPidsLimit)
	set(p.EventRecordQPS > 0, "eventRecordQPS", p.EventRecordQPS)
	set(p.StreamingIdleTimeout != "" && p.StreamingIdleTimeout != never, "streamingConnectionIdleTimeout", p.StreamingIdleTimeout)
	return yaml.Marshal(d)
}

func kubeProxyConfiguration(p KubeProxyProfile, h host) ([]byte, error) {
	bind := loopback.String()
	if p.Everywhere {
		bind = "0.0.0.0"
	}
	return yaml.Marshal(document{
		"apiVersion":         "kubeproxy.config.k8s.io/v1alpha1",
		"kind":               "KubeProxyConfiguration",
		"clientConnection":   document{"kubeconfig": kubernetesDir + "/kube-proxy.conf"},
		"clusterCIDR":        podCIDR,
		"mode":               "nftables",
		"hostnameOverride":   h.Name,
		"bindAddress":        "0.0.0.0",
		"healthzBindAddress": fmt.Sprintf("%s:%d", bind, proxyHealthPort),
		"metricsBindAddress": fmt.Sprintf("%s:%d", loopback, proxyMetricsPort),
		// The table's size can be set from the host's own namespace only.
		"conntrack": document{"maxPerCore": 0, "min": 0},
	})
}

var containerdTemplate = template.Must(template.New("").Parse(`version = 3
root = "/var/lib/containerd"
state = "/run/containerd"

[grpc]
  address = "{{.Socket}}"

[plugins."io.containerd.cri.v1.images"]
  snapshotter = "{{.Snapshotter}}"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "{{.Pause}}"

[plugins."io.containerd.cri.v1.runtime"]
  # Loading a profile would change the host's kernel for good.
  disable_apparmor = true
  # Without CAP_SYS_RESOURCE a score cannot be lowered below our own.
  restrict_oom_score_adj = true
  tolerate_missing_hugetlb_controller = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["{{.CNIBin}}"]
    conf_dir = "{{.CNIConfig}}"
  [plugins."io.containerd.cri.v1.runtime".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
        BinaryName = "/usr/local/bin/runc"
        SystemdCgroup = false
`))

func containerdConfiguration(snapshotter string) ([]byte, error) {
	var out bytes.Buffer
	err := containerdTemplate.Execute(&out, map[string]string{
		"Socket": containerdSocket, "Snapshotter": snapshotter, "Pause": pauseImage,
		"CNIBin": cniBinDir, "CNIConfig": cniConfigDir,
	})
	return out.Bytes(), err
}
