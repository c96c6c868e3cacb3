package lab

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/lab/machine"
	"github.com/bulwark-k8s/bulwark/internal/lab/probe"
)

// controlPlaneProcesses are etcd, apiserver, controller manager and scheduler
// of one machine, in the order in which they depend on each other.
func controlPlaneProcesses(p Profile, t topology, h host, binary func(string) string) []machine.Process {
	process := func(name string, args []string, after ...probe.Probe) machine.Process {
		m := machine.Process{Name: name, Path: binary(name), Args: args, LogFile: h.path(logDir + "/" + name + ".log")}
		for _, a := range after {
			m.After = append(m.After, machine.Condition{Probe: &a})
		}
		return m
	}
	ready := apiServerProbe(h, h.path, "controller-manager.conf")
	processes := []machine.Process{process("etcd", etcdArgs(p.Etcd, t, h))}
	// The apiserver retries by itself, but gives up after a while and fills its
	// log until then.
	apiServer := process("kube-apiserver", apiServerArgs(p, t, h), etcdProbe(p.Etcd, h, h.path))
	if p.Etcd.AccessControl {
		access := process(etcdAccessJob, etcdAccessArgs(h), etcdProbe(p.Etcd, h, h.path))
		access.Path, access.Job = binary("bulwark"), true
		processes = append(processes, access)
		// From its first write the apiserver is a user with limits.
		apiServer.After = append(apiServer.After, machine.Condition{Job: etcdAccessJob})
	}
	return append(processes,
		apiServer,
		// Earlier, the controller manager exits: it is forbidden to read the
		// config map about the front proxy until the default roles are there.
		process("kube-controller-manager", controllerManagerArgs(p, t, h), ready),
		process("kube-scheduler", schedulerArgs(p, t, h), ready),
	)
}

// controlPlaneHealth is how each of them is asked from the host, by name.
func controlPlaneHealth(p Profile, h host) map[string]probe.Probe {
	return map[string]probe.Probe{
		"etcd":                    etcdProbe(p.Etcd, h, h.file),
		"kube-apiserver":          apiServerProbe(h, h.file, "super-admin.conf"),
		"kube-controller-manager": servingProbe(p, h, h.Ports.ControllerManager),
		"kube-scheduler":          servingProbe(p, h, h.Ports.Scheduler),
	}
}

// at says where a machine's file is for whoever reads it: host.path for its
// own processes, host.file for those on the host.
type at func(inside string) string

func etcdProbe(p EtcdProfile, h host, at at) probe.Probe {
	if p.Plaintext {
		return probe.Probe{URL: "http://" + h.address(h.Ports.Etcd) + "/health"}
	}
	return probe.Probe{
		URL:  "https://" + h.address(h.Ports.Etcd) + "/health",
		CA:   at(pkiDir + "/etcd/ca.crt"),
		Cert: at(pkiDir + "/etcd/healthcheck-client.crt"),
		Key:  at(pkiDir + "/etcd/healthcheck-client.key"),
	}
}

// apiServerProbe asks with a client certificate, since not every profile
// answers strangers.
func apiServerProbe(h host, at at, kubeconfig string) probe.Probe {
	return probe.Probe{URL: h.apiServer() + "/readyz", Kubeconfig: at(kubernetesDir + "/" + kubeconfig)}
}

// servingProbe asks the controller manager or the scheduler, from the host.
func servingProbe(p Profile, h host, port int) probe.Probe {
	url := fmt.Sprintf("https://%s:%d/healthz", loopback, port)
	if !p.PKI.ComponentServing {
		return probe.Probe{URL: url, SkipVerify: true}
	}
	return probe.Probe{URL: url, CA: h.file(pkiDir + "/ca.crt")}
}

// flags collects a command line. Every component takes --name=value.
type flags []string

func (f *flags) set(name, value string) { *f = append(*f, "--"+name+"="+value) }

// on sets a flag only where there is something to say.
func (f *flags) on(condition bool, name, value string) {
	if condition {
		f.set(name, value)
	}
}

// tls sets what Kubernetes components agree to as servers.
func (f *flags) tls(p TLSProfile) {
	f.on(p.MinVersion != "", "tls-min-version", p.MinVersion)
	f.on(len(p.CipherSuites) > 0, "tls-cipher-suites", strings.Join(p.CipherSuites, ","))
}

func etcdArgs(p EtcdProfile, t topology, h host) []string {
	scheme := "https"
	if p.Plaintext {
		scheme = "http"
	}
	url := func(h host, port int) string { return scheme + "://" + h.address(port) }
	client := url(h, h.Ports.Etcd)
	listen := client
	if h.IP != loopback {
		listen = fmt.Sprintf("%s://%s:%d,%s", scheme, loopback, h.Ports.Etcd, client)
	}
	var names, members []string
	for _, m := range t.of(controlPlane) {
		names = append(names, m.Name)
		members = append(members, m.Name+"="+url(m, m.Ports.EtcdPeer))
	}
	var f flags
	f.set("name", h.Name)
	f.set("data-dir", h.path("/var/lib/etcd"))
	f.set("listen-client-urls", listen)
	f.set("advertise-client-urls", client)
	f.set("listen-peer-urls", url(h, h.Ports.EtcdPeer))
	f.set("initial-advertise-peer-urls", url(h, h.Ports.EtcdPeer))
	f.set("initial-cluster", strings.Join(members, ","))
	f.set("snapshot-count", "10000")
	f.set("feature-gates", "InitialCorruptCheck=true")
	f.set("watch-progress-notify-interval", "5s")
	f.on(p.AccessControl, "auto-compaction-mode", "periodic")
	f.on(p.AccessControl, "auto-compaction-retention", compactAfter)
	f.on(p.PlaintextMetrics, "listen-metrics-urls", fmt.Sprintf("http://%s:%d", loopback, h.Ports.EtcdMetrics))
	// The lab does not outlive the machine, so nothing is gained by waiting
	// for the disk.
	f.set("unsafe-no-fsync", "true")
	if p.Plaintext {
		return f
	}
	pki := h.path(pkiDir + "/etcd")
	f.set("cert-file", pki+"/server.crt")
	f.set("key-file", pki+"/server.key")
	f.set("client-cert-auth", "true")
	f.set("trusted-ca-file", pki+"/ca.crt")
	f.set("peer-cert-file", pki+"/peer.crt")
	f.set("peer-key-file", pki+"/peer.key")
	f.set("peer-client-cert-auth", "true")
	f.set("peer-trusted-ca-file", pki+"/ca.crt")
	f.on(p.MembersByName, "peer-cert-allowed-cn", strings.Join(names, ","))
	f.on(p.TLS.MinVersion != "", "tls-min-version", p.TLS.MinVersion)
	f.on(len(p.TLS.CipherSuites) > 0, "cipher-suites", strings.Join(p.TLS.CipherSuites, ","))
	return f
}

func apiServerArgs(profile Profile, t topology, h host) []string {
	p := profile.APIServer
	pki := h.path(pkiDir)
	var f flags
	f.set("secure-port", strconv.Itoa(h.Ports.API))
	if t.Namespaced {
		f.set("advertise-address", h.IP.String())
		// Control planes run no kube-proxy: webhooks and aggregated APIs are
		// dialled by their pods' addresses instead of their service's.
		f.set("enable-aggregator-routing", "true")
	} else {
		f.set("bind-address", loopback.String())
		// A loopback address cannot be advertised, and with no nodes there is
		// nobody to advertise to: the kubernetes service has no endpoints. The
		// address is one of those set aside for documentation.
		f.set("endpoint-reconciler-type", "none")
		f.set("advertise-address", "192.0.2.1")
	}
	f.set("allow-privileged", "true")
	f.set("authorization-mode", strings.Join(p.Authorization, ","))
	if p.Anonymous != nil {
		f.set("anonymous-auth", strconv.FormatBool(*p.Anonymous))
	}
	f.set("client-ca-file", pki+"/ca.crt")
	f.on(len(p.AdmissionPlugins) > 0, "enable-admission-plugins", strings.Join(p.AdmissionPlugins, ","))
	f.on(len(p.DisabledPlugins) > 0, "disable-admission-plugins", strings.Join(p.DisabledPlugins, ","))
	f.on(p.PodSecurity || p.EventRateLimit, "admission-control-config-file", h.path(admissionFile))
	f.on(p.BootstrapTokens, "enable-bootstrap-token-auth", "true")
	f.on(p.TokenFile, "token-auth-file", h.path(tokenFile))

	if profile.Etcd.Plaintext {
		f.set("etcd-servers", "http://"+h.address(h.Ports.Etcd))
	} else {
		f.set("etcd-servers", "https://"+h.address(h.Ports.Etcd))
		f.set("etcd-cafile", pki+"/etcd/ca.crt")
		f.set("etcd-certfile", pki+"/apiserver-etcd-client.crt")
		f.set("etcd-keyfile", pki+"/apiserver-etcd-client.key")
	}
	f.on(profile.Etcd.AccessControl, "etcd-compaction-interval", "0") // etcd does it by itself
	f.on(p.Encryption, "encryption-provider-config", h.path(encryptionFile))
	// Keys are changed without a restart.
	f.on(p.Encryption, "encryption-provider-config-automatic-reload", "true")

	f.set("kubelet-client-certificate", pki+"/apiserver-kubelet-client.crt")
	f.set("kubelet-client-key", pki+"/apiserver-kubelet-client.key")
	f.set("kubelet-preferred-address-types", "InternalIP,ExternalIP,Hostname")
	f.on(p.VerifyKubelets, "kubelet-certificate-authority", pki+"/ca.crt")

	f.set("proxy-client-cert-file", pki+"/front-proxy-client.crt")
	f.set("proxy-client-key-file", pki+"/front-proxy-client.key")
	f.set("requestheader-allowed-names", "front-proxy-client")
	f.set("requestheader-client-ca-file", pki+"/front-proxy-ca.crt")
	f.set("requestheader-extra-headers-prefix", "X-Remote-Extra-")
	f.set("requestheader-group-headers", "X-Remote-Group")
	f.set("requestheader-username-headers", "X-Remote-User")

	f.set("service-account-issuer", "https://kubernetes.default.svc."+dnsDomain)
	f.set("service-account-key-file", pki+"/sa.pub")
	f.set("service-account-signing-key-file", pki+"/sa.key")
	f.on(p.AccountLookup, "service-account-lookup", "true")
	f.on(!p.ExtendTokens, "service-account-extend-token-expiration", "false")
	f.set("service-cluster-ip-range", serviceCIDR)

	f.set("tls-cert-file", pki+"/apiserver.crt")
	f.set("tls-private-key-file", pki+"/apiserver.key")
	f.tls(p.TLS)
	f.on(!p.Profiling, "profiling", "false")
	f.on(p.Timeout != "", "request-timeout", p.Timeout)
	// Without it an apiserver that is told to stop waits a minute for watches
	// that nobody ends.
	f.set("shutdown-watch-termination-grace-period", "5s")
	if p.Audit {
		f.set("audit-policy-file", h.path(auditPolicyFile))
		f.set("audit-log-path", h.path(auditDir+"/audit.log"))
		f.set("audit-log-maxage", "30")
		f.set("audit-log-maxbackup", "10")
		f.set("audit-log-maxsize", "100")
	}
	return f
}

// serving sets how the controller manager and the scheduler serve. Outside of
// namespaces nothing is served but on loopback, whatever the profile says.
func (f *flags) serving(profile Profile, p ServingProfile, t topology, h host, name string, port int) {
	bind := loopback.String()
	if p.Everywhere && t.Namespaced {
		bind = "0.0.0.0"
	}
	f.set("bind-address", bind)
	f.on(h.Ports != standardPorts, "secure-port", strconv.Itoa(port))
	if profile.PKI.ComponentServing {
		f.set("tls-cert-file", h.path(pkiDir+"/"+name+".crt"))
		f.set("tls-private-key-file", h.path(pkiDir+"/"+name+".key"))
	}
	f.tls(p.TLS)
	f.on(!p.Profiling, "profiling", "false")
	f.set("leader-elect", "true")
}

func controllerManagerArgs(profile Profile, t topology, h host) []string {
	p := profile.ControllerManager
	pki := h.path(pkiDir)
	kubeconfig := h.path(kubernetesDir + "/controller-manager.conf")
	var f flags
	f.serving(profile, p.ServingProfile, t, h, "kube-controller-manager", h.Ports.ControllerManager)
	f.set("kubeconfig", kubeconfig)
	f.set("authentication-kubeconfig", kubeconfig)
	f.set("authorization-kubeconfig", kubeconfig)
	f.set("client-ca-file", pki+"/ca.crt")
	f.set("requestheader-client-ca-file", pki+"/front-proxy-ca.crt")
	f.set("root-ca-file", pki+"/ca.crt")
	f.set("service-account-private-key-file", pki+"/sa.key")
	f.set("cluster-signing-cert-file", pki+"/ca.crt")
	f.set("cluster-signing-key-file", pki+"/ca.key")
	f.on(p.SigningDuration != "", "cluster-signing-duration", p.SigningDuration)
	f.set("use-service-account-credentials", strconv.FormatBool(p.OwnAccounts))
	f.set("controllers", "*,bootstrapsigner,tokencleaner")
	f.set("allocate-node-cidrs", "true")
	f.set("cluster-cidr", podCIDR)
	f.set("service-cluster-ip-range", serviceCIDR)
	f.set("cluster-name", "kubernetes")
	// The default is below /usr, which is the host's.
	f.set("flex-volume-plugin-dir", h.path(volumePluginDir))
	f.on(p.TerminatedPods > 0, "terminated-pod-gc-threshold", strconv.Itoa(p.TerminatedPods))
	f.on(profile.PKI.KubeletServing, "feature-gates", "RotateKubeletServerCertificate=true")
	return f
}

func schedulerArgs(profile Profile, t topology, h host) []string {
	kubeconfig := h.path(kubernetesDir + "/scheduler.conf")
	var f flags
	f.serving(profile, profile.Scheduler, t, h, "kube-scheduler", h.Ports.Scheduler)
	f.set("kubeconfig", kubeconfig)
	f.set("authentication-kubeconfig", kubeconfig)
	f.set("authorization-kubeconfig", kubeconfig)
	return f
}
