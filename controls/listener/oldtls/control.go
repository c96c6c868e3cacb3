// Package oldtls finds components that agree to old TLS.
package oldtls

import (
	_ "embed"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/controls/internal/machine"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is listener.oldtls.
var Control = &control.Control{
	ID:       "listener.oldtls",
	Title:    "Component agrees to old TLS",
	Severity: control.Medium,
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

			if l.TLS == nil {
				continue // listener.plainlistener says so
			}
			old := slices.DeleteFunc(slices.Clone(l.TLS.Versions), func(v string) bool { return v == "TLS 1.2" || v == "TLS 1.3" })
			if len(old) > 0 {
				v.Broken("versions", strings.Join(l.TLS.Versions, ", "), "TLS 1.2 and 1.3")
			}
			if len(l.TLS.WeakCiphers) > 0 {
				v.Broken("cipher suites", strings.Join(l.TLS.WeakCiphers, ", "), "only suites with forward secrecy and authenticated encryption")
			}

		}
	}
}
