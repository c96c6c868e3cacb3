// Package lastapplied finds Secrets whose values stand in an annotation too.
package lastapplied

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is secret.lastapplied.
var Control = &control.Control{
	ID:       "secret.lastapplied",
	Title:    "Secret repeats its values in an annotation",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.Secrets},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1552.007")},
	Doc:      doc,
}

const annotation = "kubectl.kubernetes.io/last-applied-configuration"

func check(s *cluster.Snapshot, r *control.Report) {
	for o := range cluster.All[*cluster.SecretFacts](s, "Secret") {
		v := r.Object(o)
		if _, ok := o.Meta.Annotations[annotation]; ok {
			path := "metadata.annotations[" + annotation + "]"
			v.Broken(path, "set", "not set").Remove(path)
		}
	}
}
