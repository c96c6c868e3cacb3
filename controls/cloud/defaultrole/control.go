// Package defaultrole finds default service accounts that stand for an identity of the cloud.
package defaultrole

import (
	_ "embed"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is cloud.defaultrole.
var Control = &control.Control{
	ID:       "cloud.defaultrole",
	Title:    "Every pod of a namespace has a role in the cloud",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.ServiceAccounts},
	Check:    check,
	Refs:     []control.Ref{control.CIS("5.1.5").Further(), control.MITRE("T1078.004")},
	Doc:      doc,
}

// identities are the annotations that tie an account to one of the cloud's.
var identities = []string{"eks.amazonaws.com/role-arn", "iam.gke.io/gcp-service-account", "azure.workload.identity/client-id"}

func check(s *cluster.Snapshot, r *control.Report) {
	for o := range cluster.All[*corev1.ServiceAccount](s, "ServiceAccount") {
		v := r.Object(o)
		if o.Name != "default" {
			continue
		}
		for _, key := range identities {
			if value := o.Meta.Annotations[key]; value != "" {
				v.Broken("metadata.annotations["+key+"]", value, "an account of its own for the pods that need it")
			}
		}
	}
}
