// Package secretconfig finds configurations with keys or tokens that others can read.
package secretconfig

import (
	_ "embed"
	"fmt"

	"github.com/bulwark-k8s/bulwark/controls/internal/machine"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is file.secretconfig.
var Control = &control.Control{
	ID:       "file.secretconfig",
	Title:    "Configuration with keys is readable by others",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.HostFiles},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1552.001")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, m := range s.Machines() {
		for _, f := range m.Files {
			if f.Role != cluster.SecretConfig {
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
