// Package listener holds the controls on open ports that differ in little but data.
package listener

import (
	"embed"

	"github.com/bulwark-k8s/bulwark/controls/internal/table"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed */doc.md
var docs embed.FS

// Controls are the rows.
var Controls = table.Of(
	docs, cluster.Listeners,
	&control.Control{
		ID: "listener.runtimeport", Title: "Container runtime listens on the network", Severity: control.Critical,
		Refs:  []control.Ref{control.MITRE("T1609"), control.MITRE("T1133")},
		Check: each(runtimePort, "containerd", "crio", "dockerd"),
	},
	&control.Control{
		ID: "listener.selfsigned", Title: "Component serves a certificate that nobody signed", Severity: control.Low,
		Refs:  []control.Ref{control.NSA("Transport layer security"), control.MITRE("T1557")},
		Check: each(selfSigned, "kube-apiserver", "etcd", "kube-controller-manager", "kube-scheduler"),
	},
)

// each judges every port of some components.
func each(judge func(cluster.Listener, *control.Verdict), components ...string) func(*cluster.Snapshot, *control.Report) {
	return func(s *cluster.Snapshot, r *control.Report) {
		for _, m := range s.Machines() {
			for _, l := range m.Listeners {
				for _, name := range components {
					if l.Component == name {
						judge(l, r.On(cluster.ListenerRef(m.Name, l), m.Source))
					}
				}
			}
		}
	}
}

// runtimePort: with a certificate asked for, Docker's port is as its own documentation
// wants it.
func runtimePort(l cluster.Listener, v *control.Verdict) {
	switch {
	case l.Loopback():
	case l.Unknown != "":
		v.Unknown("TLS", l.Unknown)
	case l.TLS == nil:
		v.Broken("client certificate", "none", "a socket of the machine").Because("it answers in plain text: who reaches it is root on the machine")
	case l.TLS.ClientCert != "required":
		v.Broken("client certificate", l.TLS.ClientCert, "required").Because("who reaches it is root on the machine")
	}
}

func selfSigned(l cluster.Listener, v *control.Verdict) {
	switch {
	case l.Unknown != "":
		v.Unknown("certificate", l.Unknown)
	case l.TLS != nil && l.TLS.SelfSigned:
		v.Broken("certificate", "signed by itself", "one of the cluster's authority")
	}
}
