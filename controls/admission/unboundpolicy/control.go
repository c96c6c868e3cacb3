// Package unboundpolicy finds admission policies that nothing applies.
package unboundpolicy

import (
	_ "embed"

	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is admission.unboundpolicy.
var Control = &control.Control{
	ID:       "admission.unboundpolicy",
	Title:    "Admission policy is applied nowhere",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.ValidatingPolicies},
	With:     []cluster.Need{cluster.ValidatingPolicyBindings},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1562.001")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	if !s.Live {
		return // files are a part of a cluster; the binding may be elsewhere
	}
	bound := map[string]bool{}
	for _, b := range cluster.All[*admissionv1.ValidatingAdmissionPolicyBinding](s, "ValidatingAdmissionPolicyBinding") {
		bound[b.Spec.PolicyName] = true
	}
	for o := range cluster.All[*admissionv1.ValidatingAdmissionPolicy](s, "ValidatingAdmissionPolicy") {
		v := r.Object(o)
		if !bound[o.Name] {
			v.Broken("bindings", "none", "a ValidatingAdmissionPolicyBinding").Because("a policy does nothing by itself")
		}
	}
}
