// Package plainhttp finds Ingresses that serve hosts without TLS.
package plainhttp

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is ingress.plainhttp.
var Control = &control.Control{
	ID:       "ingress.plainhttp",
	Title:    "Ingress serves a host without TLS",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.Ingresses},
	Check:    check,
	Refs:     []control.Ref{control.NSA("Transport layer security"), control.MITRE("T1040")},
	Doc:      doc,
}

// elsewhere are annotations by which a controller gets its certificate from a cloud or
// from its own configuration, so that spec.tls is empty.
var elsewhere = []string{
	"alb.ingress.kubernetes.io/certificate-arn", "networking.gke.io/managed-certificates", "networking.gke.io/certmap",
	"ingress.gcp.kubernetes.io/pre-shared-cert", "appgw.ingress.kubernetes.io/appgw-ssl-certificate",
	"traefik.ingress.kubernetes.io/router.tls", "nginx.ingress.kubernetes.io/ssl-passthrough",
}

func check(s *cluster.Snapshot, r *control.Report) {
	for o, ing := range cluster.All[*networkingv1.Ingress](s, "Ingress") {
		v := r.Object(o)
		if slices.ContainsFunc(elsewhere, func(key string) bool { return ing.Annotations[key] != "" && ing.Annotations[key] != "false" }) {
			continue
		}
		if len(ing.Spec.TLS) == 0 {
			v.Broken("spec.tls", "not set", "a certificate for each host")
			continue
		}
		for i, rule := range ing.Spec.Rules {
			if rule.Host != "" && !covered(ing.Spec.TLS, rule.Host) {
				v.Broken(fmt.Sprintf("spec.rules[%d].host", i), rule.Host, "a host in spec.tls")
			}
		}
	}
}

// covered reports whether one of the entries is for the host. One without hosts is for
// all of them.
func covered(tls []networkingv1.IngressTLS, host string) bool {
	_, parent, _ := strings.Cut(host, ".")
	return slices.ContainsFunc(tls, func(t networkingv1.IngressTLS) bool {
		return len(t.Hosts) == 0 || slices.Contains(t.Hosts, host) || slices.Contains(t.Hosts, "*."+parent)
	})
}
