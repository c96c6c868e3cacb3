// Package ephemeralgap finds admission checks on pods that ephemeral containers go past.
package ephemeralgap

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

// Control is admission.ephemeralgap.
var Control = &control.Control{
	ID:       "admission.ephemeralgap",
	Title:    "Check on pods does not see debuggers",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.ValidatingWebhooks, cluster.ValidatingPolicies},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1609"), control.MITRE("T1562.001")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for o, hooks := range hook.All(s) {
		if len(hooks) == 0 || hooks[0].Mutating {
			continue
		}
		v := r.Object(o)
		for _, h := range hooks {
			if gap(h.Rules) {
				v.Broken(fmt.Sprintf("webhooks[%s].rules", h.Name), "pods", "pods and pods/ephemeralcontainers")
			}
		}
	}
	for o, p := range cluster.All[*admissionv1.ValidatingAdmissionPolicy](s, "ValidatingAdmissionPolicy") {
		v := r.Object(o)
		if p.Spec.MatchConstraints == nil {
			continue
		}
		var rules []admissionv1.RuleWithOperations
		for _, rule := range p.Spec.MatchConstraints.ResourceRules {
			rules = append(rules, rule.RuleWithOperations)
		}
		if gap(rules) && containers(p) {
			v.Broken("spec.matchConstraints.resourceRules", "pods", "pods and pods/ephemeralcontainers").Because("its expressions judge containers")
		}
	}
}

// containers reports whether a policy looks at containers at all.
func containers(p *admissionv1.ValidatingAdmissionPolicy) bool {
	looks := func(text string) bool { return strings.Contains(text, "ontainers") }
	return slices.ContainsFunc(p.Spec.Validations, func(v admissionv1.Validation) bool { return looks(v.Expression) }) ||
		slices.ContainsFunc(p.Spec.Variables, func(v admissionv1.Variable) bool { return looks(v.Expression) })
}

// gap reports whether rules judge the making of pods and not what is put into them later.
func gap(rules []admissionv1.RuleWithOperations) bool {
	var pods, later bool
	for _, rule := range rules {
		if !slices.Contains(rule.APIGroups, "") && !slices.Contains(rule.APIGroups, "*") {
			continue
		}
		creates := slices.Contains(rule.Operations, admissionv1.Create) || slices.Contains(rule.Operations, admissionv1.OperationAll)
		updates := slices.Contains(rule.Operations, admissionv1.Update) || slices.Contains(rule.Operations, admissionv1.OperationAll)
		for _, res := range rule.Resources {
			pods = pods || creates && (res == "pods" || res == "*")
			switch res {
			case "pods/ephemeralcontainers", "pods/*", "*/*", "*/ephemeralcontainers":
				later = later || updates
			}
		}
	}
	return pods && !later
}
