// Package openabac finds rights that a file gives to everybody.
package openabac

import (
	_ "embed"
	"fmt"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is authorization.openabac.
var Control = &control.Control{
	ID:       "authorization.openabac",
	Title:    "File on the control plane gives rights to everybody",
	Severity: control.Critical,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.ABACFile},
	Check:    check,
	Refs:     []control.Ref{control.NSA("Authentication and authorization"), control.MITRE("T1078")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, c := range s.Configs(cluster.ABACFile) {
		v := r.On(c.Ref, c.Source)
		for _, p := range c.ABAC.Policies {
			if who := crowd(p); who != "" && !harmless(p) {
				v.Broken(fmt.Sprintf("line %d", p.Line), rights(p)+" for "+who, "a named user or group").
					Because("it is in no role and no binding")
			}
		}
	}
}

// crowd is the group that a policy is for, where everybody, or every pod, is in it.
func crowd(p cluster.ABACPolicy) string {
	switch {
	case p.User == "system:anonymous":
		return p.User
	case p.User != "":
		return ""
	case p.Group == "system:authenticated", p.Group == "system:unauthenticated", p.Group == "system:serviceaccounts":
		return p.Group
	}
	return ""
}

// harmless are policies that match nothing, and reading of paths that are named, as
// Kubernetes' own role system:discovery has it.
func harmless(p cluster.ABACPolicy) bool {
	return p.Resource == "" && (p.NonResourcePath == "" || p.Readonly && p.NonResourcePath != "*")
}

func rights(p cluster.ABACPolicy) string {
	verb := "everything on "
	if p.Readonly {
		verb = "reading "
	}
	switch p.Resource {
	case "":
		return verb + "the path " + p.NonResourcePath
	case "*":
		return verb + "all resources"
	}
	return verb + p.Resource
}
