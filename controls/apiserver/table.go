// Package apiserver holds the controls on kube-apiserver's flags that differ in little
// but data. Defaults are those of k8s.io/kubernetes v1.36.3; where an older version has
// another one, the row says so.
package apiserver

import (
	"embed"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/bulwark-k8s/bulwark/controls/internal/flag"
	"github.com/bulwark-k8s/bulwark/controls/internal/table"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed */doc.md
var docs embed.FS

// Controls are the rows.
var Controls = table.Of(
	docs, cluster.APIServerFlags,

	// Towards etcd.
	&control.Control{
		ID: "apiserver.etcdplain", Title: "API server talks to etcd in plain text", Severity: control.High,
		Refs:  []control.Ref{control.NSA("Transport layer security"), control.MITRE("T1040")},
		Check: each(etcdPlain),
	},
	&control.Control{
		ID: "apiserver.etcdverify", Title: "API server does not name etcd's authority", Severity: control.Medium,
		Refs: []control.Ref{control.CIS("1.2.26"), control.MITRE("T1557")},
		Check: each(func(c *cluster.Component, v *control.Verdict) {
			if remoteEtcd(c) {
				wantSet(c, v, "etcd-cafile", "the authority of etcd's certificate")
			}
		}),
	},
	&control.Control{
		ID: "apiserver.etcdclientcert", Title: "API server shows etcd no certificate", Severity: control.Medium,
		Refs: []control.Ref{control.CIS("1.2.23"), control.MITRE("T1552")},
		Check: each(func(c *cluster.Component, v *control.Verdict) {
			if remoteEtcd(c) {
				wantSet(c, v, "etcd-certfile", "a client certificate")
				wantSet(c, v, "etcd-keyfile", "its key")
			}
		}),
	},

	// Towards kubelets and clients.
	&control.Control{
		ID: "apiserver.kubeletclient", Title: "API server shows kubelets no certificate", Severity: control.Medium,
		Refs: []control.Ref{control.CIS("1.2.4")},
		Check: each(func(c *cluster.Component, v *control.Verdict) {
			wantSet(c, v, "kubelet-client-certificate", "a client certificate")
			wantSet(c, v, "kubelet-client-key", "its key")
		}),
	},
	&control.Control{
		ID: "apiserver.servingcert", Title: "API server makes up its own certificate", Severity: control.Medium,
		Refs: []control.Ref{control.CIS("1.2.24"), control.NSA("Transport layer security"), control.MITRE("T1557")},
		Check: each(func(c *cluster.Component, v *control.Verdict) {
			wantSet(c, v, "tls-cert-file", "a certificate of the cluster's authority")
			wantSet(c, v, "tls-private-key-file", "its key")
		}),
	},
	&control.Control{
		ID: "apiserver.apiclientca", Title: "API server knows no client certificates", Severity: control.Low,
		Refs: []control.Ref{control.CIS("1.2.25")},
		Check: each(func(c *cluster.Component, v *control.Verdict) {
			wantSet(c, v, "client-ca-file", "the authority of client certificates")
		}),
	},
	&control.Control{
		ID: "apiserver.sharedproxyca", Title: "Every client certificate may speak for anybody", Severity: control.Critical,
		Refs:  []control.Ref{control.MITRE("T1078"), control.MITRE("T1134")},
		Check: sharedProxyCA,
	},
	&control.Control{
		ID: "apiserver.proxynames", Title: "Every certificate of the front proxy's authority may speak for anybody", Severity: control.Low,
		Refs: []control.Ref{control.MITRE("T1134")},
		Check: each(func(c *cluster.Component, v *control.Verdict) {
			ca, _ := flag.Text(c.Flags, "requestheader-client-ca-file", "")
			if ca != "" && len(c.Flags.List("requestheader-allowed-names")) == 0 {
				v.Broken("--requestheader-allowed-names", "not set, so all", "the names of the front proxies")
			}
		}),
	},
	&control.Control{
		ID: "apiserver.corsorigins", Title: "Any web page may call the API server", Severity: control.Medium,
		Refs:  []control.Ref{control.MITRE("T1190")},
		Check: each(corsOrigins),
	},
	&control.Control{
		ID: "apiserver.publicaddress", Title: "API server is advertised on a public address", Severity: control.Medium,
		Refs:  []control.Ref{control.NSA("Network separation"), control.MITRE("T1133")},
		Check: each(publicAddress),
	},

	// Who may log in, and for how long.
	&control.Control{
		ID: "apiserver.accountlookup", Title: "Tokens of deleted service accounts stay valid", Severity: control.Medium,
		Refs:  []control.Ref{control.CIS("1.2.21"), control.MITRE("T1528")},
		Check: each(wantTrue("service-account-lookup")),
	},
	&control.Control{
		ID: "apiserver.accountkeys", Title: "API server checks tokens with its TLS key", Severity: control.Low,
		Refs:  []control.Ref{control.CIS("1.2.22")},
		Check: each(accountKeys),
	},
	&control.Control{
		ID: "apiserver.extendedtokens", Title: "Pods' tokens live for a year", Severity: control.Low,
		Refs: []control.Ref{control.CIS("1.2.30"), control.MITRE("T1528")},
		Check: each(func(c *cluster.Component, v *control.Verdict) {
			if on, got := flag.Bool(c.Flags, "service-account-extend-token-expiration", true); on {
				v.Broken("--service-account-extend-token-expiration", got, "false")
			}
		}),
	},

	// Admission plugins.
	&control.Control{
		ID: "apiserver.alwaysadmit", Title: "API server names the plugin that admits everything", Severity: control.Low,
		Refs: []control.Ref{control.CIS("1.2.10")},
		Check: each(func(c *cluster.Component, v *control.Verdict) {
			if on := c.Flags.List("enable-admission-plugins"); slices.Contains(on, "AlwaysAdmit") {
				v.Broken("--enable-admission-plugins", strings.Join(on, ","), "a list without AlwaysAdmit")
			}
		}),
	},
	&control.Control{
		ID: "apiserver.namespacelifecycle", Title: "Objects may be made in namespaces that are gone", Severity: control.Medium,
		Refs:  []control.Ref{control.CIS("1.2.13")},
		Check: each(notDisabled("NamespaceLifecycle")),
	},
	&control.Control{
		ID: "apiserver.accountplugin", Title: "Pods get no service account of their own", Severity: control.Medium,
		Refs:  []control.Ref{control.CIS("1.2.12")},
		Check: each(notDisabled("ServiceAccount")),
	},
	&control.Control{
		ID: "apiserver.certificateplugins", Title: "Certificates may be approved and signed without the right to", Severity: control.High,
		Refs:  []control.Ref{control.MITRE("T1098"), control.MITRE("T1078")},
		Check: each(notDisabled("CertificateApproval", "CertificateSigning", "CertificateSubjectRestriction")),
	},
	&control.Control{
		ID: "apiserver.admissionhooks", Title: "Admission policies and webhooks are switched off", Severity: control.High,
		Refs: []control.Ref{control.NSA("Pod security enforcement"), control.MITRE("T1562.001")},
		Check: each(notDisabled("ValidatingAdmissionWebhook", "MutatingAdmissionWebhook",
			"ValidatingAdmissionPolicy", "MutatingAdmissionPolicy")),
	},
	&control.Control{
		ID: "apiserver.quotaplugins", Title: "Quotas and limits are switched off", Severity: control.Low,
		Refs:  []control.Ref{control.NSA("Resource policies"), control.MITRE("T1496")},
		Check: each(notDisabled("ResourceQuota", "LimitRanger")),
	},
	&control.Control{
		ID: "apiserver.externalipplugin", Title: "Whoever makes a service may take over addresses", Severity: control.Low,
		Refs: []control.Ref{control.CIS("1.2.3"), control.MITRE("T1557")},
		Check: each(func(c *cluster.Component, v *control.Verdict) {
			if !slices.Contains(c.Flags.List("enable-admission-plugins"), "DenyServiceExternalIPs") {
				_, got := flag.Text(c.Flags, "enable-admission-plugins", "")
				v.Broken("--enable-admission-plugins", got, "a list with DenyServiceExternalIPs")
			}
		}),
	},
	&control.Control{
		ID: "apiserver.pullimages", Title: "Pods may run images that they may not pull", Severity: control.Low,
		Refs: []control.Ref{control.CIS("1.2.11"), control.MITRE("T1525")},
		// Whether kubelets check by themselves is theirs to say, not the API server's.
		With:  []cluster.Need{cluster.Nodes},
		Check: pullImages,
	},

	// The audit log. What is not set keeps everything in older versions, and a year, a
	// hundred files of 100 MB, in v1.36.3 (k8s.io/apiserver/pkg/server/options/audit.go):
	// neither throws away what an investigation needs.
	&control.Control{
		ID: "apiserver.auditage", Title: "Audit log is thrown away within days", Severity: control.Low,
		Refs:  []control.Ref{control.CIS("1.2.17"), control.NSA("Audit logging"), control.MITRE("T1070")},
		Check: each(audit("audit-log-maxage", 30, "at least 30 days")),
	},
	&control.Control{
		ID: "apiserver.auditbackups", Title: "Audit log keeps few files", Severity: control.Low,
		Refs:  []control.Ref{control.CIS("1.2.18"), control.NSA("Audit logging"), control.MITRE("T1070")},
		Check: each(audit("audit-log-maxbackup", 10, "at least 10 files")),
	},
	&control.Control{
		ID: "apiserver.auditsize", Title: "Audit log is rotated after a few requests", Severity: control.Low,
		Refs:  []control.Ref{control.CIS("1.2.19"), control.NSA("Audit logging"), control.MITRE("T1070")},
		Check: each(audit("audit-log-maxsize", 100, "at least 100 megabytes")),
	},

	// Staying up, and staying supported.
	&control.Control{
		ID: "apiserver.requesttimeout", Title: "One request may hold the API server for long", Severity: control.Low,
		Refs: []control.Ref{control.CIS("1.2.20"), control.MITRE("T1499")},
		Check: each(func(c *cluster.Component, v *control.Verdict) {
			if d, got := flag.Duration(c.Flags, "request-timeout", time.Minute); d > 5*time.Minute {
				v.Broken("--request-timeout", got, "at most 5m")
			}
		}),
	},
	&control.Control{
		ID: "apiserver.unfairqueue", Title: "One client may crowd all others out", Severity: control.Low,
		Refs:  []control.Ref{control.MITRE("T1499")},
		Check: each(wantTrue("enable-priority-and-fairness")),
	},
	&control.Control{
		ID: "apiserver.logfiles", Title: "API server serves its machine's log files", Severity: control.Medium,
		Refs:  []control.Ref{control.MITRE("T1005")},
		Check: logFiles,
	},
	&control.Control{
		ID: "apiserver.alphafeatures", Title: "All unfinished features are switched on", Severity: control.Low,
		Refs:  []control.Ref{control.MITRE("T1190")},
		Check: each(alphaFeatures),
	},
)

func each(judge func(*cluster.Component, *control.Verdict)) func(*cluster.Snapshot, *control.Report) {
	return table.Components("kube-apiserver", judge)
}

// wantSet finds a flag that names nothing.
func wantSet(c *cluster.Component, v *control.Verdict, name, want string) {
	if value, got := flag.Text(c.Flags, name, ""); value == "" {
		v.Broken("--"+name, got, want)
	}
}

// wantTrue finds a flag, true unless set, that is false.
func wantTrue(name string) func(*cluster.Component, *control.Verdict) {
	return func(c *cluster.Component, v *control.Verdict) {
		if on, got := flag.Bool(c.Flags, name, true); !on {
			v.Broken("--"+name, got, "true")
		}
	}
}

// notDisabled finds plugins that are on by themselves and were switched off
// (k8s.io/kubernetes/pkg/kubeapiserver/options/plugins.go, DefaultOffAdmissionPlugins).
func notDisabled(plugins ...string) func(*cluster.Component, *control.Verdict) {
	return func(c *cluster.Component, v *control.Verdict) {
		off := c.Flags.List("disable-admission-plugins")
		for _, p := range plugins {
			if slices.Contains(off, p) {
				v.Broken("--disable-admission-plugins", strings.Join(off, ","), "a list without "+p)
			}
		}
	}
}

// etcdServers are where the API server keeps objects, overrides of single resources
// included: "group/resource#https://a:2379;https://b:2379".
func etcdServers(c *cluster.Component) []*url.URL {
	var out []*url.URL
	add := func(text string) {
		if u, err := url.Parse(text); err == nil && u.Scheme != "" {
			out = append(out, u)
		}
	}
	for _, s := range c.Flags.List("etcd-servers") {
		add(s)
	}
	for _, o := range c.Flags.List("etcd-servers-overrides") {
		_, servers, _ := strings.Cut(o, "#")
		for s := range strings.SplitSeq(servers, ";") {
			add(s)
		}
	}
	return out
}

// remoteEtcd reports whether etcd is spoken to over a network. k3s keeps its objects
// behind a socket of its own process.
func remoteEtcd(c *cluster.Component) bool {
	servers := etcdServers(c)
	return len(servers) == 0 || slices.ContainsFunc(servers, func(u *url.URL) bool { return !strings.HasPrefix(u.Scheme, "unix") })
}

func etcdPlain(c *cluster.Component, v *control.Verdict) {
	for _, u := range etcdServers(c) {
		if u.Scheme != "http" {
			continue
		}
		f := v.Broken("--etcd-servers", u.Redacted(), "https")
		if ip, err := netip.ParseAddr(u.Hostname()); u.Hostname() == "localhost" || err == nil && ip.IsLoopback() {
			f.Because("every process of the machine, and every pod on its network, reaches it")
		}
	}
}

// sharedProxyCA compares the two authorities by path, and by key where the machine's
// files were seen. With no names listed, a client certificate of any user is then a
// front proxy's, and a front proxy says in a header who the user is
// (k8s.io/apiserver/pkg/authentication/request/headerrequest/requestheader.go).
func sharedProxyCA(s *cluster.Snapshot, r *control.Report) {
	for _, c := range s.Components("kube-apiserver") {
		v := r.On(c.Ref, c.Source)
		proxy, _ := flag.Text(c.Flags, "requestheader-client-ca-file", "")
		client, _ := flag.Text(c.Flags, "client-ca-file", "")
		names := c.Flags.List("requestheader-allowed-names")
		if proxy != "" && len(names) == 0 && table.SameAuthority(s, c.Machine, proxy, c.Machine, client) {
			v.Broken("--requestheader-client-ca-file", proxy, "an authority of its own").
				Because("--client-ca-file is %s, with the same key, and --requestheader-allowed-names is not set", client)
		}
	}
}

// corsOrigins tries each expression on an origin that nobody would mean. The API
// server itself insists that each is pinned to a host's ends.
func corsOrigins(c *cluster.Component, v *control.Verdict) {
	for _, text := range c.Flags.List("cors-allowed-origins") {
		if re, err := regexp.Compile(text); err == nil && re.MatchString("https://attacker.invalid") {
			v.Broken("--cors-allowed-origins", text, "the hosts that may call it")
		}
	}
}

// notPublic are ranges that netip calls global and that nobody routes: carriers' own,
// documentation, benchmarks (RFC 6598, 5737, 3849, 2544).
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("2001:db8::/32"),
}

func publicAddress(c *cluster.Component, v *control.Verdict) {
	text, _ := flag.Text(c.Flags, "advertise-address", "")
	ip, err := netip.ParseAddr(text)
	if err != nil || !ip.IsGlobalUnicast() || ip.IsPrivate() ||
		slices.ContainsFunc(notPublic, func(p netip.Prefix) bool { return p.Contains(ip) }) {
		return
	}
	v.Broken("--advertise-address", text, "an address of the cluster's own network").Because("only a firewall stands before it")
}

// accountKeys: without a file the key of the serving certificate checks tokens. An
// external signer has keys of its own, and excludes the flag.
func accountKeys(c *cluster.Component, v *control.Verdict) {
	file, got := flag.Text(c.Flags, "service-account-key-file", "")
	signer, _ := flag.Text(c.Flags, "service-account-signing-endpoint", "")
	if file == "" && signer == "" {
		v.Broken("--service-account-key-file", got, "the public half of the signing key")
	}
}

// pullImages: from v1.35 kubelets themselves check that a pod may pull what they have
// (KubeletEnsureSecretPulledImages, k8s.io/kubernetes/pkg/features/kube_features.go). They
// may be three minor versions older than the API server.
func pullImages(s *cluster.Snapshot, r *control.Report) {
	old := ""
	for o, n := range cluster.All[*corev1.Node](s, "Node") {
		kubelet, err := version.ParseGeneric(n.Status.NodeInfo.KubeletVersion)
		if err == nil && kubelet.Minor() < 35 && old == "" {
			old = o.Name
		}
	}
	for _, c := range s.Components("kube-apiserver") {
		v := r.On(c.Ref, c.Source)
		if slices.Contains(c.Flags.List("enable-admission-plugins"), "AlwaysPullImages") {
			continue
		}
		_, got := flag.Text(c.Flags, "enable-admission-plugins", "")
		server, err := version.ParseGeneric(s.Version)
		switch {
		case err == nil && server.Minor() < 35:
			v.Broken("--enable-admission-plugins", got, "a list with AlwaysPullImages")
		case old != "":
			v.Broken("--enable-admission-plugins", got, "a list with AlwaysPullImages").
				Because("the kubelet of %s is older than v1.35, and does not check by itself", old)
		case err != nil:
			v.Unknown("--enable-admission-plugins", "AlwaysPullImages is not in it, and the API server's version, which says whether kubelets check by themselves, is not known")
		}
	}
}

// logFiles: before v1.31 the handler was on unless it was switched off
// (kubernetes/kubernetes, pull request 125787). Where no version is known, it is not
// taken to be that old.
func logFiles(s *cluster.Snapshot, r *control.Report) {
	server, err := version.ParseGeneric(s.Version)
	byItself := err == nil && server.Minor() < 31
	for _, c := range s.Components("kube-apiserver") {
		v := r.On(c.Ref, c.Source)
		if on, got := flag.Bool(c.Flags, "enable-logs-handler", byItself); on {
			v.Broken("--enable-logs-handler", got, "false")
		}
	}
}

// audit finds a limit below what is needed. Zero is no limit.
func audit(name string, least int, want string) func(*cluster.Component, *control.Verdict) {
	return func(c *cluster.Component, v *control.Verdict) {
		if path, _ := flag.Text(c.Flags, "audit-log-path", ""); path == "" || path == "-" {
			return // no file: apiserver.auditlog says whether that is right
		}
		if n, _ := flag.Number(c.Flags, name, 0); n > 0 && n < least {
			v.Broken("--"+name, strconv.Itoa(n), want)
		}
	}
}

func alphaFeatures(c *cluster.Component, v *control.Verdict) {
	if on, _ := strconv.ParseBool(flag.Gates(c.Flags, "feature-gates")["AllAlpha"]); on {
		v.Broken("--feature-gates", "AllAlpha=true", "the features that are needed by name")
	}
	for _, key := range []string{"api/all", "api/alpha"} {
		if on, _ := strconv.ParseBool(flag.Gates(c.Flags, "runtime-config")[key]); on {
			v.Broken("--runtime-config", key+"=true", "the APIs that are needed by name")
		}
	}
}
