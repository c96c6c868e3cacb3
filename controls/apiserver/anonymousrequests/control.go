// Package anonymousrequests finds API servers that take requests from nobody.
package anonymousrequests

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/controls/internal/flag"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is apiserver.anonymousrequests.
var Control = &control.Control{
	ID:       "apiserver.anonymousrequests",
	Title:    "API server takes anonymous requests",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.APIServerFlags},
	Check:    check,
	Refs:     []control.Ref{control.CIS("1.2.1"), control.NSA("Authentication and authorization")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, c := range s.Components("kube-apiserver") {
		v := r.On(c.Ref, c.Source)
		// An AuthenticationConfiguration may limit anonymous requests to health
		// checks; the flag must then be absent (k8s.io/apiserver/pkg/server/options).
		if file := c.Flags.Get("authentication-config", ""); file != "" {
			if _, given := c.Flags.Lookup("anonymous-auth"); !given || c.Flags.Complete {
				config, _ := s.ConfigOf(c, cluster.AuthenticationFile)
				switch {
				case config == nil:
					v.Unknown("--anonymous-auth", "anonymous requests are governed by "+file+", which was not read")
					continue
				case config.Authentication.Anonymous != nil:
					continue // authentication.anonymouspaths judges what it says
				}
			}
		}
		if on, got := flag.Bool(c.Flags, "anonymous-auth", true); on {
			v.Broken("--anonymous-auth", got, "false")
		}
	}
}
