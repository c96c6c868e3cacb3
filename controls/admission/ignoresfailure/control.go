// Package ignoresfailure finds admission checks that let everything in when they fail.
package ignoresfailure

import (
	_ "embed"
	"fmt"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is admission.ignoresfailure.
var Control = &control.Control{
	ID:       "admission.ignoresfailure",
	Title:    "Admission check lets everything in when it fails",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.ValidatingWebhooks, cluster.ValidatingPolicies},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1562.001")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for o, c := range cluster.All[*admissionv1.ValidatingWebhookConfiguration](s, "ValidatingWebhookConfiguration") {
		v := r.Object(o)
		for _, w := range c.Webhooks {
			if w.FailurePolicy != nil && *w.FailurePolicy == admissionv1.Ignore && guards(w.Rules) {
				v.Broken(fmt.Sprintf("webhooks[%s].failurePolicy", w.Name), "Ignore", "Fail").Because("it judges pods or rights")
			}
		}
	}
	for o, p := range cluster.All[*admissionv1.ValidatingAdmissionPolicy](s, "ValidatingAdmissionPolicy") {
		v := r.Object(o)
		if p.Spec.FailurePolicy != nil && *p.Spec.FailurePolicy == admissionv1.Ignore {
			v.Broken("spec.failurePolicy", "Ignore", "Fail")
		}
	}
}

// guarded are what an attacker would make: pods, what makes pods, and rights.
var guarded = map[string][]string{
	"":                          {"pods", "pods/*", "*", "*/*", "pods/exec", "pods/ephemeralcontainers"},
	"apps":                      {"deployments", "daemonsets", "statefulsets", "*", "*/*"},
	"rbac.authorization.k8s.io": {"roles", "clusterroles", "rolebindings", "clusterrolebindings", "*", "*/*"},
}

// guards reports whether a webhook judges the making of such things. One that only looks
// after its operator's own kinds guards nothing else.
func guards(rules []admissionv1.RuleWithOperations) bool {
	return slices.ContainsFunc(rules, func(rule admissionv1.RuleWithOperations) bool {
		for group, resources := range guarded {
			if !slices.Contains(rule.APIGroups, group) && !slices.Contains(rule.APIGroups, "*") {
				continue
			}
			if slices.ContainsFunc(rule.Resources, func(res string) bool { return slices.Contains(resources, res) }) {
				return true
			}
		}
		return false
	})
}
