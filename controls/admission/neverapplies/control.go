// Package neverapplies finds admission checks with a condition that is never true, or a rule that always is.
package neverapplies

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/bulwark-k8s/bulwark/controls/internal/hook"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is admission.neverapplies.
var Control = &control.Control{
	ID:       "admission.neverapplies",
	Title:    "Condition keeps the check from ever applying",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.ValidatingPolicies, cluster.ValidatingWebhooks, cluster.MutatingWebhooks, cluster.MutatingPolicies},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1562.001")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	conditions := func(v *control.Verdict, path string, list []admissionv1.MatchCondition) {
		for _, c := range list {
			if strings.TrimSpace(c.Expression) == "false" {
				v.Broken(fmt.Sprintf("%s[%s].expression", path, c.Name), "false", "a condition that can be true").Because("all conditions must be true for the check to apply")
			}
		}
	}
	for o, p := range cluster.All[*admissionv1.ValidatingAdmissionPolicy](s, "ValidatingAdmissionPolicy") {
		v := r.Object(o)
		conditions(v, "spec.matchConditions", p.Spec.MatchConditions)
		if n := len(p.Spec.Validations); n > 0 && !slices.ContainsFunc(p.Spec.Validations, func(x admissionv1.Validation) bool { return strings.TrimSpace(x.Expression) != "true" }) {
			v.Broken("spec.validations", "true", "an expression that can be false").Because("nothing is ever refused")
		}
	}
	for o, p := range cluster.All[*admissionv1.MutatingAdmissionPolicy](s, "MutatingAdmissionPolicy") {
		conditions(r.Object(o), "spec.matchConditions", p.Spec.MatchConditions)
	}
	for o, hooks := range hook.All(s) {
		v := r.Object(o)
		for _, h := range hooks {
			conditions(v, fmt.Sprintf("webhooks[%s].matchConditions", h.Name), h.Conditions)
		}
	}
}
