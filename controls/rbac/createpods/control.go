// Package createpods finds roles that run pods beyond one namespace.
package createpods

import (
	_ "embed"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/authz/grant"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is rbac.createpods.
var Control = &control.Control{
	ID:       "rbac.createpods",
	Title:    "Role runs pods in every namespace",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.RoleBindings, cluster.ClusterRoleBindings},
	With:     []cluster.Need{cluster.Roles, cluster.ClusterRoles},
	Check:    check,
	Refs: []control.Ref{
		control.CIS("5.1.4").When(createsPods),
		control.MITRE("T1610"),
	},
	Doc: doc,
}

// createsPods is true of a rule that lets pods themselves be created; changing one, or a
// workload that makes them, is as good to an attacker and more than CIS asks about.
func createsPods(f *control.Finding) bool {
	text := f.Got + f.Reason
	return strings.Contains(text, "create") && strings.Contains(text, "pods")
}

func check(s *cluster.Snapshot, r *control.Report) {
	acts := grant.Acts("", grant.Write, []string{"replicationcontrollers"})
	// A pod's image is about all of it that can be changed, and running it anew is enough.
	acts = append(acts, grant.Act{Verb: "create", Resource: "pods"}, grant.Act{Verb: "patch", Resource: "pods"}, grant.Act{Verb: "update", Resource: "pods"})
	acts = append(acts, grant.Acts("apps", grant.Write, []string{"deployments", "daemonsets", "statefulsets", "replicasets"})...)
	acts = append(acts, grant.Acts("batch", grant.Write, []string{"jobs", "cronjobs"})...)
	grant.Judge(s, r, grant.Beyond, "a RoleBinding in each namespace that needs it", acts...)
}
