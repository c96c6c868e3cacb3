// Package longcache finds authorization webhooks whose answers are kept for long.
package longcache

import (
	_ "embed"
	"fmt"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is authorization.longcache.
var Control = &control.Control{
	ID:       "authorization.longcache",
	Title:    "Rights live on after they are taken away",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.AuthorizationFile},
	Check:    check,
	Refs:     []control.Ref{control.NSA("Authentication and authorization")},
	Doc:      doc,
}

// usual is what the API server does without being told.
const usual = 5 * time.Minute

func check(s *cluster.Snapshot, r *control.Report) {
	for _, c := range s.Configs(cluster.AuthorizationFile) {
		v := r.On(c.Ref, c.Source)
		for _, a := range c.Authorization.Authorizers {
			if a.Webhook == nil || a.Webhook.CacheAuthorizedRequests != nil && !*a.Webhook.CacheAuthorizedRequests {
				continue
			}
			if ttl := a.Webhook.AuthorizedTTL.Duration; ttl > usual {
				v.Broken(fmt.Sprintf("authorizers[%s].webhook.authorizedTTL", a.Name), ttl.String(), "at most "+usual.String())
			}
		}
	}
}
