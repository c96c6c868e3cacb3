// Package noclientcert finds etcd ports that answer without a client certificate.
package noclientcert

import (
	_ "embed"
	"strconv"

	"github.com/bulwark-k8s/bulwark/controls/internal/etcd"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is listener.noclientcert.
var Control = &control.Control{
	ID:       "listener.noclientcert",
	Title:    "etcd answers without a client certificate",
	Severity: control.Critical,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.Listeners},
	Check:    check,
	Refs: []control.Ref{
		control.CIS("2.2").Further(),
		control.CIS("2.5").Further(),
		control.MITRE("T1552"),
	},
	Doc: doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, m := range s.Machines() {

		metrics := metricsPorts(s, m.Name)
		for _, l := range m.Listeners {
			if l.Component != "etcd" || metrics[l.Port] {
				continue
			}
			v := r.On(cluster.ListenerRef(m.Name, l), m.Source)
			if l.Unknown != "" {
				v.Unknown("client certificate", l.Unknown)
				continue
			}

			switch {
			case l.TLS == nil:
				v.Broken("client certificate", "none", "required").Because("it answers in plain text")
			case l.TLS.ClientCert != "required":
				v.Broken("client certificate", l.TLS.ClientCert, "required")
			}

		}
	}
}

// metricsPorts are the ports on a machine on which its etcd serves metrics only.
func metricsPorts(s *cluster.Snapshot, machine string) map[int]bool {
	ports := map[int]bool{}
	for _, c := range s.Components("etcd") {
		if c.Machine != machine {
			continue
		}
		for _, u := range etcd.URLs(c, "listen-metrics-urls", "") {
			if port, err := strconv.Atoi(u.Port()); err == nil {
				ports[port] = true
			}
		}
	}
	return ports
}
