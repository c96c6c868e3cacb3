// Package inconfigmap finds ConfigMaps that seem to hold credentials.
package inconfigmap

import (
	_ "embed"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/credential"
)

//go:embed doc.md
var doc string

// Control is secret.inconfigmap.
var Control = &control.Control{
	ID:       "secret.inconfigmap",
	Title:    "ConfigMap seems to hold a credential",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.ConfigMaps},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1552.007")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for o, cm := range cluster.All[*cluster.ConfigMapFacts](s, "ConfigMap") {
		v := r.Object(o)
		for _, key := range cm.Keys {
			if credential.Named(key) || strings.HasSuffix(key, ".key") {
				v.Broken("data["+key+"]", "named like a credential", "a key of a Secret")
			}
		}
	}
}
