// Package datadir finds etcd data that others than etcd can read.
package datadir

import (
	_ "embed"
	"fmt"

	"github.com/bulwark-k8s/bulwark/controls/internal/machine"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is file.datadir.
var Control = &control.Control{
	ID:       "file.datadir",
	Title:    "etcd data is open to others",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.HostFiles},
	Check:    check,
	Refs:     []control.Ref{control.CIS("1.1.11"), control.MITRE("T1005")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, m := range s.Machines() {
		for _, f := range m.Files {
			if f.Role != cluster.DataDir {
				continue
			}
			v := r.On(cluster.FileRef(m.Name, f.Path), m.Source)
			if machine.Open(f) {
				v.Broken("mode", fmt.Sprintf("%04o", f.Mode), "0700")
			}
		}
	}
}
