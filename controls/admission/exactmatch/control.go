// Package exactmatch finds validating webhooks that see one version of a kind that has several.
package exactmatch

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/controls/internal/hook"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is admission.exactmatch.
var Control = &control.Control{
	ID:       "admission.exactmatch",
	Title:    "Check can be passed by another version of the API",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.ValidatingWebhooks},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1562.001")},
	Doc:      doc,
}

// several are groups in which one kind is served in more than one version, as of v1.36.
var several = []string{"autoscaling", "flowcontrol.apiserver.k8s.io", "admissionregistration.k8s.io", "resource.k8s.io", "networking.k8s.io", "certificates.k8s.io", "storage.k8s.io"}

func check(s *cluster.Snapshot, r *control.Report) {
	for o, hooks := range hook.All(s) {
		if hooks != nil && hooks[0].Mutating {
			continue
		}
		v := r.Object(o)
		for _, h := range hooks {
			if !h.Exact {
				continue
			}
			for i, rule := range h.Rules {
				if slices.Contains(rule.APIVersions, "*") {
					continue
				}
				if g := slices.IndexFunc(rule.APIGroups, func(g string) bool { return g == "*" || slices.Contains(several, g) }); g >= 0 {
					v.Broken(fmt.Sprintf("webhooks[%s].matchPolicy", h.Name), "Exact", "Equivalent").
						Because("rules[%d] names the versions %s of %s, and the same object may come in another", i, strings.Join(rule.APIVersions, ", "), rule.APIGroups[g]).
						Set(fmt.Sprintf("webhooks[%s].matchPolicy", h.Name), "Equivalent")
					break
				}
			}
		}
	}
}
