// Package environment finds containers that get secrets as environment variables.
package environment

import (
	_ "embed"
	"fmt"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed doc.md
var doc string

// Control is secret.environment.
var Control = &control.Control{
	ID:       "secret.environment",
	Title:    "Secret is passed in the environment",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.CIS("5.4.1"), control.MITRE("T1552.007")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for p := range podsec.Judged(s) {
		v := r.Pod(p)
		secret := func(name string) cluster.Ref {
			return cluster.Ref{Kind: "Secret", Namespace: p.Namespace(), Name: name}
		}
		for _, c := range p.Containers {
			for _, e := range c.Env {
				if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
					ref := e.ValueFrom.SecretKeyRef
					v.Broken(fmt.Sprintf("%s.env[%s].valueFrom.secretKeyRef", c.Path, e.Name), ref.Name+" key "+ref.Key, "a file in a volume").
						Through(secret(ref.Name))
				}
			}
			for i, e := range c.EnvFrom {
				if e.SecretRef != nil {
					v.Broken(fmt.Sprintf("%s.envFrom[%d].secretRef", c.Path, i), e.SecretRef.Name, "files in a volume").
						Because("every key becomes a variable").
						Through(secret(e.SecretRef.Name))
				}
			}
		}
	}
}
