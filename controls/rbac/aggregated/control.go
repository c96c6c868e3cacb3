// Package aggregated finds roles that slip rights into view, edit and admin.
package aggregated

import (
	_ "embed"
	"slices"

	"github.com/bulwark-k8s/bulwark/internal/authz"
	"github.com/bulwark-k8s/bulwark/internal/authz/grant"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is rbac.aggregated.
var Control = &control.Control{
	ID:       "rbac.aggregated",
	Title:    "Role adds to what view or edit give away",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.ClusterRoles},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1098.006")},
	Doc:      doc,
}

// A level is one of the roles for people, by the label that adds a role's rules to it.
type level struct {
	label, role string
	beyond      []grant.Act
}

// levels say what each role is not to have. Labels of view reach edit and admin too, as
// edit is made of view's rules, so the first that fits is named.
var levels = []level{
	{"rbac.authorization.k8s.io/aggregate-to-view", "view", slices.Concat(grant.ReadSecrets, running, leading)},
	{"rbac.authorization.k8s.io/aggregate-to-edit", "edit", leading},
	{"rbac.authorization.k8s.io/aggregate-to-admin", "admin", leading},
}

// running are the acts that put code of one's own into the namespace.
var running = slices.Concat(
	grant.Acts("", []string{"create"}, []string{"pods", "pods/exec", "pods/attach", "serviceaccounts/token"}),
	grant.Acts("apps", grant.Write, []string{"deployments", "daemonsets", "statefulsets"}),
	grant.Acts("batch", grant.Write, []string{"jobs", "cronjobs"}),
)

// leading are the acts that lead out of the namespace.
var leading = slices.Concat(
	grant.Acts("rbac.authorization.k8s.io", []string{"escalate", "bind"}, []string{"roles", "clusterroles"}),
	grant.Acts("", []string{"impersonate"}, []string{"users", "groups"}),
	grant.Acts("", []string{"update", "patch"}, []string{"namespaces"}),
	grant.Acts("discovery.k8s.io", grant.Write, []string{"endpointslices"}),
)

func check(s *cluster.Snapshot, r *control.Report) {
	for _, role := range s.Kind("ClusterRole") {
		if authz.Default(role) {
			continue
		}
		v := r.Object(role)
		for _, l := range levels {
			if role.Meta.Labels[l.label] != "true" {
				continue
			}
			if act, ok := grant.AllowsAny(cluster.Rules(role), l.beyond...); ok {
				v.Broken("metadata.labels["+l.label+"]", "true", "not set").
					Because("everybody with the role %s may %s %s", l.role, act.Verb, act.Resource).
					Remove("metadata.labels[" + l.label + "]")
				break
			}
		}
	}
}
