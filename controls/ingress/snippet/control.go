// Package snippet finds Ingresses that write into the configuration of their controller.
package snippet

import (
	_ "embed"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is ingress.snippet.
var Control = &control.Control{
	ID:       "ingress.snippet",
	Title:    "Ingress writes into its controller's configuration",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.Ingresses},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1190"), control.MITRE("T1552.007")},
	Doc:      doc,
}

// snippets are the annotations of ingress-nginx whose text becomes configuration as it is.
var snippets = []string{"configuration-snippet", "server-snippet", "auth-snippet", "stream-snippet", "modsecurity-snippet"}

func check(s *cluster.Snapshot, r *control.Report) {
	for o, ing := range cluster.All[*networkingv1.Ingress](s, "Ingress") {
		v := r.Object(o)
		for _, name := range snippets {
			for _, prefix := range []string{"nginx.ingress.kubernetes.io/", "nginx.org/"} {
				key := prefix + name
				if prefix == "nginx.org/" {
					key += "s" // F5's controller has them in the plural
				}
				if ing.Annotations[key] != "" {
					v.Broken("metadata.annotations["+key+"]", "set", "the annotation that is made for it")
				}
			}
		}
	}
}
