// Package latewebhook finds authorization webhooks that are meant to refuse and stand behind RBAC.
package latewebhook

import (
	_ "embed"
	"fmt"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is authorization.latewebhook.
var Control = &control.Control{
	ID:       "authorization.latewebhook",
	Title:    "Authorizer is asked too late to refuse",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.AuthorizationFile},
	Check:    check,
	Refs:     []control.Ref{control.NSA("Authentication and authorization")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, c := range s.Configs(cluster.AuthorizationFile) {
		v := r.On(c.Ref, c.Source)
		before := ""
		for _, a := range c.Authorization.Authorizers {
			if a.Type == "RBAC" || a.Type == "ABAC" {
				before = a.Name
			}
			if a.Webhook != nil && before != "" && a.Webhook.FailurePolicy == "Deny" {
				v.Broken(fmt.Sprintf("authorizers[%s]", a.Name), "behind "+before, "a place before it").
					Because("what %s allows is allowed before the webhook is asked", before)
			}
		}
	}
}
