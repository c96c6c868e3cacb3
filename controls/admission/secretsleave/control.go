// Package secretsleave finds webhooks outside the cluster that get secrets.
package secretsleave

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

// Control is admission.secretsleave.
var Control = &control.Control{
	ID:       "admission.secretsleave",
	Title:    "Every secret is shown to an address outside",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.ValidatingWebhooks, cluster.MutatingWebhooks},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1552.007"), control.MITRE("T1041")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for o, hooks := range hook.All(s) {
		v := r.Object(o)
		for _, h := range hooks {
			if h.Config.URL == nil || h.Config.Service != nil || hook.Local(*h.Config.URL) {
				continue
			}
			for i, rule := range h.Rules {
				if slices.ContainsFunc(rule.APIGroups, func(g string) bool { return g == "" || g == "*" }) &&
					slices.ContainsFunc(rule.Resources, func(res string) bool { return res == "secrets" || res == "*" || res == "*/*" }) {
					v.Broken(fmt.Sprintf("webhooks[%s].rules[%d]", h.Name, i), strings.Join(rule.Resources, ", "), "no secrets").
						Because("their values are sent to %s", hook.Host(*h.Config.URL))
				}
			}
		}
	}
}
