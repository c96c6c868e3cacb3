// Package abac finds API servers that decide by attributes in a file.
package abac

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is authorization.abac.
var Control = &control.Control{
	ID:       "authorization.abac",
	Title:    "Rights stand in a file on the control plane",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.APIServerFlags, cluster.AuthorizationFile},
	Check:    check,
	Refs:     []control.Ref{control.NSA("Authentication and authorization"), control.MITRE("T1078")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, c := range s.Components("kube-apiserver") {
		v := r.On(c.Ref, c.Source)
		if modes := c.Flags.List("authorization-mode"); slices.Contains(modes, "ABAC") {
			v.Broken("--authorization-mode", strings.Join(modes, ","), "Node,RBAC").Because("rights in %s are in no role and no binding", c.Flags.Get("authorization-policy-file", "a file"))
		}
	}
	for _, c := range s.Configs(cluster.AuthorizationFile) {
		v := r.On(c.Ref, c.Source)
		for _, a := range c.Authorization.Authorizers {
			if a.Type == "ABAC" {
				v.Broken(fmt.Sprintf("authorizers[%s].type", a.Name), a.Type, "RBAC").Because("its rights are in no role and no binding")
			}
		}
	}
}
