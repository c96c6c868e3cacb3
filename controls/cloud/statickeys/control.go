// Package statickeys finds containers that log in to a cloud with a key that does not expire.
package statickeys

import (
	_ "embed"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is cloud.statickeys.
var Control = &control.Control{
	ID:       "cloud.statickeys",
	Title:    "Container holds a long-lived key of the cloud",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1552.001"), control.MITRE("T1078.004")},
	Doc:      doc,
}

// keys are the variables that the clouds' libraries read a lasting key from.
var keys = []string{"AWS_SECRET_ACCESS_KEY", "AZURE_CLIENT_SECRET", "AZURE_PASSWORD", "ARM_CLIENT_SECRET", "GOOGLE_CREDENTIALS"}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, p := range s.Pods() {
		v := r.Pod(p)
		for _, c := range p.Containers {
			custom := slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool {
				// Another store that speaks the same protocol has no identities to offer.
				return e.Name == "AWS_ENDPOINT_URL" || e.Name == "AWS_ENDPOINT_URL_S3" || e.Name == "S3_ENDPOINT"
			})
			for _, e := range c.Env {
				if slices.Contains(keys, e.Name) && (e.Value != "" || e.ValueFrom != nil) && !custom {
					v.Broken(fmt.Sprintf("%s.env[%s]", c.Path, e.Name), "a lasting key", "the cloud's identity for workloads")
				}
			}
		}
	}
}
