// Package plainclient finds etcd members that talk to their clients in plain text.
package plainclient

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/controls/internal/etcd"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is etcd.plainclient.
var Control = &control.Control{
	ID:       "etcd.plainclient",
	Title:    "etcd talks to clients in plain text",
	Severity: control.Critical,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.EtcdFlags},
	Check:    check,
	Refs: []control.Ref{
		control.CIS("2.1").At("--cert-file"),
		control.MITRE("T1552"),
	},
	Doc: doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, c := range s.Components("etcd") {
		v := r.On(c.Ref, c.Source)

		if why := etcd.Unread(c); why != "" {
			v.Unknown("--listen-client-urls", why)
			continue
		}

		path := "--listen-client-urls"
		for _, u := range etcd.URLs(c, "listen-client-urls", "http://localhost:2379") {
			if u.Scheme == "http" {
				f := v.Broken(path, u.String(), "https")
				if etcd.Loopback(u) {
					f.Because("every process of the machine, and every pod on its network, reaches it")
				}
			}
		}
		if cert, _ := etcd.Setting(c, "cert-file"); cert == "" && !etcd.True(c, "auto-tls") {
			v.Broken("--cert-file", "not set", "a server certificate")
		}
	}
}
