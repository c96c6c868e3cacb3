// Package storedplain finds objects that are still in plain text in etcd although encryption is configured.
package storedplain

import (
	_ "embed"
	"fmt"
	"slices"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is encryption.storedplain.
var Control = &control.Control{
	ID:       "encryption.storedplain",
	Title:    "Objects from before encryption are in plain text in etcd",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.EncryptionFile},
	With:     []cluster.Need{cluster.StoredObjects},
	Check:    check,
	Refs:     []control.Ref{control.CIS("1.2.27").Further(), control.MITRE("T1552.001")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	stored := map[string]cluster.Stored{}
	for _, m := range s.Machines() {
		for _, one := range m.Stored {
			if have, ok := stored[one.Resource]; !ok || one.Plain > have.Plain {
				stored[one.Resource] = one
			}
		}
	}
	for _, c := range s.Configs(cluster.EncryptionFile) {
		encrypted := c.Encryption.Encrypted()
		if len(encrypted) == 0 {
			continue // encryption.plainfirst, encryption.uncovered
		}
		v := r.On(c.Ref, c.Source)
		slices.Sort(encrypted)
		for _, resource := range encrypted {
			path := fmt.Sprintf("resources[%d]", c.Encryption.Group(resource))
			switch n, ok := stored[resource]; {
			case !ok:
				v.Unknown(path, "how "+resource+" are stored was not asked of etcd")
			case n.Plain > 0:
				v.Broken(path, fmt.Sprintf("%d of %d %s in plain text", n.Plain, n.Objects, resource), "none").
					Because("only what is written after encryption was turned on is encrypted")
			}
		}
	}
}
