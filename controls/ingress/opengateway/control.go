// Package opengateway finds Gateways that any namespace may attach routes to, for any host.
package opengateway

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is ingress.opengateway.
var Control = &control.Control{
	ID:       "ingress.opengateway",
	Title:    "Gateway takes routes from every namespace",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.Gateways},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1557"), control.MITRE("T1584.001")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for o, g := range cluster.All[*cluster.Custom](s, "Gateway") {
		listeners, _ := g.Field("spec.listeners").([]any)
		v := r.Object(o)
		for _, l := range listeners {
			listener, _ := l.(map[string]any)
			name, _ := listener["name"].(string)
			allowed, _ := listener["allowedRoutes"].(map[string]any)
			namespaces, _ := allowed["namespaces"].(map[string]any)
			if host, _ := listener["hostname"].(string); namespaces["from"] == "All" && (host == "" || host == "*") {
				v.Broken("spec.listeners["+name+"].allowedRoutes.namespaces.from", "All", "Selector or Same, or a hostname").
					Because("whoever may create a route takes any host that nobody else has, or a longer path of one")
			}
		}
	}
}
