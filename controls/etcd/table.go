// Package etcd holds the controls on etcd's settings that differ in little but data.
// Defaults are those of go.etcd.io/etcd v3.6 (server/embed/config.go). A setting stands
// in a flag, in a variable or in a configuration file; controls/internal/etcd looks.
package etcd

import (
	"embed"
	"slices"
	"strings"

	etcdsettings "github.com/bulwark-k8s/bulwark/controls/internal/etcd"
	"github.com/bulwark-k8s/bulwark/controls/internal/flag"
	"github.com/bulwark-k8s/bulwark/controls/internal/table"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed */doc.md
var docs embed.FS

// Controls are the rows.
var Controls = table.Of(
	docs, cluster.EtcdFlags,
	&control.Control{
		ID: "etcd.autotls", Title: "etcd makes up its own certificate for clients", Severity: control.High,
		Refs:  []control.Ref{control.CIS("2.3"), control.MITRE("T1557")},
		Check: each("auto-tls", wantFalse("auto-tls")),
	},
	&control.Control{
		ID: "etcd.peerautotls", Title: "etcd makes up its own certificate for peers", Severity: control.High,
		Refs:  []control.Ref{control.CIS("2.6"), control.MITRE("T1557")},
		Check: each("peer-auto-tls", wantFalse("peer-auto-tls")),
	},
	&control.Control{
		ID: "etcd.sharedca", Title: "Every certificate of the cluster opens etcd", Severity: control.High,
		Refs: []control.Ref{control.CIS("2.7"), control.MITRE("T1552")},
		// Which authority clients of the API server have is its flags to say; where they
		// could not be read, the verdict is unknown.
		With:  []cluster.Need{cluster.APIServerFlags},
		Check: sharedCA,
	},
	&control.Control{
		ID: "etcd.etcdtls", Title: "etcd is set to agree to weak TLS", Severity: control.Medium,
		Refs: []control.Ref{control.NSA("Transport layer security"), control.MITRE("T1040")},
		Check: each("cipher-suites", func(c *cluster.Component, v *control.Verdict) {
			version, _ := etcdsettings.Setting(c, "tls-min-version")
			suites, _ := etcdsettings.Setting(c, "cipher-suites")
			flag.WeakTLS(v, "--tls-min-version", version, "--cipher-suites", strings.FieldsFunc(suites, func(r rune) bool { return r == ',' || r == ' ' }))
		}),
	},
	&control.Control{
		ID: "etcd.openmetrics", Title: "etcd tells the network its metrics without a login", Severity: control.Low,
		Refs: []control.Ref{control.MITRE("T1613")},
		Check: each("listen-metrics-urls", func(c *cluster.Component, v *control.Verdict) {
			for _, u := range etcdsettings.URLs(c, "listen-metrics-urls", "") {
				if u.Scheme == "http" && !etcdsettings.Loopback(u) {
					v.Broken("--listen-metrics-urls", u.String(), "https, or an address on loopback")
				}
			}
		}),
	},
	&control.Control{
		ID: "etcd.etcdprofiling", Title: "etcd serves its profiler", Severity: control.Low,
		Refs:  []control.Ref{control.MITRE("T1499")},
		Check: each("enable-pprof", wantFalse("enable-pprof")),
	},
)

// each judges every member whose settings could be read.
func each(name string, judge func(*cluster.Component, *control.Verdict)) func(*cluster.Snapshot, *control.Report) {
	return table.Components("etcd", func(c *cluster.Component, v *control.Verdict) {
		if why := etcdsettings.Unread(c); why != "" {
			v.Unknown("--"+name, why)
			return
		}
		judge(c, v)
	})
}

// wantFalse finds a setting, off unless set, that is on.
func wantFalse(name string) func(*cluster.Component, *control.Verdict) {
	return func(c *cluster.Component, v *control.Verdict) {
		if etcdsettings.True(c, name) {
			v.Broken("--"+name, "true", "false")
		}
	}
}

// sharedCA compares the authority of etcd's clients with that of the API server's: by
// path, and by key where the machines' files were seen.
func sharedCA(s *cluster.Snapshot, r *control.Report) {
	servers := s.Components("kube-apiserver")
	each("trusted-ca-file", func(c *cluster.Component, v *control.Verdict) {
		ca, _ := etcdsettings.Setting(c, "trusted-ca-file")
		i := slices.IndexFunc(servers, func(a *cluster.Component) bool {
			return table.SameAuthority(s, c.Machine, ca, a.Machine, a.Flags.Get("client-ca-file", ""))
		})
		if i >= 0 {
			v.Broken("--trusted-ca-file", ca, "an authority of its own").
				Because("the API server trusts its clients by the same one").Through(servers[i].Ref)
		}
	})(s, r)
}
