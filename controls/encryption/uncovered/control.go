// Package uncovered finds encryption configurations that do not cover secrets.
package uncovered

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is encryption.uncovered.
var Control = &control.Control{
	ID:       "encryption.uncovered",
	Title:    "Encryption leaves secrets out",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.EncryptionFile},
	Check:    check,
	Refs: []control.Ref{
		control.CIS("1.2.27").Further(),
		control.MITRE("T1552.001"),
	},
	Doc: doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, c := range s.Configs(cluster.EncryptionFile) {
		v := r.On(c.Ref, c.Source)
		if c.Encryption.Group("secrets") < 0 {
			v.Broken("resources", "nothing for secrets", "a group that names secrets")
		}
	}
}
