// Package peercerts finds etcd members that let anybody join their conversation.
package peercerts

import (
	_ "embed"
	"net/url"
	"slices"

	"github.com/bulwark-k8s/bulwark/controls/internal/etcd"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is etcd.peercerts.
var Control = &control.Control{
	ID:       "etcd.peercerts",
	Title:    "etcd does not ask its peers for a certificate",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.EtcdFlags},
	Check:    check,
	Refs: []control.Ref{
		control.CIS("2.5").At("--peer-client-cert-auth"),
		control.MITRE("T1552"),
	},
	Doc: doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, c := range s.Components("etcd") {
		v := r.On(c.Ref, c.Source)

		if why := etcd.Unread(c); why != "" {
			v.Unknown("--peer-client-cert-auth", why)
			continue
		}

		peers := etcd.URLs(c, "listen-peer-urls", "http://localhost:2380")
		if !slices.ContainsFunc(peers, func(u *url.URL) bool { return !etcd.Loopback(u) }) {
			continue // a member alone, which nobody else reaches
		}
		for _, u := range peers {
			if u.Scheme == "http" && !etcd.Loopback(u) {
				v.Broken("--listen-peer-urls", u.String(), "https")
			}
		}
		if !etcd.True(c, "peer-client-cert-auth") {
			got, given := etcd.Setting(c, "peer-client-cert-auth")
			if !given {
				got = "not set, so false"
			}
			v.Broken("--peer-client-cert-auth", got, "true")
		}
	}
}
