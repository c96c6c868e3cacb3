package cluster

import (
	"encoding/json"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A Custom is an object whose kind is no part of Kubernetes itself.
type Custom struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	// Content is the object as decoded from JSON, without its metadata and status.
	Content map[string]any `json:"-"`
	// Template is the pod template that it owns, if it owns one.
	Template *corev1.PodTemplateSpec `json:"-"`
	// TemplatePath leads to the template.
	TemplatePath string `json:"-"`
}

// A CustomKind is a kind beside Kubernetes' own that controls know.
type CustomKind struct {
	Group, Kind string
	Need        Need // resource.group
	Namespaced  bool
	// Template leads to the pod template that objects of the kind own, if they do.
	Template string
}

// Name is how a Ref calls the kind. Where Kubernetes has a kind of that name as well,
// the group is part of it, as kubectl wants it.
func (k CustomKind) Name() string {
	if slices.Contains([]string{"Service", "StatefulSet", "DaemonSet", "NetworkPolicy"}, k.Kind) {
		return k.Kind + "." + k.Group
	}
	return k.Kind
}

// CustomKinds are the kinds that are read beside Kubernetes' own. One line makes every
// control for pods judge one more kind of workload.
var CustomKinds = []CustomKind{
	{"argoproj.io", "Rollout", "rollouts.argoproj.io", true, "spec.template"},
	{"serving.knative.dev", "Service", "services.serving.knative.dev", true, "spec.template"},
	{"apps.kruise.io", "CloneSet", "clonesets.apps.kruise.io", true, "spec.template"},
	{"apps.kruise.io", "StatefulSet", "statefulsets.apps.kruise.io", true, "spec.template"},
	{"apps.kruise.io", "DaemonSet", "daemonsets.apps.kruise.io", true, "spec.template"},
	{"keda.sh", "ScaledJob", "scaledjobs.keda.sh", true, "spec.jobTargetRef.template"},
	{"apps.openshift.io", "DeploymentConfig", "deploymentconfigs.apps.openshift.io", true, "spec.template"},
	{"leaderworkerset.x-k8s.io", "LeaderWorkerSet", "leaderworkersets.leaderworkerset.x-k8s.io", true, "spec.leaderWorkerTemplate.workerTemplate"},
	{"agents.x-k8s.io", "Sandbox", "sandboxes.agents.x-k8s.io", true, "spec.podTemplate"},
	{"extensions.agents.x-k8s.io", "SandboxTemplate", "sandboxtemplates.extensions.agents.x-k8s.io", true, "spec.podTemplate"},

	{"cilium.io", "CiliumNetworkPolicy", CiliumPolicies, true, ""},
	{"cilium.io", "CiliumClusterwideNetworkPolicy", CiliumClusterPolicies, false, ""},
	{"projectcalico.org", "NetworkPolicy", CalicoPolicies, true, ""},
	{"projectcalico.org", "GlobalNetworkPolicy", CalicoGlobalPolicies, false, ""},
	{"crd.projectcalico.org", "NetworkPolicy", CalicoStoredPolicies, true, ""},
	{"crd.projectcalico.org", "GlobalNetworkPolicy", CalicoStoredGlobalPolicies, false, ""},

	{"gateway.networking.k8s.io", "Gateway", Gateways, true, ""},
	{"gateway.networking.k8s.io", "HTTPRoute", HTTPRoutes, true, ""},
	{"apiregistration.k8s.io", "APIService", APIServices, false, ""},
}

// FindCustom returns the kind of an object, and whether controls know it.
func FindCustom(apiVersion, kind string) (CustomKind, bool) {
	group, _, ok := strings.Cut(apiVersion, "/")
	if !ok {
		return CustomKind{}, false
	}
	i := slices.IndexFunc(CustomKinds, func(k CustomKind) bool { return k.Group == group && k.Kind == kind })
	if i < 0 {
		return CustomKind{}, false
	}
	return CustomKinds[i], true
}

// ParseCustom decodes an object of the kind from JSON. A template that is no pod template
// is left out: the kind's own server would have refused it, or it has another one.
func (k CustomKind) ParseCustom(data []byte) (*Custom, error) {
	c := &Custom{TemplatePath: k.Template}
	if err := json.Unmarshal(data, c); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &c.Content); err != nil {
		return nil, err
	}
	delete(c.Content, "metadata")
	delete(c.Content, "status")
	if k.Template == "" {
		return c, nil
	}
	var node any = c.Content
	for step := range strings.SplitSeq(k.Template, ".") {
		m, _ := node.(map[string]any)
		node = m[step]
	}
	if node != nil {
		raw, err := json.Marshal(node)
		if err != nil {
			return nil, err
		}
		t := new(corev1.PodTemplateSpec)
		if json.Unmarshal(raw, t) == nil && len(t.Spec.Containers) > 0 {
			c.Template = t
		}
	}
	c.Content = nil // the template is what is judged
	return c, nil
}

// Field follows a dotted path into the content; nil where nothing is.
func (c *Custom) Field(path string) any {
	var node any = c.Content
	for step := range strings.SplitSeq(path, ".") {
		m, _ := node.(map[string]any)
		node = m[step]
	}
	return node
}
