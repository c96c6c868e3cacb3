// Package privatekey finds private keys that others than their owner can read.
package privatekey

import (
	_ "embed"
	"fmt"

	"github.com/bulwark-k8s/bulwark/controls/internal/machine"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is file.privatekey.
var Control = &control.Control{
	ID:       "file.privatekey",
	Title:    "Private key is readable by others",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.HostFiles},
	Check:    check,
	Refs: []control.Ref{
		control.CIS("1.1.19").On("*.key").At("owner"),
		control.CIS("1.1.21").On("*.key").At("mode"),
		control.MITRE("T1552.004"),
	},
	Doc: doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, m := range s.Machines() {
		for _, f := range m.Files {
			if f.Role != cluster.PrivateKey {
				continue
			}
			v := r.On(cluster.FileRef(m.Name, f.Path), m.Source)
			if machine.Open(f) {
				v.Broken("mode", fmt.Sprintf("%04o", f.Mode), "0600").Because("%s uses it", f.UsedBy)
			}
			if who := machine.Stranger(m, f); who != "" {
				v.Broken("owner", who, "root")
			}
		}
	}
}
