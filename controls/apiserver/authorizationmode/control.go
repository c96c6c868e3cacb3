// Package authorizationmode finds API servers that let everybody do everything, or ask somebody else than RBAC.
package authorizationmode

import (
	_ "embed"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is apiserver.authorizationmode.
var Control = &control.Control{
	ID:       "apiserver.authorizationmode",
	Title:    "API server does not ask RBAC",
	Severity: control.Critical,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.APIServerFlags},
	Check:    check,
	Refs: []control.Ref{
		control.CIS("1.2.6").When(func(f *control.Finding) bool { return strings.Contains(f.Got, "AlwaysAllow") }),
		control.CIS("1.2.7").When(func(f *control.Finding) bool { return !strings.Contains(f.Got, "Node") }),
		control.CIS("1.2.8").When(func(f *control.Finding) bool { return !strings.Contains(f.Got, "RBAC") }),
		control.MITRE("T1078"),
	},
	Doc: doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, c := range s.Components("kube-apiserver") {
		v := r.On(c.Ref, c.Source)

		if file := c.Flags.Get("authorization-config", ""); file != "" {
			if config, _ := s.ConfigOf(c, cluster.AuthorizationFile); config != nil {
				continue // authorization.filemodes judges what it says
			}
			v.Unknown("--authorization-mode", "authorizers are configured in "+file+", which was not read")
			continue
		}
		modes := c.Flags.List("authorization-mode")

		switch {
		case len(modes) == 0:
			v.Broken("--authorization-mode", "not set, so AlwaysAllow", "Node,RBAC").Because("everybody who is known may do everything")
		case slices.Contains(modes, "AlwaysAllow"):
			v.Broken("--authorization-mode", strings.Join(modes, ","), "Node,RBAC").Because("everybody who is known may do everything")
		case !slices.Contains(modes, "RBAC"):
			v.Broken("--authorization-mode", strings.Join(modes, ","), "Node,RBAC").Because("roles and bindings have no effect")
		}
	}
}
