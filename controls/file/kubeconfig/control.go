// Package kubeconfig finds kubeconfigs that others than their user can read.
package kubeconfig

import (
	_ "embed"
	"fmt"

	"github.com/bulwark-k8s/bulwark/controls/internal/machine"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is file.kubeconfig.
var Control = &control.Control{
	ID:       "file.kubeconfig",
	Title:    "Component's kubeconfig is readable by others",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.HostFiles},
	Check:    check,
	Refs: []control.Ref{
		control.CIS("1.1.13").On("*admin.conf").At("mode"),
		control.CIS("1.1.14").On("*admin.conf").At("owner"),
		control.CIS("1.1.15").On("scheduler.conf").At("mode"),
		control.CIS("1.1.16").On("scheduler.conf").At("owner"),
		control.CIS("1.1.17").On("controller-manager.conf").At("mode"),
		control.CIS("1.1.18").On("controller-manager.conf").At("owner"),
		control.CIS("4.1.3").On("kube-proxy*").At("mode"),
		control.CIS("4.1.4").On("kube-proxy*").At("owner"),
		control.CIS("4.1.5").On("kubelet*.conf").At("mode"),
		control.CIS("4.1.6").On("kubelet*.conf").At("owner"),
		control.MITRE("T1552.001"),
	},
	Doc: doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, m := range s.Machines() {
		for _, f := range m.Files {
			if f.Role != cluster.Kubeconfig {
				continue
			}
			v := r.On(cluster.FileRef(m.Name, f.Path), m.Source)
			if machine.Open(f) {
				v.Broken("mode", fmt.Sprintf("%04o", f.Mode), "0600")
			}
			if who := machine.Stranger(m, f); who != "" {
				v.Broken("owner", who, "root")
			}
		}
	}
}
