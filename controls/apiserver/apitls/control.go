// Package apitls finds API servers that are told to agree to weak TLS.
package apitls

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/controls/internal/flag"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is apiserver.apitls.
var Control = &control.Control{
	ID:       "apiserver.apitls",
	Title:    "API server is set to agree to weak TLS",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.APIServerFlags},
	Check:    check,
	Refs: []control.Ref{
		control.CIS("1.2.29").At("--tls-cipher-suites"),
		control.MITRE("T1040"),
	},
	Doc: doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, c := range s.Components("kube-apiserver") {
		v := r.On(c.Ref, c.Source)
		version, _ := flag.Text(c.Flags, "tls-min-version", "VersionTLS12")
		flag.WeakTLS(v, "--tls-min-version", version, "--tls-cipher-suites", c.Flags.List("tls-cipher-suites"))
	}
}
