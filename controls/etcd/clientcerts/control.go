// Package clientcerts finds etcd members that ask their clients for no certificate.
package clientcerts

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/controls/internal/etcd"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is etcd.clientcerts.
var Control = &control.Control{
	ID:       "etcd.clientcerts",
	Title:    "etcd does not ask clients for a certificate",
	Severity: control.Critical,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.EtcdFlags},
	Check:    check,
	Refs:     []control.Ref{control.CIS("2.2"), control.MITRE("T1552")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, c := range s.Components("etcd") {
		v := r.On(c.Ref, c.Source)

		if why := etcd.Unread(c); why != "" {
			v.Unknown("--client-cert-auth", why)
			continue
		}

		if !etcd.True(c, "client-cert-auth") {
			got, given := etcd.Setting(c, "client-cert-auth")
			if !given {
				got = "not set, so false"
			}
			v.Broken("--client-cert-auth", got, "true")
		}
	}
}
