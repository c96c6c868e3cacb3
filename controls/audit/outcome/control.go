// Package outcome finds audit policies that leave out the stage in which the outcome is known.
package outcome

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is audit.outcome.
var Control = &control.Control{
	ID:       "audit.outcome",
	Title:    "Audit log does not say how requests ended",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.AuditFile},
	Check:    check,
	Refs:     []control.Ref{control.NSA("Audit logging"), control.MITRE("T1562.008")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	const last = "ResponseComplete"
	for _, c := range s.Configs(cluster.AuditFile) {
		v := r.On(c.Ref, c.Source)
		if slices.Contains(c.Audit.OmitStages, last) {
			v.Broken("omitStages", strings.Join(c.Audit.OmitStages, ", "), "no "+last)
			continue
		}
		for i, rule := range c.Audit.Rules {
			if rule.Level != "None" && slices.Contains(rule.OmitStages, last) {
				v.Broken(fmt.Sprintf("rules[%d].omitStages", i), strings.Join(rule.OmitStages, ", "), "no "+last)
			}
		}
	}
}
