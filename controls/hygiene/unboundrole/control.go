// Package unboundrole finds roles with much power that nobody is bound to.
package unboundrole

import (
	_ "embed"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/authz"
	"github.com/bulwark-k8s/bulwark/internal/authz/grant"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is hygiene.unboundrole.
var Control = &control.Control{
	ID:       "hygiene.unboundrole",
	Title:    "Role with power waits for somebody",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.Roles, cluster.ClusterRoles},
	With:     []cluster.Need{cluster.RoleBindings, cluster.ClusterRoleBindings},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1098.006")},
	Doc:      doc,
}

var powers = slices.Concat(grant.ReadSecrets, grant.Acts("", []string{"create"}, []string{"pods", "pods/exec"}),
	grant.Acts("rbac.authorization.k8s.io", []string{"bind", "escalate"}, []string{"roles", "clusterroles"}))

func check(s *cluster.Snapshot, r *control.Report) {
	if !s.Live {
		return // files are a part of a cluster; the binding may be elsewhere
	}
	bound := map[*cluster.Object]bool{}
	for _, b := range s.Bindings() {
		bound[b.Role] = true
	}
	for _, o := range slices.Concat(s.Kind("ClusterRole"), s.Kind("Role")) {
		if authz.Default(o) || aggregated(o) {
			continue
		}
		v := r.Object(o)
		if act, ok := grant.AllowsAny(cluster.Rules(o), powers...); ok && !bound[o] {
			v.Broken("bindings", "none", "no role that nobody needs").Because("it allows %s on %s", act.Verb, act.Resource)
		}
	}
}

// aggregated reports whether the role is a part of another.
func aggregated(o *cluster.Object) bool {
	for label := range o.Meta.Labels {
		if strings.Contains(label, "/aggregate-to-") {
			return true
		}
	}
	return false
}
