// Package shadowedrule finds rules of audit policies that stand below one that takes everything.
package shadowedrule

import (
	_ "embed"
	"fmt"
	"slices"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is audit.shadowedrule.
var Control = &control.Control{
	ID:       "audit.shadowedrule",
	Title:    "Audit rule is never reached",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.AuditFile},
	Check:    check,
	Refs:     []control.Ref{control.NSA("Audit logging"), control.MITRE("T1562.008")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, c := range s.Configs(cluster.AuditFile) {
		v := r.On(c.Ref, c.Source)
		for i := range c.Audit.Rules {
			for j := range c.Audit.Rules[:i] {
				earlier, rule := &c.Audit.Rules[j], &c.Audit.Rules[i]
				if covers(earlier, rule) && earlier.Level != rule.Level {
					v.Broken(fmt.Sprintf("rules[%d]", i), "never reached", fmt.Sprintf("a place above rules[%d]", j)).
						Because("rules[%d] matches all that it would and says %s", j, earlier.Level)
					break
				}
			}
		}
	}
}

// covers reports whether a rule surely matches whatever another one does. What cannot be
// told for sure is no.
func covers(a, b *cluster.AuditRule) bool {
	return within(a.Users, b.Users) && within(a.UserGroups, b.UserGroups) && within(a.Verbs, b.Verbs) &&
		within(a.Namespaces, b.Namespaces) && withinResources(a, b) &&
		(len(a.NonResourceURLs) == 0 && len(a.Resources) == 0 || len(a.Resources) > 0 || slices.Equal(a.NonResourceURLs, b.NonResourceURLs))
}

// within reports whether a list of what may match holds another; an empty one is all.
func within(a, b []string) bool {
	return len(a) == 0 || len(b) > 0 && !slices.ContainsFunc(b, func(x string) bool { return !slices.Contains(a, x) })
}

func withinResources(a, b *cluster.AuditRule) bool {
	if len(a.Resources) == 0 {
		return len(a.NonResourceURLs) == 0 || len(b.Resources) == 0
	}
	return len(b.Resources) > 0 && !slices.ContainsFunc(b.Resources, func(want cluster.AuditResources) bool {
		return !slices.ContainsFunc(a.Resources, func(have cluster.AuditResources) bool {
			return (have.Group == want.Group || have.Group == "*") && within(have.Resources, want.Resources) && within(have.ResourceNames, want.ResourceNames)
		})
	})
}
