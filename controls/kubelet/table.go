// Package kubelet holds the controls on KubeletConfiguration that differ in little but
// data. Defaults are those of k8s.io/kubernetes v1.36.3
// (pkg/kubelet/apis/config/v1beta1/defaults.go): a field that a file leaves out has
// them, and a running kubelet reports every field.
package kubelet

import (
	"embed"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	kubeletv1beta1 "k8s.io/kubelet/config/v1beta1"

	"github.com/bulwark-k8s/bulwark/controls/internal/flag"
	"github.com/bulwark-k8s/bulwark/controls/internal/table"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed */doc.md
var docs embed.FS

// Controls are the rows.
var Controls = table.Of(
	docs, cluster.KubeletConfig,

	// Certificates and TLS.
	&control.Control{
		ID: "kubelet.clientrotation", Title: "Kubelet does not renew its own certificate", Severity: control.Low,
		Refs: []control.Ref{control.CIS("4.2.10")},
		Check: each(func(c *kubeletv1beta1.KubeletConfiguration, v *control.Verdict) {
			if !c.RotateCertificates {
				v.Broken("rotateCertificates", "false", "true")
			}
		}),
	},
	&control.Control{
		ID: "kubelet.kubelettls", Title: "Kubelet is set to agree to weak TLS", Severity: control.Medium,
		Refs: []control.Ref{control.CIS("4.2.12").At("tlsCipherSuites"), control.NSA("Transport layer security"), control.MITRE("T1040")},
		Check: each(func(c *kubeletv1beta1.KubeletConfiguration, v *control.Verdict) {
			flag.WeakTLS(v, "tlsMinVersion", c.TLSMinVersion, "tlsCipherSuites", c.TLSCipherSuites)
		}),
	},

	// What it answers, and to whom.
	&control.Control{
		ID: "kubelet.tokenwebhook", Title: "Kubelet knows nobody by a token", Severity: control.Low,
		Refs: []control.Ref{control.NSA("Authentication and authorization")},
		Check: each(func(c *kubeletv1beta1.KubeletConfiguration, v *control.Verdict) {
			if on := c.Authentication.Webhook.Enabled; on != nil && !*on {
				v.Broken("authentication.webhook.enabled", "false", "true")
			}
		}),
	},
	&control.Control{
		ID: "kubelet.kubeletprofiling", Title: "Kubelet serves its profiler", Severity: control.Low,
		Refs: []control.Ref{control.MITRE("T1499")},
		Check: each(func(c *kubeletv1beta1.KubeletConfiguration, v *control.Verdict) {
			if on, got := orDefault(c.EnableProfilingHandler, true); on {
				v.Broken("enableProfilingHandler", got, "false")
			}
		}),
	},
	&control.Control{
		ID: "kubelet.logquery", Title: "Kubelet serves its machine's journal", Severity: control.Low,
		Refs: []control.Ref{control.MITRE("T1005")},
		Check: each(func(c *kubeletv1beta1.KubeletConfiguration, v *control.Verdict) {
			if on, got := orDefault(c.EnableSystemLogQuery, false); on {
				v.Broken("enableSystemLogQuery", got, "false")
			}
		}),
	},
	&control.Control{
		ID: "kubelet.healthbind", Title: "Kubelet tells the network its health in plain text", Severity: control.Low,
		Refs:  []control.Ref{control.MITRE("T1613")},
		Check: each(healthBind),
	},
	&control.Control{
		ID: "kubelet.streamtimeout", Title: "Kubelet sets no time for idle sessions", Severity: control.Low,
		Refs:  []control.Ref{control.CIS("4.2.5"), control.MITRE("T1499")},
		Check: streamTimeout,
	},
	&control.Control{
		ID: "kubelet.eventrate", Title: "Kubelet reports few events a second", Severity: control.Low,
		Refs: []control.Ref{control.CIS("4.2.8"), control.MITRE("T1562")},
		Check: each(func(c *kubeletv1beta1.KubeletConfiguration, v *control.Verdict) {
			// 0 goes to client-go as it is, and there means 5 (cmd/kubelet/app/server.go;
			// k8s.io/client-go/rest/config.go, DefaultQPS), whatever its documentation says.
			switch n := c.EventRecordQPS; {
			case n == nil:
			case *n == 0:
				v.Broken("eventRecordQPS", "0, so 5", "50, or what the cluster needs")
			case *n < 5:
				v.Broken("eventRecordQPS", strconv.Itoa(int(*n)), "50, or what the cluster needs")
			}
		}),
	},

	// What it runs.
	&control.Control{
		ID: "kubelet.staticpodurl", Title: "Kubelet fetches static pods in plain text", Severity: control.High,
		Refs: []control.Ref{control.NSA("Transport layer security"), control.MITRE("T1557")},
		Check: each(func(c *kubeletv1beta1.KubeletConfiguration, v *control.Verdict) {
			if strings.HasPrefix(strings.ToLower(c.StaticPodURL), "http://") {
				v.Broken("staticPodURL", c.StaticPodURL, "https, or not set")
			}
		}),
	},
	&control.Control{
		ID: "kubelet.imagecredentials", Title: "Pods may use the images that others pulled", Severity: control.Low,
		Refs:  []control.Ref{control.CIS("1.2.11").Further(), control.MITRE("T1525")},
		Check: each(imageCredentials),
	},
	&control.Control{
		ID: "kubelet.unsafesysctls", Title: "Kubelet lets pods set unsafe kernel parameters", Severity: control.Medium,
		Refs: []control.Ref{control.PSS("baseline: Sysctls"), control.MITRE("T1611")},
		Check: each(func(c *kubeletv1beta1.KubeletConfiguration, v *control.Verdict) {
			if len(c.AllowedUnsafeSysctls) > 0 {
				v.Broken("allowedUnsafeSysctls", strings.Join(c.AllowedUnsafeSysctls, ", "), "none")
			}
		}),
	},

	// How it guards its node.
	&control.Control{
		ID: "kubelet.kernelprotection", Title: "Kubelet changes the kernel's settings as it likes", Severity: control.Low,
		Refs: []control.Ref{control.MITRE("T1562")},
		Check: each(func(c *kubeletv1beta1.KubeletConfiguration, v *control.Verdict) {
			if !c.ProtectKernelDefaults {
				v.Broken("protectKernelDefaults", "false", "true")
			}
		}),
	},
	&control.Control{
		ID: "kubelet.iptableschains", Title: "Kubelet does not keep its firewall rules", Severity: control.Low,
		Refs: []control.Ref{control.CIS("4.2.6")},
		Check: each(func(c *kubeletv1beta1.KubeletConfiguration, v *control.Verdict) {
			if on, got := orDefault(c.MakeIPTablesUtilChains, true); !on {
				v.Broken("makeIPTablesUtilChains", got, "true")
			}
		}),
	},
	&control.Control{
		ID: "kubelet.podpids", Title: "A pod may start processes without a limit", Severity: control.Low,
		Refs: []control.Ref{control.CIS("4.2.13"), control.NSA("Resource policies"), control.MITRE("T1499")},
		Check: each(func(c *kubeletv1beta1.KubeletConfiguration, v *control.Verdict) {
			switch n := c.PodPidsLimit; {
			case n == nil:
				v.Broken("podPidsLimit", "not set, so -1", "a limit")
			case *n <= 0:
				v.Broken("podPidsLimit", strconv.FormatInt(*n, 10), "a limit")
			}
		}),
	},
	&control.Control{
		ID: "kubelet.diskisolation", Title: "A pod's limit on disk has no effect", Severity: control.Low,
		Refs: []control.Ref{control.NSA("Resource policies"), control.MITRE("T1499")},
		Check: each(func(c *kubeletv1beta1.KubeletConfiguration, v *control.Verdict) {
			if on, got := orDefault(c.LocalStorageCapacityIsolation, true); !on {
				v.Broken("localStorageCapacityIsolation", got, "true")
			}
		}),
	},
	&control.Control{
		ID: "kubelet.allocatable", Title: "Pods together may take all of a node", Severity: control.Low,
		Refs: []control.Ref{control.NSA("Resource policies"), control.MITRE("T1499")},
		Check: each(func(c *kubeletv1beta1.KubeletConfiguration, v *control.Verdict) {
			if e := c.EnforceNodeAllocatable; e != nil && !slices.Contains(e, "pods") {
				v.Broken("enforceNodeAllocatable", "["+strings.Join(e, ", ")+"]", "a list with pods")
			}
		}),
	},
)

// each judges every kubelet whose configuration could be read.
func each(judge func(*kubeletv1beta1.KubeletConfiguration, *control.Verdict)) func(*cluster.Snapshot, *control.Report) {
	return func(s *cluster.Snapshot, r *control.Report) {
		for _, k := range s.Kubelets() {
			judge(k.Config, r.On(cluster.Ref{Kind: "Kubelet", Name: k.Node}, k.Source))
		}
	}
}

// orDefault returns a field's value and how to tell it.
func orDefault(field *bool, otherwise bool) (value bool, got string) {
	if field != nil {
		return *field, strconv.FormatBool(*field)
	}
	return otherwise, "not set, so " + strconv.FormatBool(otherwise)
}

func healthBind(c *kubeletv1beta1.KubeletConfiguration, v *control.Verdict) {
	if c.HealthzPort != nil && *c.HealthzPort == 0 || c.HealthzBindAddress == "" {
		return // no port, or 127.0.0.1
	}
	if ip, err := netip.ParseAddr(c.HealthzBindAddress); err != nil || !ip.IsLoopback() {
		v.Broken("healthzBindAddress", c.HealthzBindAddress, "127.0.0.1")
	}
}

// streamTimeout: in a file 0 is the same as absent, four hours. Only the flag, which
// is read after defaults were filled in, can say "never", and a running kubelet's
// report then does too.
func streamTimeout(s *cluster.Snapshot, r *control.Report) {
	flags := map[string]cluster.Flags{}
	for _, c := range s.Components("kubelet") {
		flags[c.Machine] = c.Flags
	}
	for _, k := range s.Kubelets() {
		v := r.On(cluster.Ref{Kind: "Kubelet", Name: k.Node}, k.Source)
		byFlag, _ := flag.Duration(flags[k.Node], "streaming-connection-idle-timeout", 4*time.Hour)
		reported := strings.HasSuffix(k.Source.Origin, "/proxy/configz") && k.Config.StreamingConnectionIdleTimeout.Duration == 0
		if byFlag == 0 || reported {
			v.Broken("streamingConnectionIdleTimeout", "0, so never", "a time, such as 5m")
		}
	}
}

// imageCredentials: before v1.35 no kubelet checks by itself, which
// apiserver.pullimages judges; since, it does unless told not to.
func imageCredentials(c *kubeletv1beta1.KubeletConfiguration, v *control.Verdict) {
	if on, given := c.FeatureGates["KubeletEnsureSecretPulledImages"]; given && !on {
		v.Broken("featureGates.KubeletEnsureSecretPulledImages", "false", "true")
	}
	if p := c.ImagePullCredentialsVerificationPolicy; p == kubeletv1beta1.NeverVerify {
		v.Broken("imagePullCredentialsVerificationPolicy", string(p), "NeverVerifyPreloadedImages, or stricter")
	}
}
