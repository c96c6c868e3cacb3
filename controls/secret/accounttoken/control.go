// Package accounttoken finds Secrets with tokens that never expire.
package accounttoken

import (
	_ "embed"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is secret.accounttoken.
var Control = &control.Control{
	ID:       "secret.accounttoken",
	Title:    "Token of a service account never expires",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.Secrets},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1528"), control.MITRE("T1552.007")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for o, secret := range cluster.All[*cluster.SecretFacts](s, "Secret") {
		v := r.Object(o)
		if secret.Type == string(corev1.SecretTypeServiceAccountToken) {
			v.Broken("type", secret.Type, "tokens that expire, by the TokenRequest API").
				Because("it is serviceaccount %s/%s for ever", o.Namespace, o.Meta.Annotations[corev1.ServiceAccountNameKey])
		}
	}
}
