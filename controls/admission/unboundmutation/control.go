// Package unboundmutation finds mutating admission policies that no binding applies.
package unboundmutation

import (
	_ "embed"

	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is admission.unboundmutation.
var Control = &control.Control{
	ID:       "admission.unboundmutation",
	Title:    "Mutating policy is applied nowhere",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.MutatingPolicies},
	With:     []cluster.Need{cluster.MutatingPolicyBindings},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1562.001")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	if !s.Live {
		return // files are a part of a cluster; the binding may be elsewhere
	}
	bound := map[string]bool{}
	for _, b := range cluster.All[*admissionv1.MutatingAdmissionPolicyBinding](s, "MutatingAdmissionPolicyBinding") {
		bound[b.Spec.PolicyName] = true
	}
	for o := range cluster.All[*admissionv1.MutatingAdmissionPolicy](s, "MutatingAdmissionPolicy") {
		v := r.Object(o)
		if !bound[o.Name] {
			v.Broken("bindings", "none", "a MutatingAdmissionPolicyBinding").Because("a policy does nothing by itself")
		}
	}
}
