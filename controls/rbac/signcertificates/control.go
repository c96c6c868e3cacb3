// Package signcertificates finds roles that sign or approve client certificates.
package signcertificates

import (
	_ "embed"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/bulwark-k8s/bulwark/internal/authz/grant"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is rbac.signcertificates.
var Control = &control.Control{
	ID:       "rbac.signcertificates",
	Title:    "Role hands out client certificates",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.RoleBindings, cluster.ClusterRoleBindings},
	With:     []cluster.Need{cluster.Roles, cluster.ClusterRoles},
	Check:    check,
	Refs:     []control.Ref{control.CIS("5.1.11"), control.MITRE("T1098")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, g := range grant.Grants(s) {
		v := r.Object(g.Object)
		bindings := slices.DeleteFunc(slices.Clone(g.Bindings), func(b *cluster.Binding) bool { return b.Namespace != "" })
		if len(bindings) == 0 {
			continue // signers and requests are in no namespace
		}
		rules := cluster.Rules(g.Role)
		for i := range rules {
			if verbs, whose := signs(&rules[i]); verbs != "" && !grant.Wild(&rules[i]) {
				g.Report(v, i, verbs+" for "+whose, "signers of serving certificates only, by name", bindings)
			}
		}
	}
}

// identities are the signers whose certificates the API server takes for users and nodes.
var identities = []string{"kubernetes.io/kube-apiserver-client", "kubernetes.io/kube-apiserver-client-kubelet", "kubernetes.io/*"}

// signs says which of approve and sign a rule allows, and for which signers of identities.
func signs(rule *rbacv1.PolicyRule) (verbs, whose string) {
	whose = "every signer"
	if len(rule.ResourceNames) > 0 {
		named := slices.DeleteFunc(slices.Clone(rule.ResourceNames), func(name string) bool { return !slices.Contains(identities, name) })
		if len(named) == 0 {
			return "", ""
		}
		whose = strings.Join(named, ", ")
	}
	unnamed := *rule
	unnamed.ResourceNames = nil
	var out []string
	for _, verb := range []string{"approve", "sign"} {
		if grant.Allows(&unnamed, grant.Act{Verb: verb, Group: "certificates.k8s.io", Resource: "signers"}) {
			out = append(out, verb)
		}
	}
	return strings.Join(out, ", "), whose
}
