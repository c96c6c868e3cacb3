package cluster

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A PodSpec is a pod as it runs or would run, whoever declares it. Controls look at
// PodSpecs and so treat a Deployment's template, a CronJob's and a naked pod alike.
type PodSpec struct {
	// Object declares the spec: the workload whose template it is, or the pod.
	Object *Object
	// Path leads to the spec inside Object: "spec.template.spec", or "spec" for a pod.
	Path string
	// Meta are the labels and annotations that the pod has.
	Meta *metav1.ObjectMeta
	Spec *corev1.PodSpec
	// Of is the template that this running pod was made from; nil for templates and
	// for pods that nothing in the snapshot owns. What is wrong with both is the
	// template's fault and reported there, once.
	Of *PodSpec
	// Running are the pods made from this template.
	Running []*Object
	// Containers are all containers: init and sidecar, regular, ephemeral, in that order.
	Containers []Container
}

// A ContainerKind is the list of a pod spec that a container stands in.
type ContainerKind string

// The kinds of containers. A Sidecar is an init container with restartPolicy Always.
const (
	Init      ContainerKind = "init"
	Sidecar   ContainerKind = "sidecar"
	Regular   ContainerKind = "regular"
	Ephemeral ContainerKind = "ephemeral"
)

// A Container is one container of a PodSpec, of any kind.
type Container struct {
	*corev1.Container
	Kind ContainerKind
	// Path leads to the container inside the object: "spec.template.spec.containers[cart]".
	Path string
}

// Namespace is where the pod runs.
func (p *PodSpec) Namespace() string { return p.Object.Namespace }

// ServiceAccount is the name of the identity that the pod runs as.
func (p *PodSpec) ServiceAccount() string {
	switch {
	case p.Spec.ServiceAccountName != "":
		return p.Spec.ServiceAccountName
	case p.Spec.DeprecatedServiceAccount != "":
		return p.Spec.DeprecatedServiceAccount
	}
	return "default"
}

// Static reports whether the pod is the mirror of a file in a node's manifest folder,
// which the API cannot change.
func (p *PodSpec) Static() bool {
	_, mirror := p.Meta.Annotations[corev1.MirrorPodAnnotationKey]
	return mirror
}

// Active reports whether the pod can still run: finished pods keep their spec but
// hold no network, no mounts and no identity.
func Active(pod *corev1.Pod) bool {
	return pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed
}

func newPodSpec(o *Object, path string, meta *metav1.ObjectMeta, spec *corev1.PodSpec) *PodSpec {
	p := &PodSpec{Object: o, Path: path, Meta: meta, Spec: spec}
	n := len(spec.InitContainers) + len(spec.Containers) + len(spec.EphemeralContainers)
	p.Containers = make([]Container, 0, n)
	for i := range spec.InitContainers {
		c := &spec.InitContainers[i]
		kind := Init
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			kind = Sidecar
		}
		p.Containers = append(p.Containers, Container{c, kind, fmt.Sprintf("%s.initContainers[%s]", path, c.Name)})
	}
	for i := range spec.Containers {
		c := &spec.Containers[i]
		p.Containers = append(p.Containers, Container{c, Regular, fmt.Sprintf("%s.containers[%s]", path, c.Name)})
	}
	for i := range spec.EphemeralContainers {
		// EphemeralContainerCommon has the same fields as Container on purpose
		// (k8s.io/api/core/v1/types.go), so a conversion is all it takes.
		c := (*corev1.Container)(&spec.EphemeralContainers[i].EphemeralContainerCommon)
		p.Containers = append(p.Containers, Container{c, Ephemeral, fmt.Sprintf("%s.ephemeralContainers[%s]", path, c.Name)})
	}
	return p
}
