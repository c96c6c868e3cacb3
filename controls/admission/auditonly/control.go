// Package auditonly finds admission policies that refuse nothing.
package auditonly

import (
	_ "embed"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is admission.auditonly.
var Control = &control.Control{
	ID:       "admission.auditonly",
	Title:    "Admission policy warns and refuses nothing",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.ValidatingPolicyBindings},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1562.001")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	denied := map[string]bool{}
	for _, b := range cluster.All[*admissionv1.ValidatingAdmissionPolicyBinding](s, "ValidatingAdmissionPolicyBinding") {
		if slices.Contains(b.Spec.ValidationActions, admissionv1.Deny) {
			denied[b.Spec.PolicyName] = true
		}
	}
	for o, b := range cluster.All[*admissionv1.ValidatingAdmissionPolicyBinding](s, "ValidatingAdmissionPolicyBinding") {
		v := r.Object(o)
		if denied[b.Spec.PolicyName] {
			continue // another binding of the policy refuses; this one watches besides
		}
		var actions []string
		for _, a := range b.Spec.ValidationActions {
			actions = append(actions, string(a))
		}
		v.Broken("spec.validationActions", strings.Join(actions, ", "), "Deny")
	}
}
