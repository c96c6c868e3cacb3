// Package deadservice finds APIServices whose Service does not exist.
package deadservice

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is aggregation.deadservice.
var Control = &control.Control{
	ID:       "aggregation.deadservice",
	Title:    "Part of the API is answered by a Service that does not exist",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.APIServices},
	With:     []cluster.Need{cluster.Services},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1557"), control.MITRE("T1499")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	if !s.Live {
		return // files are a part of a cluster
	}
	for o, a := range cluster.All[*cluster.Custom](s, "APIService") {
		name, _ := a.Field("spec.service.name").(string)
		namespace, _ := a.Field("spec.service.namespace").(string)
		if name == "" {
			continue
		}
		v := r.Object(o)
		ref := cluster.Ref{Kind: "Service", Namespace: namespace, Name: name}
		if s.Get(ref) == nil {
			v.Broken("spec.service", ref.String()+", which does not exist", "a Service that exists").
				Because("who may create it answers for the API; until then namespaces cannot be deleted")
		}
	}
}
