// Package unverified finds APIServices whose server's certificate is not verified.
package unverified

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is aggregation.unverified.
var Control = &control.Control{
	ID:       "aggregation.unverified",
	Title:    "Part of the API is answered by a server that nobody verifies",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.APIServices},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1557")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for o, a := range cluster.All[*cluster.Custom](s, "APIService") {
		if a.Field("spec.service") == nil {
			continue // answered by the API server itself
		}
		v := r.Object(o)
		if skip, _ := a.Field("spec.insecureSkipTLSVerify").(bool); skip {
			v.Broken("spec.insecureSkipTLSVerify", "true", "false and a caBundle")
		}
	}
}
