// Package failopen finds authorization webhooks that have no opinion when they fail.
package failopen

import (
	_ "embed"
	"fmt"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is authorization.failopen.
var Control = &control.Control{
	ID:       "authorization.failopen",
	Title:    "Authorizer that fails is passed over",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.AuthorizationFile},
	Check:    check,
	Refs:     []control.Ref{control.NSA("Authentication and authorization"), control.MITRE("T1562.001")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, c := range s.Configs(cluster.AuthorizationFile) {
		v := r.On(c.Ref, c.Source)
		for i, a := range c.Authorization.Authorizers {
			last := i == len(c.Authorization.Authorizers)-1
			if a.Webhook != nil && a.Webhook.FailurePolicy == "NoOpinion" && !last {
				v.Broken(fmt.Sprintf("authorizers[%s].webhook.failurePolicy", a.Name), "NoOpinion", "Deny").
					Because("when it does not answer, the next authorizer decides without it")
			}
		}
	}
}
