// Package scheduler holds the controls on kube-scheduler's flags that differ in little
// but data. Defaults are those of k8s.io/kubernetes v1.36.3. What these flags say, its
// configuration file cannot.
package scheduler

import (
	"embed"
	"net/netip"

	"github.com/bulwark-k8s/bulwark/controls/internal/flag"
	"github.com/bulwark-k8s/bulwark/controls/internal/table"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed */doc.md
var docs embed.FS

// Controls are the rows.
var Controls = table.Of(
	docs, cluster.SchedulerFlags,
	&control.Control{
		ID: "scheduler.schedulerbind", Title: "Scheduler listens on the network", Severity: control.Low,
		Refs: []control.Ref{control.CIS("1.4.2")},
		Check: each(func(c *cluster.Component, v *control.Verdict) {
			address, got := flag.Text(c.Flags, "bind-address", "0.0.0.0")
			if ip, err := netip.ParseAddr(address); err != nil || !ip.IsLoopback() {
				v.Broken("--bind-address", got, "127.0.0.1")
			}
		}),
	},
	&control.Control{
		ID: "scheduler.schedulertls", Title: "Scheduler is set to agree to weak TLS", Severity: control.Medium,
		Refs: []control.Ref{control.NSA("Transport layer security"), control.MITRE("T1040")},
		Check: each(func(c *cluster.Component, v *control.Verdict) {
			version, _ := flag.Text(c.Flags, "tls-min-version", "VersionTLS12")
			flag.WeakTLS(v, "--tls-min-version", version, "--tls-cipher-suites", c.Flags.List("tls-cipher-suites"))
		}),
	},
	&control.Control{
		ID: "scheduler.scheduleropenpaths", Title: "Scheduler serves more than health to anybody", Severity: control.Low,
		Refs: []control.Ref{control.MITRE("T1613")},
		Check: each(func(c *cluster.Component, v *control.Verdict) {
			flag.OpenPaths(v, c.Flags)
		}),
	},
)

func each(judge func(*cluster.Component, *control.Verdict)) func(*cluster.Snapshot, *control.Report) {
	return table.Components("kube-scheduler", judge)
}
