// Package anonymouspaths finds authentication configurations that let anonymous requests reach more than health checks.
package anonymouspaths

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

// Control is authentication.anonymouspaths.
var Control = &control.Control{
	ID:       "authentication.anonymouspaths",
	Title:    "Anonymous requests go further than health checks",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.AuthenticationFile},
	Check:    check,
	Refs:     []control.Ref{control.CIS("1.2.1"), control.NSA("Authentication and authorization")},
	Doc:      doc,
}

// health are the paths that load balancers and kubeadm ask without a login.
var health = []string{"/healthz", "/livez", "/readyz"}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, c := range s.Configs(cluster.AuthenticationFile) {
		v := r.On(c.Ref, c.Source)
		a := c.Authentication.Anonymous
		switch {
		case a == nil || !a.Enabled:
		case len(a.Conditions) == 0:
			v.Broken("anonymous.conditions", "none", "the paths of health checks").Because("every request without a login is taken")
		default:
			for i, cond := range a.Conditions {
				if !slices.ContainsFunc(health, func(p string) bool { return cond.Path == p || strings.HasPrefix(cond.Path, p+"/") }) {
					v.Broken(fmt.Sprintf("anonymous.conditions[%d].path", i), cond.Path, strings.Join(health, ", "))
				}
			}
		}
	}
}
