// Package weakensmutation finds mutating admission policies that make pods weaker.
package weakensmutation

import (
	_ "embed"
	"fmt"
	"regexp"

	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is admission.weakensmutation.
var Control = &control.Control{
	ID:       "admission.weakensmutation",
	Title:    "Mutating policy takes protection away from pods",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.MutatingPolicies},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1546"), control.MITRE("T1611")},
	Doc:      doc,
}

// weakening are the settings that a policy has no reason to write into others' pods, as
// they stand in a CEL object or in the value of a JSON patch.
var weakening = []*regexp.Regexp{
	regexp.MustCompile(`\b(privileged|hostNetwork|hostPID|hostIPC|allowPrivilegeEscalation)\s*:\s*true\b`),
	regexp.MustCompile(`\brunAsNonRoot\s*:\s*false\b`),
	regexp.MustCompile(`\brunAsUser\s*:\s*0\b`),
	regexp.MustCompile(`\bhostPath\s*:`),
	regexp.MustCompile(`/(privileged|hostNetwork|hostPID|hostIPC|allowPrivilegeEscalation)["']\s*,\s*value\s*:\s*true\b`),
	regexp.MustCompile(`op\s*:\s*["']remove["']\s*,\s*path\s*:\s*["'][^"']*/(securityContext|seccompProfile|capabilities|runAsNonRoot)\b`),
	regexp.MustCompile(`pod-security\.kubernetes\.io(/|~1)enforce["']\s*:\s*["']privileged["']`),
}

func check(s *cluster.Snapshot, r *control.Report) {
	for o, p := range cluster.All[*admissionv1.MutatingAdmissionPolicy](s, "MutatingAdmissionPolicy") {
		v := r.Object(o)
		for i, m := range p.Spec.Mutations {
			field, text := "", ""
			switch {
			case m.ApplyConfiguration != nil:
				field, text = "applyConfiguration", m.ApplyConfiguration.Expression
			case m.JSONPatch != nil:
				field, text = "jsonPatch", m.JSONPatch.Expression
			}
			for _, w := range weakening {
				if found := w.FindString(text); found != "" {
					v.Broken(fmt.Sprintf("spec.mutations[%d].%s.expression", i, field), found, "nothing that opens a pod").
						Because("every object that it matches gets it")
				}
			}
		}
	}
}
