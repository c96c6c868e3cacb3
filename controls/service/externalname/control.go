// Package externalname finds Services whose name leads to the machine itself or into another namespace.
package externalname

import (
	_ "embed"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is service.externalname.
var Control = &control.Control{
	ID:       "service.externalname",
	Title:    "Name of a Service leads to another's door",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.Services},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1557"), control.MITRE("T1090")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for o, svc := range cluster.All[*corev1.Service](s, "Service") {
		if svc.Spec.Type != corev1.ServiceTypeExternalName {
			continue
		}
		v := r.Object(o)
		name := strings.TrimSuffix(strings.ToLower(svc.Spec.ExternalName), ".")
		_, notAddress := netip.ParseAddr(name)
		switch {
		case name == "localhost" || strings.HasSuffix(name, ".localhost"):
			v.Broken("spec.externalName", name, "a name outside").Because("who resolves it connects to himself, an ingress controller too")
		case notAddress == nil:
			v.Broken("spec.externalName", name, "a name").Because("DNS does not resolve an address, and some ingress controllers connect to it")
		case name == "metadata.google.internal" || name == "kubernetes.default.svc" || strings.HasPrefix(name, "kubernetes.default.svc."):
			v.Broken("spec.externalName", name, "a name outside").Because("an ingress controller connects to it with its own reach")
		case inCluster(name) && namespaceOf(name) == "kube-system" && o.Namespace != "kube-system":
			v.Broken("spec.externalName", name, "a name outside").Because("an ingress controller carries requests into kube-system")
		}
	}
}

func inCluster(name string) bool {
	return strings.HasSuffix(name, ".svc") || strings.Contains(name, ".svc.")
}

func namespaceOf(name string) string {
	parts := strings.Split(name, ".")
	if len(parts) < 2 {
		return ""
	}
	return parts[1]
}
