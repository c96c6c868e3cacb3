// Package paramallow finds bindings whose policy passes everything without its parameters.
package paramallow

import (
	_ "embed"

	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is admission.paramallow.
var Control = &control.Control{
	ID:       "admission.paramallow",
	Title:    "Policy lets everything in when its parameters are gone",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.ValidatingPolicyBindings},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1562.001")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for o, b := range cluster.All[*admissionv1.ValidatingAdmissionPolicyBinding](s, "ValidatingAdmissionPolicyBinding") {
		v := r.Object(o)
		p := b.Spec.ParamRef
		if p == nil || p.ParameterNotFoundAction == nil || *p.ParameterNotFoundAction != admissionv1.AllowAction {
			continue
		}
		v.Broken("spec.paramRef.parameterNotFoundAction", "Allow", "Deny").
			Because("who deletes the parameters switches the policy off").Set("spec.paramRef.parameterNotFoundAction", "Deny")
	}
}
