// Package controllermanager holds the controls on kube-controller-manager's flags that
// differ in little but data. Defaults are those of k8s.io/kubernetes v1.36.3.
package controllermanager

import (
	"embed"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bulwark-k8s/bulwark/controls/internal/flag"
	"github.com/bulwark-k8s/bulwark/controls/internal/table"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed */doc.md
var docs embed.FS

// Controls are the rows.
var Controls = table.Of(
	docs, cluster.ControllerManagerFlags,
	&control.Control{
		ID: "controllermanager.podgc", Title: "Finished pods are never cleared away", Severity: control.Low,
		Refs: []control.Ref{control.CIS("1.3.1"), control.MITRE("T1499")},
		Check: each(func(c *cluster.Component, v *control.Verdict) {
			// cmd/kube-controller-manager/app/options/podgccontroller.go: none at 0 or less.
			if n, got := flag.Number(c.Flags, "terminated-pod-gc-threshold", 12500); n <= 0 {
				v.Broken("--terminated-pod-gc-threshold", got, "more than 0")
			}
		}),
	},
	&control.Control{
		ID: "controllermanager.rootca", Title: "Pods are not told the API server's authority", Severity: control.Low,
		Refs: []control.Ref{control.CIS("1.3.5"), control.MITRE("T1557")},
		Check: each(func(c *cluster.Component, v *control.Verdict) {
			if file, got := flag.Text(c.Flags, "root-ca-file", ""); file == "" {
				v.Broken("--root-ca-file", got, "the authority of the API server's certificate").
					Because("pods then get what the controller manager's kubeconfig carries inside it, or nothing")
			}
		}),
	},
	&control.Control{
		ID: "controllermanager.serverrotation", Title: "Kubelets' serving certificates are not renewed", Severity: control.Low,
		Refs: []control.Ref{control.CIS("1.3.6")},
		Check: each(func(c *cluster.Component, v *control.Verdict) {
			if gate, given := flag.Gates(c.Flags, "feature-gates")["RotateKubeletServerCertificate"]; given {
				if on, err := strconv.ParseBool(gate); err == nil && !on {
					v.Broken("--feature-gates", "RotateKubeletServerCertificate="+gate, "the gate on, as it is by itself")
				}
			}
		}),
	},
	&control.Control{
		ID: "controllermanager.kcmtls", Title: "Controller manager is set to agree to weak TLS", Severity: control.Medium,
		Refs: []control.Ref{control.NSA("Transport layer security"), control.MITRE("T1040")},
		Check: each(func(c *cluster.Component, v *control.Verdict) {
			version, _ := flag.Text(c.Flags, "tls-min-version", "VersionTLS12")
			flag.WeakTLS(v, "--tls-min-version", version, "--tls-cipher-suites", c.Flags.List("tls-cipher-suites"))
		}),
	},
	&control.Control{
		ID: "controllermanager.kcmopenpaths", Title: "Controller manager serves more than health to anybody", Severity: control.Low,
		Refs: []control.Ref{control.MITRE("T1613")},
		Check: each(func(c *cluster.Component, v *control.Verdict) {
			flag.OpenPaths(v, c.Flags)
		}),
	},
	&control.Control{
		ID: "controllermanager.longcertificates", Title: "Certificates are signed for years", Severity: control.Low,
		Refs: []control.Ref{control.MITRE("T1649")},
		Check: each(func(c *cluster.Component, v *control.Verdict) {
			const year = 365 * 24 * time.Hour
			if d, got := flag.Duration(c.Flags, "cluster-signing-duration", year); d > year {
				v.Broken("--cluster-signing-duration", got, "at most 8760h")
			}
		}),
	},
	&control.Control{
		ID: "controllermanager.cleanersoff", Title: "Old tokens and certificate requests are not cleared away", Severity: control.Low,
		Refs:  []control.Ref{control.MITRE("T1528")},
		Check: each(cleaners),
	},
)

func each(judge func(*cluster.Component, *control.Verdict)) func(*cluster.Snapshot, *control.Report) {
	return table.Components("kube-controller-manager", judge)
}

// cleaners finds a controller that is on by itself and does not run. Each goes by its
// name and by its old one (cmd/kube-controller-manager/app/certificates.go, core.go).
func cleaners(c *cluster.Component, v *control.Verdict) {
	list := c.Flags.List("controllers")
	if len(list) == 0 {
		return // "*"
	}
	for _, names := range [][]string{
		{"certificatesigningrequest-cleaner-controller", "csrcleaner"},
		{"legacy-serviceaccount-token-cleaner-controller", "legacy-service-account-token-cleaner"},
	} {
		named := func(prefix string) bool {
			return slices.ContainsFunc(names, func(n string) bool { return slices.Contains(list, prefix+n) })
		}
		if named("-") || !named("") && !slices.Contains(list, "*") {
			v.Broken("--controllers", strings.Join(list, ","), "a list with "+names[0])
		}
	}
}
