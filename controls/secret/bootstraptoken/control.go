// Package bootstraptoken finds tokens that let machines join.
package bootstraptoken

import (
	_ "embed"
	"slices"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is secret.bootstraptoken.
var Control = &control.Control{
	ID:       "secret.bootstraptoken",
	Title:    "Token that joins machines is alive",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.Secrets},
	Check:    check,
	Refs: []control.Ref{
		control.CIS("3.1.3").Further(),
		control.MITRE("T1078.001"),
	},
	Doc: doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for o, secret := range cluster.All[*cluster.SecretFacts](s, "Secret") {
		v := r.Object(o)
		if secret.Type != "bootstrap.kubernetes.io/token" || o.Namespace != "kube-system" {
			continue // it counts in kube-system alone
		}
		switch {
		case !secret.KeysKnown:
			v.Broken("type", secret.Type, "none, but while a machine joins")
		case !slices.Contains(secret.Keys, "expiration"):
			v.Broken("data.expiration", "not set", "a time, or no token at all").Because("it never expires")
		case slices.Contains(secret.Keys, "usage-bootstrap-authentication"):
			v.Broken("data.usage-bootstrap-authentication", "set", "no token, but while a machine joins")
		}
	}
}
