package cluster

import "slices"

// A lineage is the version of a kind that controls know, and older ones whose objects
// read as such: what controls judge has the same names in all of them, but for the
// backends of Ingresses, which only v1 has under "service".
type lineage struct {
	now   string
	older []string
}

var lineages = map[string]lineage{
	"Deployment":              {"apps/v1", []string{"apps/v1beta2", "apps/v1beta1", "extensions/v1beta1"}},
	"DaemonSet":               {"apps/v1", []string{"apps/v1beta2", "extensions/v1beta1"}},
	"ReplicaSet":              {"apps/v1", []string{"apps/v1beta2", "extensions/v1beta1"}},
	"StatefulSet":             {"apps/v1", []string{"apps/v1beta2", "apps/v1beta1"}},
	"CronJob":                 {"batch/v1", []string{"batch/v1beta1"}},
	"NetworkPolicy":           {"networking.k8s.io/v1", []string{"extensions/v1beta1"}},
	"Ingress":                 {"networking.k8s.io/v1", []string{"networking.k8s.io/v1beta1", "extensions/v1beta1"}},
	"PodDisruptionBudget":     {"policy/v1", []string{"policy/v1beta1"}},
	"HorizontalPodAutoscaler": {"autoscaling/v2", []string{"autoscaling/v1", "autoscaling/v2beta2", "autoscaling/v2beta1"}},
	"StorageClass":            {"storage.k8s.io/v1", []string{"storage.k8s.io/v1beta1"}},

	"Role":               {"rbac.authorization.k8s.io/v1", []string{"rbac.authorization.k8s.io/v1beta1", "rbac.authorization.k8s.io/v1alpha1"}},
	"ClusterRole":        {"rbac.authorization.k8s.io/v1", []string{"rbac.authorization.k8s.io/v1beta1", "rbac.authorization.k8s.io/v1alpha1"}},
	"RoleBinding":        {"rbac.authorization.k8s.io/v1", []string{"rbac.authorization.k8s.io/v1beta1", "rbac.authorization.k8s.io/v1alpha1"}},
	"ClusterRoleBinding": {"rbac.authorization.k8s.io/v1", []string{"rbac.authorization.k8s.io/v1beta1", "rbac.authorization.k8s.io/v1alpha1"}},

	"ValidatingWebhookConfiguration":   {"admissionregistration.k8s.io/v1", []string{"admissionregistration.k8s.io/v1beta1"}},
	"MutatingWebhookConfiguration":     {"admissionregistration.k8s.io/v1", []string{"admissionregistration.k8s.io/v1beta1"}},
	"ValidatingAdmissionPolicy":        {"admissionregistration.k8s.io/v1", []string{"admissionregistration.k8s.io/v1beta1", "admissionregistration.k8s.io/v1alpha1"}},
	"ValidatingAdmissionPolicyBinding": {"admissionregistration.k8s.io/v1", []string{"admissionregistration.k8s.io/v1beta1", "admissionregistration.k8s.io/v1alpha1"}},
	"MutatingAdmissionPolicy":          {"admissionregistration.k8s.io/v1", []string{"admissionregistration.k8s.io/v1beta1", "admissionregistration.k8s.io/v1alpha1"}},
	"MutatingAdmissionPolicyBinding":   {"admissionregistration.k8s.io/v1", []string{"admissionregistration.k8s.io/v1beta1", "admissionregistration.k8s.io/v1alpha1"}},
}

// ReadAs is the version in whose struct an object is kept, so that it is judged in
// whatever version it was written.
func ReadAs(apiVersion, kind string) string {
	if l := lineages[kind]; slices.Contains(l.older, apiVersion) {
		return l.now
	}
	return apiVersion
}
