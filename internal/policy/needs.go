package policy

import (
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

func resourceOf(gvk schema.GroupVersionKind) schema.GroupVersionResource {
	gvr, _ := meta.UnsafeGuessKindToResource(gvk)
	return gvr
}

func needOf(group, resource string) cluster.Need {
	if group == "" {
		return cluster.Need(resource)
	}
	return cluster.Need(resource + "." + group)
}

// clusterScoped are the kinds of objects that are in no namespace.
var clusterScoped = []cluster.Need{
	cluster.Namespaces, cluster.Nodes, cluster.PersistentVolumes, cluster.ClusterRoles, cluster.ClusterRoleBindings,
	cluster.ValidatingWebhooks, cluster.MutatingWebhooks, cluster.ValidatingPolicies, cluster.ValidatingPolicyBindings,
	cluster.MutatingPolicies, cluster.MutatingPolicyBindings, cluster.StorageClasses, cluster.APIServices,
	cluster.CiliumClusterPolicies, cluster.CalicoGlobalPolicies, cluster.CalicoStoredGlobalPolicies,
}

// needsOf are the kinds of objects that rules name.
func needsOf(m *admissionv1.MatchResources) []cluster.Need {
	var out []cluster.Need
	for _, r := range m.ResourceRules {
		for _, resource := range r.Resources {
			if strings.Contains(resource, "/") && resource != "*/*" {
				continue // a subresource is no object
			}
			for _, group := range r.APIGroups {
				out = append(out, expand(group, strings.TrimSuffix(resource, "/*"))...)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// expand resolves stars to the kinds that are read at all.
func expand(group, resource string) []cluster.Need {
	if group != "*" && resource != "*" {
		return []cluster.Need{needOf(group, resource)}
	}
	var out []cluster.Need
	for _, n := range cluster.Objects() {
		g, r := n.GroupResource()
		if (group == "*" || group == g) && (resource == "*" || resource == r) {
			out = append(out, n)
		}
	}
	return out
}
