// Package anyhost finds Ingresses that answer for hosts that nobody named.
package anyhost

import (
	_ "embed"
	"fmt"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is ingress.anyhost.
var Control = &control.Control{
	ID:       "ingress.anyhost",
	Title:    "Ingress takes requests for any host",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.Ingresses},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1557")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for o, ing := range cluster.All[*networkingv1.Ingress](s, "Ingress") {
		v := r.Object(o)
		for i, rule := range ing.Spec.Rules {
			path := fmt.Sprintf("spec.rules[%d].host", i)
			switch {
			case rule.Host == "":
				v.Broken(path, "not set, so every host", "the host it is for")
			case strings.HasPrefix(rule.Host, "*."):
				v.Broken(path, rule.Host, "the hosts it is for, each by its name")
			}
		}
	}
}
