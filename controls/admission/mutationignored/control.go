// Package mutationignored finds mutating admission policies whose failure changes nothing.
package mutationignored

import (
	_ "embed"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is admission.mutationignored.
var Control = &control.Control{
	ID:       "admission.mutationignored",
	Title:    "Mutating policy is left out when it fails",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.MutatingPolicies},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1562.001")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for o, p := range cluster.All[*admissionv1.MutatingAdmissionPolicy](s, "MutatingAdmissionPolicy") {
		v := r.Object(o)
		if p.Spec.FailurePolicy != nil && *p.Spec.FailurePolicy == admissionv1.Ignore && pods(p.Spec.MatchConstraints) {
			v.Broken("spec.failurePolicy", "Ignore", "Fail").Because("it changes pods").Set("spec.failurePolicy", "Fail")
		}
	}
}

func pods(m *admissionv1.MatchResources) bool {
	return m != nil && slices.ContainsFunc(m.ResourceRules, func(rule admissionv1.NamedRuleWithOperations) bool {
		return slices.ContainsFunc(rule.Resources, func(res string) bool { return res == "pods" || res == "*" || res == "*/*" || res == "pods/*" })
	})
}
