// Package plainlistener finds components that answer in plain text on the network.
package plainlistener

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/controls/internal/machine"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is listener.plainlistener.
var Control = &control.Control{
	ID:       "listener.plainlistener",
	Title:    "Component answers in plain text",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.Listeners},
	Check:    check,
	Refs:     []control.Ref{control.NSA("Transport layer security"), control.MITRE("T1040")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, m := range s.Machines() {
		for _, l := range m.Listeners {
			if !machine.Guards(l) {
				continue
			}
			v := r.On(cluster.ListenerRef(m.Name, l), m.Source)
			if l.Unknown != "" {
				v.Unknown("TLS", l.Unknown)
				continue
			}

			if l.TLS == nil && !l.Loopback() {
				v.Broken("TLS", "none", "TLS, or an address on loopback")
			}

		}
	}
}
