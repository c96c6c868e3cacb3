package cluster

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
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
	// Templates are the pod templates that it owns.
	Templates []CustomTemplate `json:"-"`
}

// A CustomTemplate is one of the pod templates that an object owns.
type CustomTemplate struct {
	Path     string                 `json:"path"` // leads to it: "spec.tasks[worker].template"
	Template corev1.PodTemplateSpec `json:"template"`
}

// A CustomKind is a kind beside Kubernetes' own that controls know.
type CustomKind struct {
	Group      string `json:"group"`
	Kind       string `json:"kind"`
	Need       Need   `json:"need"` // resource.group
	Namespaced bool   `json:"namespaced"`
	// Templates lead to the pod templates that objects of the kind own, if they do. A step
	// that ends in [*] goes on with every item of a list, or with every value of a map.
	Templates []string `json:"templates"`
	// Keep are the fields that are kept of objects whose other fields are many; empty
	// means all.
	Keep []string `json:"keep,omitempty"`
	// Version is the only one that is read; empty means any.
	Version string `json:"version,omitempty"`
	// Own is set for a kind that the user named. Its gaps are those of OwnWorkloads.
	Own bool `json:"own"`
}

// Name is how a Ref calls the kind. Where Kubernetes has a kind of that name as well,
// the group is part of it, as kubectl wants it. It is for every kind that a user named, so
// that an object is called the same whatever else is read.
func (k CustomKind) Name() string {
	if k.Own || slices.Contains([]string{"Service", "StatefulSet", "DaemonSet", "NetworkPolicy"}, k.Kind) {
		return k.Kind + "." + k.Group
	}
	return k.Kind
}

// CustomKinds are the kinds that are read beside Kubernetes' own. One line makes every
// control for pods judge one more kind of workload.
var CustomKinds = []CustomKind{
	{Group: "argoproj.io", Kind: "Rollout", Need: "rollouts.argoproj.io", Namespaced: true, Templates: []string{"spec.template"}},
	{Group: "serving.knative.dev", Kind: "Service", Need: "services.serving.knative.dev", Namespaced: true, Templates: []string{"spec.template"}},
	{Group: "apps.kruise.io", Kind: "CloneSet", Need: "clonesets.apps.kruise.io", Namespaced: true, Templates: []string{"spec.template"}},
	{Group: "apps.kruise.io", Kind: "StatefulSet", Need: "statefulsets.apps.kruise.io", Namespaced: true, Templates: []string{"spec.template"}},
	{Group: "apps.kruise.io", Kind: "DaemonSet", Need: "daemonsets.apps.kruise.io", Namespaced: true, Templates: []string{"spec.template"}},
	{Group: "keda.sh", Kind: "ScaledJob", Need: "scaledjobs.keda.sh", Namespaced: true, Templates: []string{"spec.jobTargetRef.template"}},
	{Group: "apps.openshift.io", Kind: "DeploymentConfig", Need: "deploymentconfigs.apps.openshift.io", Namespaced: true, Templates: []string{"spec.template"}},
	{Group: "leaderworkerset.x-k8s.io", Kind: "LeaderWorkerSet", Need: "leaderworkersets.leaderworkerset.x-k8s.io", Namespaced: true, Templates: []string{"spec.leaderWorkerTemplate.workerTemplate"}},
	{Group: "agents.x-k8s.io", Kind: "Sandbox", Need: "sandboxes.agents.x-k8s.io", Namespaced: true, Templates: []string{"spec.podTemplate"}},
	{Group: "extensions.agents.x-k8s.io", Kind: "SandboxTemplate", Need: "sandboxtemplates.extensions.agents.x-k8s.io", Namespaced: true, Templates: []string{"spec.podTemplate"}},

	{Group: "policy.networking.k8s.io", Kind: "ClusterNetworkPolicy", Need: ClusterPolicies},
	{Group: "policy.networking.k8s.io", Kind: "AdminNetworkPolicy", Need: AdminPolicies},
	{Group: "policy.networking.k8s.io", Kind: "BaselineAdminNetworkPolicy", Need: BaselinePolicies},
	{Group: "cilium.io", Kind: "CiliumNetworkPolicy", Need: CiliumPolicies, Namespaced: true},
	{Group: "cilium.io", Kind: "CiliumClusterwideNetworkPolicy", Need: CiliumClusterPolicies},
	{Group: "projectcalico.org", Kind: "NetworkPolicy", Need: CalicoPolicies, Namespaced: true},
	{Group: "projectcalico.org", Kind: "GlobalNetworkPolicy", Need: CalicoGlobalPolicies},
	{Group: "crd.projectcalico.org", Kind: "NetworkPolicy", Need: CalicoStoredPolicies, Namespaced: true},
	{Group: "crd.projectcalico.org", Kind: "GlobalNetworkPolicy", Need: CalicoStoredGlobalPolicies},

	{Group: "gateway.networking.k8s.io", Kind: "Gateway", Need: Gateways, Namespaced: true},
	{Group: "gateway.networking.k8s.io", Kind: "HTTPRoute", Need: HTTPRoutes, Namespaced: true},
	{Group: "gateway.networking.k8s.io", Kind: "GRPCRoute", Need: GRPCRoutes, Namespaced: true},
	{Group: "gateway.networking.k8s.io", Kind: "TLSRoute", Need: TLSRoutes, Namespaced: true},
	{Group: "gateway.networking.k8s.io", Kind: "TCPRoute", Need: TCPRoutes, Namespaced: true},
	{Group: "gateway.networking.k8s.io", Kind: "UDPRoute", Need: UDPRoutes, Namespaced: true},
	{Group: "gateway.networking.k8s.io", Kind: "ReferenceGrant", Need: ReferenceGrants, Namespaced: true},
	{Group: "apiregistration.k8s.io", Kind: "APIService", Need: APIServices},
	// Their schemas are most of what they are, and no control's business.
	{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition", Need: Definitions, Keep: []string{"spec.group", "spec.names", "spec.scope", "spec.conversion"}},
}

// findCustom returns the kind of an object, and whether controls know it.
func findCustom(own []CustomKind, apiVersion, kind string) (CustomKind, bool) {
	group, version, ok := strings.Cut(apiVersion, "/")
	if !ok {
		return CustomKind{}, false
	}
	for _, kinds := range [][]CustomKind{CustomKinds, own} {
		for _, k := range kinds {
			if k.Group == group && k.Kind == kind && (k.Version == "" || k.Version == version) {
				return k, true
			}
		}
	}
	return CustomKind{}, false
}

// The parts of a kind as the API server takes them in a CustomResourceDefinition, whose
// group has at least one dot (k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation).
var (
	groupForm    = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+$`)
	kindForm     = regexp.MustCompile(`^[A-Z][A-Za-z0-9]*$`)
	labelForm    = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`)
	templateForm = regexp.MustCompile(`^[A-Za-z0-9_-]+(\[\*\])?(\.[A-Za-z0-9_-]+(\[\*\])?)*$`)
)

// OwnWorkload is a kind with pod templates that a user named. Version may be empty.
func OwnWorkload(group, kind, resource, version string, templates []string) (CustomKind, error) {
	k := CustomKind{Group: group, Kind: kind, Need: Need(resource + "." + group), Namespaced: true, Templates: templates, Version: version, Own: true}
	switch {
	case !groupForm.MatchString(group):
		return k, fmt.Errorf("group %q: want the group of a CustomResourceDefinition, such as batch.volcano.sh", group)
	case !kindForm.MatchString(kind):
		return k, fmt.Errorf("kind %q: want a kind as objects name it, such as Job", kind)
	case !labelForm.MatchString(resource):
		return k, fmt.Errorf("resource %q: want the kind's plural in lower case, such as jobs", resource)
	case version != "" && !labelForm.MatchString(version):
		return k, fmt.Errorf("version %q: want one such as v1beta1", version)
	case len(templates) == 0:
		return k, fmt.Errorf("template is missing")
	}
	for _, t := range templates {
		if !templateForm.MatchString(t) {
			return k, fmt.Errorf("template %q: want a path such as spec.template or spec.tasks[*].template", t)
		}
	}
	if _, known := findCustom(nil, group+"/"+version, kind); known {
		return k, fmt.Errorf("kind %s of %s is known already", kind, group)
	}
	return k, nil
}

// ParseCustom decodes an object of the kind from JSON. What is no pod template where one
// should be is left out: the kind's own server would have refused it, or it has another one.
func (k CustomKind) ParseCustom(data []byte) (*Custom, error) {
	c := new(Custom)
	if err := json.Unmarshal(data, c); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &c.Content); err != nil {
		return nil, err
	}
	delete(c.Content, "metadata")
	delete(c.Content, "status")
	if len(k.Keep) > 0 {
		whole := *c
		c.Content = map[string]any{}
		for _, path := range k.Keep {
			c.keep(path, whole.Field(path))
		}
	}
	if len(k.Templates) == 0 {
		return c, nil
	}
	for _, path := range k.Templates {
		if err := c.find(c.Content, "", path); err != nil {
			return nil, err
		}
	}
	c.Content = nil // the templates are what is judged
	return c, nil
}

// keep puts a value at a dotted path of the content.
func (c *Custom) keep(path string, value any) {
	if value == nil {
		return
	}
	steps := strings.Split(path, ".")
	node := c.Content
	for _, step := range steps[:len(steps)-1] {
		next, ok := node[step].(map[string]any)
		if !ok {
			next = map[string]any{}
			node[step] = next
		}
		node = next
	}
	node[steps[len(steps)-1]] = value
}

// find adds the pod templates to which the path leads from a node that is at a place.
func (c *Custom) find(node any, at, path string) error {
	if node == nil {
		return nil
	}
	if path == "" {
		raw, err := json.Marshal(node)
		if err != nil {
			return err
		}
		t := CustomTemplate{Path: at}
		if json.Unmarshal(raw, &t.Template) == nil && len(t.Template.Spec.Containers) > 0 {
			c.Templates = append(c.Templates, t)
		}
		return nil
	}
	step, rest, _ := strings.Cut(path, ".")
	step, every := strings.CutSuffix(step, "[*]")
	m, _ := node.(map[string]any)
	at = strings.TrimPrefix(at+"."+step, ".")
	if !every {
		return c.find(m[step], at, rest)
	}
	switch n := m[step].(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(n)) {
			if err := c.find(n[key], at+"["+key+"]", rest); err != nil {
				return err
			}
		}
	case []any:
		names := itemNames(n)
		for i, item := range n {
			if err := c.find(item, at+"["+names[i]+"]", rest); err != nil {
				return err
			}
		}
	}
	return nil
}

// itemNames are what paths call a list's items: their names where each has one of its own,
// or else their indexes.
func itemNames(list []any) []string {
	byName, byIndex := make([]string, len(list)), make([]string, len(list))
	seen := map[string]bool{"": true}
	unique := true
	for i, item := range list {
		m, _ := item.(map[string]any)
		name, _ := m["name"].(string)
		unique = unique && !seen[name] && !strings.Contains(name, "]")
		seen[name] = true
		byName[i], byIndex[i] = name, strconv.Itoa(i)
	}
	if unique {
		return byName
	}
	return byIndex
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
