package podsec

import (
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// NewestMinor is the newest version of the Pod Security Standards that is known here:
// Kubernetes 1.NewestMinor, from which the linked evaluator comes.
const NewestMinor = 36

// A Policy is one level of the Pod Security Standards at one version. What it answers is
// what Pod Security admission answers, because the evaluator is the API server's own.
type Policy struct{ lv api.LevelVersion }

// newestBaseline is the level that refuses what opens the node, as it is today.
var newestBaseline = Policy{api.LevelVersion{Level: api.LevelBaseline, Version: api.MajorMinorVersion(1, NewestMinor)}}

// ParsePolicy reads a level ("baseline", "restricted") and a version: "v1.30", or
// "latest" or nothing for the newest. Admission takes a version that it does not know
// for the newest; here it is an error, since the answer would change with the next
// release of Kubernetes.
func ParsePolicy(level, version string) (Policy, error) {
	p := newestBaseline
	switch api.Level(level) {
	case api.LevelBaseline, api.LevelRestricted:
		p.lv.Level = api.Level(level)
	default:
		return Policy{}, fmt.Errorf("level %q: want baseline or restricted", level)
	}
	if version == "" || version == "latest" {
		return p, nil
	}
	v, err := api.ParseVersion(version)
	if err != nil || v.Minor() > NewestMinor {
		return Policy{}, fmt.Errorf("version %q: want v1.0 to v1.%d, or latest", version, NewestMinor)
	}
	p.lv.Version = v
	return p, nil
}

// Level is "baseline" or "restricted".
func (p Policy) Level() string { return string(p.lv.Level) }

// Version is "v1.36".
func (p Policy) Version() string { return p.lv.Version.String() }

// A Refusal is one check of a Policy that a pod fails.
type Refusal struct {
	// Check is its ID in Kubernetes: "hostPorts".
	Check string
	// Says is admission's own message.
	Says string
}

// evaluator is the API server's, with all its rules of which check applies at which
// level and version. Its results do not say which check they are of, so each check is
// made to put its ID where the short reason stands.
var evaluator = sync.OnceValue(func() policy.Evaluator {
	checks := policy.DefaultChecks()
	for i := range checks {
		for j := range checks[i].Versions {
			v, id := &checks[i].Versions[j], string(checks[i].ID)
			judge := v.CheckPod
			v.CheckPod = func(meta *metav1.ObjectMeta, spec *corev1.PodSpec) policy.CheckResult {
				r := judge(meta, spec)
				if !r.Allowed {
					all := policy.AggregateCheckResults([]policy.CheckResult{r})
					r.ForbiddenDetail = all.ForbiddenDetail()
				}
				r.ForbiddenReason = id
				return r
			}
		}
	}
	e, err := policy.NewEvaluator(checks, nil)
	if err != nil {
		panic(err) // Kubernetes' own list of checks contradicts itself
	}
	return e
})

// Checks are the IDs of all checks that the policy makes, in the order it makes them.
func (p Policy) Checks() []string {
	var ids []string
	for _, r := range evaluator().EvaluatePod(p.lv, &metav1.ObjectMeta{}, &corev1.PodSpec{}) {
		ids = append(ids, r.ForbiddenReason)
	}
	return ids
}

// Judge returns what the policy would refuse the pod for; nothing where it lets it in.
func (p Policy) Judge(pod *cluster.PodSpec) []Refusal {
	pod = stored(pod)
	return p.judge(pod.Meta, pod.Spec)
}

// stored returns the pod as admission sees it, after the API server filled in what a
// check looks at: the kind of a volume that says nothing, and the node's ports of a pod
// on the node's network (pkg/apis/core/v1/defaults.go, SetDefaults_Volume and
// SetDefaults_Pod). A template is judged as the pod that is made from it.
func stored(pod *cluster.PodSpec) *cluster.PodSpec {
	ports := pod.Spec.HostNetwork && slices.ContainsFunc(pod.Containers, func(c cluster.Container) bool {
		return c.Kind != cluster.Ephemeral && slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.HostPort == 0 })
	})
	silent := func(v corev1.Volume) bool { return v.VolumeSource == (corev1.VolumeSource{}) }
	if !ports && !slices.ContainsFunc(pod.Spec.Volumes, silent) {
		return pod
	}
	out := *pod
	spec := *pod.Spec
	out.Spec = &spec
	spec.Volumes = slices.Clone(spec.Volumes)
	for i := range spec.Volumes {
		if silent(spec.Volumes[i]) {
			spec.Volumes[i].EmptyDir = &corev1.EmptyDirVolumeSource{}
		}
	}
	if !ports {
		return &out
	}
	spec.InitContainers, spec.Containers = withHostPorts(spec.InitContainers), withHostPorts(spec.Containers)
	out.Containers = slices.Clone(out.Containers)
	for i := range out.Containers {
		switch n := len(spec.InitContainers); {
		case i < n:
			out.Containers[i].Container = &spec.InitContainers[i]
		case i < n+len(spec.Containers):
			out.Containers[i].Container = &spec.Containers[i-n]
		}
	}
	return &out
}

func withHostPorts(containers []corev1.Container) []corev1.Container {
	containers = slices.Clone(containers)
	for i := range containers {
		ports := slices.Clone(containers[i].Ports)
		for j := range ports {
			if ports[j].HostPort == 0 {
				ports[j].HostPort = ports[j].ContainerPort
			}
		}
		containers[i].Ports = ports
	}
	return containers
}

func (p Policy) judge(meta *metav1.ObjectMeta, spec *corev1.PodSpec) []Refusal {
	var out []Refusal
	for _, r := range evaluator().EvaluatePod(p.lv, meta, spec) {
		if !r.Allowed {
			out = append(out, Refusal{r.ForbiddenReason, r.ForbiddenDetail})
		}
	}
	return out
}

// fails reports whether one check refuses the pod.
func (p Policy) fails(check string, meta *metav1.ObjectMeta, spec *corev1.PodSpec) bool {
	return slices.ContainsFunc(p.judge(meta, spec), func(r Refusal) bool { return r.Check == check })
}

// BelowBaseline says why Pod Security admission at the newest baseline would refuse the
// pod, or returns "" where it would let it in.
func BelowBaseline(p *cluster.PodSpec) string {
	for _, r := range newestBaseline.Judge(p) {
		return r.Says
	}
	return ""
}
