// Package removedapi finds objects in versions of the API that were removed.
package removedapi

import (
	_ "embed"
	"slices"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is hygiene.removedapi.
var Control = &control.Control{
	ID:       "hygiene.removedapi",
	Title:    "Object is in a version that the API server no longer takes",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over: slices.Concat(cluster.Workloads, cluster.RBAC, []cluster.Need{
		cluster.NetworkPolicies, cluster.Ingresses, cluster.ValidatingWebhooks, cluster.MutatingWebhooks,
		cluster.StorageClasses, cluster.DisruptionBudgets, cluster.Autoscalers,
	}),
	Check: check,
	Doc:   doc,
}

// removed are the versions that left Kubernetes, with the minor version that was the first
// without them (kubernetes.io/docs/reference/using-api/deprecation-guide).
var removed = map[string]map[string]int{
	"Deployment":                     {"extensions/v1beta1": 16, "apps/v1beta1": 16, "apps/v1beta2": 16},
	"DaemonSet":                      {"extensions/v1beta1": 16, "apps/v1beta2": 16},
	"ReplicaSet":                     {"extensions/v1beta1": 16, "apps/v1beta1": 16, "apps/v1beta2": 16},
	"StatefulSet":                    {"apps/v1beta1": 16, "apps/v1beta2": 16},
	"NetworkPolicy":                  {"extensions/v1beta1": 16},
	"Ingress":                        {"extensions/v1beta1": 22, "networking.k8s.io/v1beta1": 22},
	"IngressClass":                   {"networking.k8s.io/v1beta1": 22},
	"ValidatingWebhookConfiguration": {"admissionregistration.k8s.io/v1beta1": 22},
	"MutatingWebhookConfiguration":   {"admissionregistration.k8s.io/v1beta1": 22},
	"CertificateSigningRequest":      {"certificates.k8s.io/v1beta1": 22},
	"Role":                           {"rbac.authorization.k8s.io/v1alpha1": 22, "rbac.authorization.k8s.io/v1beta1": 22},
	"ClusterRole":                    {"rbac.authorization.k8s.io/v1alpha1": 22, "rbac.authorization.k8s.io/v1beta1": 22},
	"RoleBinding":                    {"rbac.authorization.k8s.io/v1alpha1": 22, "rbac.authorization.k8s.io/v1beta1": 22},
	"ClusterRoleBinding":             {"rbac.authorization.k8s.io/v1alpha1": 22, "rbac.authorization.k8s.io/v1beta1": 22},
	"PriorityClass":                  {"scheduling.k8s.io/v1beta1": 22},
	"StorageClass":                   {"storage.k8s.io/v1beta1": 22},
	"CSIDriver":                      {"storage.k8s.io/v1beta1": 22},
	"CronJob":                        {"batch/v1beta1": 25},
	"EndpointSlice":                  {"discovery.k8s.io/v1beta1": 25},
	"PodDisruptionBudget":            {"policy/v1beta1": 25},
	"RuntimeClass":                   {"node.k8s.io/v1beta1": 25},
	"HorizontalPodAutoscaler":        {"autoscaling/v2beta1": 25, "autoscaling/v2beta2": 26},
	"FlowSchema":                     {"flowcontrol.apiserver.k8s.io/v1beta1": 26, "flowcontrol.apiserver.k8s.io/v1beta2": 29, "flowcontrol.apiserver.k8s.io/v1beta3": 32},
	"PriorityLevelConfiguration":     {"flowcontrol.apiserver.k8s.io/v1beta1": 26, "flowcontrol.apiserver.k8s.io/v1beta2": 29, "flowcontrol.apiserver.k8s.io/v1beta3": 32},
	"CSIStorageCapacity":             {"storage.k8s.io/v1beta1": 27},
}

func check(s *cluster.Snapshot, r *control.Report) {
	if s.Live {
		return // a server hands out what it takes
	}
	for _, o := range s.Objects() {
		versions, known := removed[o.Kind]
		if !known {
			continue
		}
		v := r.Object(o)
		if since, gone := versions[o.APIVersion]; gone {
			v.Broken("apiVersion", o.APIVersion, "a version that is served").Because("removed in v1.%d", since)
		}
	}
}
