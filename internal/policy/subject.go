package policy

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// A subject is one object, as the request that would create it today.
type subject struct {
	object     *cluster.Object
	gvk        schema.GroupVersionKind
	labels     map[string]string
	attributes admission.Attributes
	// namespace the object is in; nil for what is in none and where it was not read.
	namespace *corev1.Namespace
	// pod is set where the subject is the pod that a template makes.
	pod *cluster.PodSpec

	// trimmed is set where only some of its fields were kept.
	trimmed bool

	content *unstructured.Unstructured // made when first needed
	// unknown are the fields of it that were not read.
	unknown [][]string
}

// subjectOf is the request that creates an object.
func subjectOf(s *cluster.Snapshot, o *cluster.Object) *subject {
	gvk := schema.FromAPIVersionAndKind(o.APIVersion, o.Kind)
	trimmed := false
	gvr, _ := meta.UnsafeGuessKindToResource(gvk)
	if c, ok := o.Value.(*cluster.Custom); ok {
		gvk.Kind = c.TypeMeta.Kind
		if k, ok := s.FindCustom(o.APIVersion, gvk.Kind); ok {
			_, gvr.Resource = k.Need.GroupResource()
			trimmed = len(k.Keep) > 0
		}
	}
	namespace := o.Namespace
	if gvk == namespaceKind {
		namespace = o.Name // as the handler does (k8s.io/apiserver/pkg/endpoints/handlers/create.go)
	}
	sub := &subject{object: o, gvk: gvk, labels: o.Meta.Labels, trimmed: trimmed}
	sub.attributes = created(gvk, gvr, namespace, o.Name)
	sub.namespace = namespaceOf(s, o.Namespace)
	return sub
}

// podOf is the request that creates the pod of a template, or the pod itself.
func podOf(s *cluster.Snapshot, p *cluster.PodSpec) *subject {
	gvk := corev1.SchemeGroupVersion.WithKind("Pod")
	return &subject{
		object: p.Object, pod: p, gvk: gvk, labels: p.Meta.Labels,
		attributes: created(gvk, corev1.SchemeGroupVersion.WithResource("pods"), p.Namespace(), p.Object.Name),
		namespace:  namespaceOf(s, p.Namespace()),
	}
}

var namespaceKind = corev1.SchemeGroupVersion.WithKind("Namespace")

func (s *subject) isNamespace() bool { return s.gvk == namespaceKind }

func created(gvk schema.GroupVersionKind, gvr schema.GroupVersionResource, namespace, name string) admission.Attributes {
	return admission.NewAttributesRecord(nil, nil, gvk, namespace, name, gvr, "", admission.Create, nil, false, nil)
}

func namespaceOf(s *cluster.Snapshot, name string) *corev1.Namespace {
	if o := s.Get(cluster.Ref{Kind: "Namespace", Name: name}); o != nil {
		if n, ok := o.Value.(*corev1.Namespace); ok {
			return n
		}
	}
	return nil
}

// stored reports whether a server has filled in its defaults.
func (s *subject) stored() bool { return s.object.Meta.UID != "" }

// versioned is the request with the object, as the policies' evaluator takes it.
func (s *subject) versioned() (*admission.VersionedAttributes, error) {
	if s.content == nil {
		if err := s.read(); err != nil {
			return nil, err
		}
	}
	return &admission.VersionedAttributes{Attributes: s.attributes, VersionedKind: s.gvk, VersionedObject: s.content}, nil
}

// read turns the object into what CEL looks at. It costs much more than matching and is
// done for what matched.
func (s *subject) read() error {
	var err error
	if s.pod != nil {
		pod := corev1.Pod{ObjectMeta: *s.pod.Meta, Spec: *s.pod.Spec}
		pod.Namespace = s.pod.Namespace()
		s.content, err = contentOf(&pod, s.gvk)
		return err
	}
	s.content, s.unknown, err = content(s.object, s.gvk)
	if s.trimmed {
		s.unknown = append(s.unknown, []string{"spec"})
	}
	return err
}

// hidden are the fields of Secrets and ConfigMaps that a Snapshot does not hold.
var hidden = []string{"data", "stringData", "binaryData", "immutable"}

// content is an object as decoded from JSON, and the fields that it lacks although the
// object may have them.
func content(o *cluster.Object, gvk schema.GroupVersionKind) (*unstructured.Unstructured, [][]string, error) {
	var unknown [][]string
	switch v := o.Value.(type) {
	case *cluster.SecretFacts, *cluster.ConfigMapFacts:
		for _, field := range hidden {
			unknown = append(unknown, []string{field})
		}
		u, err := contentOf(&metav1.PartialObjectMetadata{ObjectMeta: *o.Meta}, gvk)
		if secret, ok := v.(*cluster.SecretFacts); ok && err == nil {
			u.Object["type"] = secret.Type
		}
		return u, unknown, err
	case *cluster.Custom:
		u, err := contentOf(&metav1.PartialObjectMetadata{ObjectMeta: *o.Meta}, gvk)
		if err != nil {
			return nil, nil, err
		}
		unknown = append(unknown, []string{"status"})
		if v.Content == nil {
			unknown = append(unknown, []string{"spec"}) // only the templates were kept
		}
		for k, field := range v.Content {
			if _, ok := u.Object[k]; !ok {
				u.Object[k] = runtime.DeepCopyJSONValue(field)
			}
		}
		return u, unknown, nil
	}
	u, err := contentOf(o.Value, gvk)
	return u, nil, err
}

func contentOf(v any, gvk schema.GroupVersionKind) (*unstructured.Unstructured, error) {
	m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(v)
	if err != nil {
		return nil, fmt.Errorf("decoding: %w", err)
	}
	u := &unstructured.Unstructured{Object: m}
	u.SetGroupVersionKind(gvk)
	return u, nil
}

// locate turns a path of the subject into one of the object that findings are about.
func (s *subject) locate(path string) string {
	if s.pod == nil {
		return path
	}
	template := strings.TrimSuffix(s.pod.Path, "spec")
	return template + path
}
