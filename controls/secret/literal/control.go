// Package literal finds credentials that stand in a pod spec.
package literal

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/credential"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed doc.md
var doc string

// Control is secret.literal.
var Control = &control.Control{
	ID:       "secret.literal",
	Title:    "Credential stands in the pod spec",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs: []control.Ref{
		control.CIS("5.4.1").Further(),
		control.MITRE("T1552.001"),
	},
	Doc: doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for p := range podsec.Judged(s) {
		v := r.Pod(p)
		for _, c := range p.Containers {
			for _, e := range c.Env {
				path := func() string { return c.Path + ".env[" + e.Name + "].value" }
				switch {
				case credential.InURL(e.Value):
					v.Broken(path(), "an address with a password in it", "a reference to a Secret")
				case credential.Shaped(e.Value):
					v.Broken(path(), "a literal value", "a reference to a Secret").Because("it has the form of an issuer's credential")
				case credential.Named(e.Name) && credential.Literal(e.Value):
					v.Broken(path(), "a literal value", "a reference to a Secret").Because("the name promises a credential")
				}
			}
		}
	}
}
