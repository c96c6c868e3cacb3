// Package plaingateway finds Gateways that serve routes in plain text.
package plaingateway

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is ingress.plaingateway.
var Control = &control.Control{
	ID:       "ingress.plaingateway",
	Title:    "Gateway serves a host without TLS",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.Gateways},
	With:     []cluster.Need{cluster.HTTPRoutes},
	Check:    check,
	Refs:     []control.Ref{control.NSA("Transport layer security"), control.MITRE("T1040")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for o, g := range cluster.All[*cluster.Custom](s, "Gateway") {
		listeners, _ := g.Field("spec.listeners").([]any)
		v := r.Object(o)
		for _, l := range listeners {
			listener, _ := l.(map[string]any)
			name, _ := listener["name"].(string)
			if listener["protocol"] != "HTTP" {
				continue
			}
			if served := serves(s, o, name); served != "" {
				v.Broken("spec.listeners["+name+"].protocol", "HTTP", "HTTPS, or routes that only redirect").Because("%s answers there", served)
			}
		}
	}
}

// serves names a route on the listener that does more than to redirect.
func serves(s *cluster.Snapshot, gateway *cluster.Object, listener string) string {
	for o, route := range cluster.All[*cluster.Custom](s, "HTTPRoute") {
		parents, _ := route.Field("spec.parentRefs").([]any)
		for _, p := range parents {
			ref, _ := p.(map[string]any)
			namespace, ok := ref["namespace"].(string)
			if !ok {
				namespace = o.Namespace
			}
			section, limited := ref["sectionName"].(string)
			if ref["name"] == gateway.Name && namespace == gateway.Namespace && (!limited || section == listener) && answers(route) {
				return o.String()
			}
		}
	}
	return ""
}

// answers reports whether a rule leads to a backend.
func answers(route *cluster.Custom) bool {
	rules, _ := route.Field("spec.rules").([]any)
	for _, r := range rules {
		rule, _ := r.(map[string]any)
		if backends, _ := rule["backendRefs"].([]any); len(backends) > 0 {
			return true
		}
	}
	return false
}
