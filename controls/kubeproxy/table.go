// Package kubeproxy holds the controls on kube-proxy. Its flags count only where it has
// no configuration file; a machine's facts then give the file's settings in the form
// of the flags that mean the same (k8s.io/kubernetes/cmd/kube-proxy/app/options.go,
// v1.36.3).
package kubeproxy

import (
	"embed"
	"net/netip"
	"slices"

	"github.com/bulwark-k8s/bulwark/controls/internal/flag"
	"github.com/bulwark-k8s/bulwark/controls/internal/table"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed */doc.md
var docs embed.FS

// Controls are the rows.
var Controls = table.Of(
	docs, cluster.ProxyFlags,
	&control.Control{
		ID: "kubeproxy.proxymetrics", Title: "kube-proxy tells the network its metrics without a login", Severity: control.Low,
		Refs: []control.Ref{control.CIS("4.3.1"), control.MITRE("T1613")},
		Check: each("metrics-bind-address", func(c *cluster.Component, v *control.Verdict) {
			address, got := flag.Text(c.Flags, "metrics-bind-address", "127.0.0.1:10249")
			if !loopback(address) {
				v.Broken("--metrics-bind-address", got, "127.0.0.1:10249")
			}
		}),
	},
	&control.Control{
		ID: "kubeproxy.proxyprofiling", Title: "kube-proxy serves its profiler", Severity: control.Low,
		Refs: []control.Ref{control.MITRE("T1499")},
		Check: each("profiling", func(c *cluster.Component, v *control.Verdict) {
			if on, got := flag.Bool(c.Flags, "profiling", false); on {
				v.Broken("--profiling", got, "false")
			}
		}),
	},
	&control.Control{
		ID: "kubeproxy.localnodeports", Title: "Node ports lead into the machine's own loopback", Severity: control.Low,
		Refs:  []control.Ref{control.NSA("Network separation"), control.MITRE("T1557")},
		Check: each("iptables-localhost-nodeports", localNodePorts),
	},
)

// each judges every kube-proxy whose settings could be read. Where processes were seen,
// the DaemonSet that they come from says nothing more.
func each(name string, judge func(*cluster.Component, *control.Verdict)) func(*cluster.Snapshot, *control.Report) {
	return func(s *cluster.Snapshot, r *control.Report) {
		all := s.Components("kube-proxy")
		seen := slices.ContainsFunc(all, func(c *cluster.Component) bool { return c.Object == nil })
		for _, c := range all {
			if seen && c.Object != nil && c.Machine == "" {
				continue
			}
			v := r.On(c.Ref, c.Source)
			if file, _ := flag.Text(c.Flags, "config", ""); file != "" {
				if _, read := c.Flags.Lookup("metrics-bind-address"); !read || c.Object != nil {
					v.Unknown("--"+name, "its settings stand in "+file+", which was not read")
					continue
				}
			}
			judge(c, v)
		}
	}
}

// loopback reports whether an address with or without a port is the machine's own.
func loopback(address string) bool {
	if ap, err := netip.ParseAddrPort(address); err == nil {
		return ap.Addr().IsLoopback()
	}
	ip, err := netip.ParseAddr(address)
	return err == nil && ip.IsLoopback()
}

// localNodePorts: only the iptables mode, which is the default, knows the setting, and
// for it has the kernel route packets from outside to 127.0.0.1.
func localNodePorts(c *cluster.Component, v *control.Verdict) {
	if mode, _ := flag.Text(c.Flags, "proxy-mode", "iptables"); mode != "iptables" {
		return
	}
	if on, got := flag.Bool(c.Flags, "iptables-localhost-nodeports", true); on {
		v.Broken("--iptables-localhost-nodeports", got, "false")
	}
}
