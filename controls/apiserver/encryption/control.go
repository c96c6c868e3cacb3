// Package encryption finds API servers that keep secrets in plain text in etcd.
package encryption

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/controls/internal/flag"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is apiserver.encryption.
var Control = &control.Control{
	ID:       "apiserver.encryption",
	Title:    "Secrets are stored without encryption",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.APIServerFlags},
	Check:    check,
	Refs:     []control.Ref{control.CIS("1.2.27"), control.MITRE("T1552.001")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, c := range s.Components("kube-apiserver") {
		v := r.On(c.Ref, c.Source)

		if file, got := flag.Text(c.Flags, "encryption-provider-config", ""); file == "" {
			v.Broken("--encryption-provider-config", got, "a configuration that encrypts secrets")
		}
	}
}
