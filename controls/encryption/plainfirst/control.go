// Package plainfirst finds encryption configurations whose first provider for secrets is identity.
package plainfirst

import (
	_ "embed"
	"fmt"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is encryption.plainfirst.
var Control = &control.Control{
	ID:       "encryption.plainfirst",
	Title:    "Secrets are written in plain text despite encryption",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.EncryptionFile},
	Check:    check,
	Refs:     []control.Ref{control.CIS("1.2.28"), control.MITRE("T1552.001")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, c := range s.Configs(cluster.EncryptionFile) {
		v := r.On(c.Ref, c.Source)
		i := c.Encryption.Group("secrets")
		if i < 0 || len(c.Encryption.Resources[i].Providers) == 0 {
			continue // encryption.uncovered
		}
		if c.Encryption.Resources[i].Providers[0].Kind() == "identity" {
			v.Broken(fmt.Sprintf("resources[%d].providers[0]", i), "identity", "a provider that encrypts").
				Because("the first provider writes, the others only read")
		}
	}
}
