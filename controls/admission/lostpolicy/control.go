// Package lostpolicy finds bindings of admission policies that do not exist.
package lostpolicy

import (
	_ "embed"

	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is admission.lostpolicy.
var Control = &control.Control{
	ID:       "admission.lostpolicy",
	Title:    "Binding applies a policy that does not exist",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.ValidatingPolicyBindings, cluster.MutatingPolicyBindings},
	With:     []cluster.Need{cluster.ValidatingPolicies, cluster.MutatingPolicies},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1562.001")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	if !s.Live {
		return // files are a part of a cluster; the policy may be elsewhere
	}
	judge := func(o *cluster.Object, kind, name string) {
		v := r.Object(o)
		if s.Get(cluster.Ref{Kind: kind, Name: name}) == nil {
			v.Broken("spec.policyName", name, "a "+kind+" that exists").Because("what it was to refuse passes")
		}
	}
	for o, b := range cluster.All[*admissionv1.ValidatingAdmissionPolicyBinding](s, "ValidatingAdmissionPolicyBinding") {
		judge(o, "ValidatingAdmissionPolicy", b.Spec.PolicyName)
	}
	for o, b := range cluster.All[*admissionv1.MutatingAdmissionPolicyBinding](s, "MutatingAdmissionPolicyBinding") {
		judge(o, "MutatingAdmissionPolicy", b.Spec.PolicyName)
	}
}
