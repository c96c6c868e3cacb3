// Package authorizationmode finds API servers that do not ask RBAC and the node authorizer.
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
	Title:    "API server does not ask RBAC and Node",
	Severity: control.Critical,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.APIServerFlags},
	Check:    check,
	Refs:     []control.Ref{control.CIS("1.2.6"), control.CIS("1.2.7"), control.CIS("1.2.8"), control.MITRE("T1078")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, c := range s.Components("kube-apiserver") {
		v := r.On(c.Ref, c.Source)

		if file := c.Flags.Get("authorization-config", ""); file != "" {
			v.Unknown("--authorization-mode", "authorizers are configured in "+file+", which was not read")
			continue
		}
		modes := c.Flags.List("authorization-mode")
		path, got := "--authorization-mode", strings.Join(modes, ",")
		if len(modes) == 0 {
			modes, got = []string{"AlwaysAllow"}, "not set, so AlwaysAllow"
		}
		switch {
		case slices.Contains(modes, "AlwaysAllow"):
			v.Broken(path, got, "Node,RBAC").Because("everybody who is known may do everything")
		case !slices.Contains(modes, "RBAC"):
			v.Broken(path, got, "Node,RBAC").Because("roles and bindings have no effect")
		case !slices.Contains(modes, "Node"):
			v.Broken(path, got, "Node,RBAC").Because("a node's rights are not limited to what runs on it")
		}
	}
}
