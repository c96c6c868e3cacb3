// Package apitls finds API servers that are told to agree to weak TLS.
package apitls

import (
	"crypto/tls"
	_ "embed"
	"strings"

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
	Refs:     []control.Ref{control.CIS("1.2.29"), control.MITRE("T1040")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, c := range s.Components("kube-apiserver") {
		v := r.On(c.Ref, c.Source)

		version, _ := flag.Text(c.Flags, "tls-min-version", "VersionTLS12")
		if version == "VersionTLS10" || version == "VersionTLS11" {
			v.Broken("--tls-min-version", version, "VersionTLS12 or later")
		}
		if version == "VersionTLS13" {
			continue // its suites are fixed, and the flag for the others has no effect
		}
		var weak []string
		for _, suite := range c.Flags.List("tls-cipher-suites") {
			if insecure[suite] {
				weak = append(weak, suite)
			}
		}
		if len(weak) > 0 {
			v.Broken("--tls-cipher-suites", strings.Join(weak, ", "), "only suites with forward secrecy and authenticated encryption")
		}
	}
}

// insecure are the suites that Go itself lists as such.
var insecure = func() map[string]bool {
	names := map[string]bool{}
	for _, s := range tls.InsecureCipherSuites() {
		names[s.Name] = true
	}
	return names
}()
