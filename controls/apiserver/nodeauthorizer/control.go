// Package nodeauthorizer finds API servers that know no difference between one node and another.
package nodeauthorizer

import (
	_ "embed"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is apiserver.nodeauthorizer.
var Control = &control.Control{
	ID:       "apiserver.nodeauthorizer",
	Title:    "Nodes are not limited to what runs on them",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.APIServerFlags},
	Check:    check,
	Refs:     []control.Ref{control.CIS("1.2.7"), control.MITRE("T1078")},
	Doc:      doc,
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

		if len(modes) > 0 && !slices.Contains(modes, "AlwaysAllow") && !slices.Contains(modes, "Node") {
			v.Broken("--authorization-mode", strings.Join(modes, ","), "Node,RBAC")
		}
	}
}
