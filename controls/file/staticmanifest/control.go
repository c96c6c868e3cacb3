// Package staticmanifest finds static pods that others than root can read or write.
package staticmanifest

import (
	_ "embed"
	"fmt"

	"github.com/bulwark-k8s/bulwark/controls/internal/machine"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is file.staticmanifest.
var Control = &control.Control{
	ID:       "file.staticmanifest",
	Title:    "Static pod is open to others",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.HostFiles},
	Check:    check,
	Refs: []control.Ref{
		control.CIS("1.1.1").On("kube-apiserver.yaml").At("mode"),
		control.CIS("1.1.2").On("kube-apiserver.yaml").At("owner"),
		control.CIS("1.1.3").On("kube-controller-manager.yaml").At("mode"),
		control.CIS("1.1.4").On("kube-controller-manager.yaml").At("owner"),
		control.CIS("1.1.5").On("kube-scheduler.yaml").At("mode"),
		control.CIS("1.1.6").On("kube-scheduler.yaml").At("owner"),
		control.CIS("1.1.7").On("etcd.yaml").At("mode"),
		control.CIS("1.1.8").On("etcd.yaml").At("owner"),
		control.MITRE("T1053.007"),
	},
	Doc: doc,
}

func what(f cluster.File) string {
	if f.Mode&0o022 != 0 {
		return "who writes it runs as root on the node"
	}
	return "it shows the component's flags"
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, m := range s.Machines() {
		for _, f := range m.Files {
			if f.Role != cluster.StaticPod {
				continue
			}
			v := r.On(cluster.FileRef(m.Name, f.Path), m.Source)
			if machine.Open(f) {
				v.Broken("mode", fmt.Sprintf("%04o", f.Mode), "0600").Because("%s", what(f))
			}
			if who := machine.Stranger(m, f); who != "" {
				v.Broken("owner", who, "root")
			}
		}
	}
}
