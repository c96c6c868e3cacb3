package suggest

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// A Group is the pods that one workload makes: what a policy can speak of.
type Group struct {
	// Ref is the workload, or the pod where nothing owns it.
	Ref cluster.Ref
	// Select are the labels that policies know it by; nil where it has none that last.
	Select map[string]string
	// Specs are the template and the pods that run.
	Specs []*cluster.PodSpec
	// Host is set for pods in their node's network, which policies do not reach.
	Host bool

	stable map[string]string
}

func (g *Group) String() string { return g.Ref.String() }

// groups finds every group of the snapshot, in order, with the labels to select it by.
func groups(s *cluster.Snapshot) []*Group {
	byRef := map[cluster.Ref]*Group{}
	var all []*Group
	put := func(ref cluster.Ref, p *cluster.PodSpec) {
		g := byRef[ref]
		if g == nil {
			g = &Group{Ref: ref}
			byRef[ref] = g
			all = append(all, g)
		}
		g.Specs = append(g.Specs, p)
		g.Host = g.Host || p.Spec.HostNetwork
	}
	for _, p := range s.Pods() {
		switch owner := metav1.GetControllerOfNoCopy(p.Object.Meta); {
		case p.Object.Kind == "PodTemplate", strings.HasSuffix(p.Object.Kind, "SandboxTemplate"):
			// It makes nothing by itself.
		case p.Of != nil:
			put(p.Of.Object.Ref, p)
		case owner != nil && p.Object.Kind == "Pod" && !p.Static():
			// Its owner was not read; the pods that name it belong together all the same.
			put(cluster.Ref{Kind: owner.Kind, Namespace: p.Namespace(), Name: owner.Name}, p)
		default:
			put(p.Object.Ref, p)
		}
	}
	slices.SortFunc(all, func(a, b *Group) int { return a.Ref.Compare(b.Ref) })
	byNamespace := map[string][]*Group{}
	for _, g := range all {
		g.stable = stable(g.Specs)
		byNamespace[g.Ref.Namespace] = append(byNamespace[g.Ref.Namespace], g)
	}
	for _, g := range all {
		g.Select = selector(g, byNamespace[g.Ref.Namespace])
	}
	return all
}

// preferred are the keys that say what a workload is, the best first
// (https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/).
var preferred = []string{
	"app.kubernetes.io/name", "app.kubernetes.io/component", "app.kubernetes.io/instance",
	"k8s-app", "app", "name", "component", "role", "tier", "app.kubernetes.io/part-of",
}

// passing are keys whose values change with a release or differ from pod to pod.
var passing = []string{
	"pod-template-hash", "controller-revision-hash", "pod-template-generation", "controller-uid", "job-name",
	"batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name", "batch.kubernetes.io/job-completion-index",
	"statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index", "leaderworkerset.sigs.k8s.io/worker-index",
	"rollouts-pod-template-hash", "version", "release", "revision", "chart", "heritage", "date",
	"app.kubernetes.io/version", "app.kubernetes.io/managed-by", "helm.sh/chart", "app.kubernetes.io/created-by",
	"topology.kubernetes.io/zone", "topology.kubernetes.io/region",
}

// stable are the labels that every pod of a group has and will have: those of its template
// where it is known, else those that all its pods share.
func stable(specs []*cluster.PodSpec) map[string]string {
	template := slices.IndexFunc(specs, func(p *cluster.PodSpec) bool { return p.Object.Kind != "Pod" })
	from := specs
	if template >= 0 {
		from = specs[template : template+1]
	}
	out := maps.Clone(from[0].Meta.Labels)
	maps.DeleteFunc(out, func(key, value string) bool {
		return slices.Contains(passing, key) || strings.Contains(key, "hash") || slices.ContainsFunc(from[1:], func(p *cluster.PodSpec) bool {
			other, ok := p.Meta.Labels[key]
			return !ok || other != value
		})
	})
	return out
}

// selector are the fewest stable labels that no other group of the namespace has all of;
// where there are none such, as many as it takes to be next to alone.
func selector(g *Group, neighbours []*Group) map[string]string {
	if len(g.stable) == 0 {
		return nil
	}
	keys := slices.SortedFunc(maps.Keys(g.stable), func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a, b))
	})
	picked := map[string]string{}
	rest := slices.DeleteFunc(slices.Clone(neighbours), func(o *Group) bool { return o == g || o.Host })
	for {
		best, fewest := "", len(rest)+1
		for _, key := range keys {
			n := 0
			for _, o := range rest {
				if o.has(key, g.stable[key]) {
					n++
				}
			}
			if n < fewest {
				best, fewest = key, n
			}
		}
		if len(picked) > 0 && fewest == len(rest) {
			break // no label tells it from those that are left
		}
		picked[best] = g.stable[best]
		rest = slices.DeleteFunc(rest, func(o *Group) bool { return !o.has(best, g.stable[best]) })
		if len(rest) == 0 {
			break
		}
	}
	return picked
}

func rank(key string) int {
	if i := slices.Index(preferred, key); i >= 0 {
		return i
	}
	return len(preferred)
}

// has reports whether any pod of the group carries the label, of its template or by itself.
func (g *Group) has(key, value string) bool {
	return slices.ContainsFunc(g.Specs, func(p *cluster.PodSpec) bool {
		have, ok := p.Meta.Labels[key]
		return ok && have == value
	})
}

// selects reports whether labels match any pod of the group.
func (g *Group) selects(s labels.Selector) bool {
	return slices.ContainsFunc(g.Specs, func(p *cluster.PodSpec) bool { return s.Matches(labels.Set(p.Meta.Labels)) })
}

// A service is one with a selector: who stands behind it, and on which ports.
type service struct {
	ref    cluster.Ref
	spec   *corev1.Service
	groups []*Group
}

// services joins Services with the groups that they select.
func services(s *cluster.Snapshot, all []*Group) []service {
	byNamespace := map[string][]*Group{}
	for _, g := range all {
		byNamespace[g.Ref.Namespace] = append(byNamespace[g.Ref.Namespace], g)
	}
	var out []service
	for o, svc := range cluster.All[*corev1.Service](s, "Service") {
		one := service{ref: o.Ref, spec: svc}
		if len(svc.Spec.Selector) > 0 && svc.Spec.Type != corev1.ServiceTypeExternalName {
			selects := labels.SelectorFromSet(svc.Spec.Selector)
			for _, g := range byNamespace[o.Namespace] {
				if g.selects(selects) {
					one.groups = append(one.groups, g)
				}
			}
		}
		out = append(out, one)
	}
	return out
}

// targets are the ports of a group that a Service's port leads to; several where its
// target is a name and pods of the group give it different numbers.
func targets(g *Group, p corev1.ServicePort) []Port {
	protocol := cmp.Or(p.Protocol, corev1.ProtocolTCP)
	if p.TargetPort.StrVal == "" {
		number := uint16(cmp.Or(p.TargetPort.IntVal, p.Port))
		if cmp.Or(p.TargetPort.IntVal, p.Port) < 1 || cmp.Or(p.TargetPort.IntVal, p.Port) > 65535 {
			return nil
		}
		return []Port{{protocol, number}}
	}
	var out []Port
	for _, spec := range g.Specs {
		for port, name := range declared(spec) {
			if name == p.TargetPort.StrVal && port.Protocol == protocol && !slices.Contains(out, port) {
				out = append(out, port)
			}
		}
	}
	return out
}

// declared iterates over the ports that long-running containers of a pod declare.
func declared(p *cluster.PodSpec) func(func(Port, string) bool) {
	return func(yield func(Port, string) bool) {
		for _, c := range p.Containers {
			if c.Kind == cluster.Init || c.Kind == cluster.Ephemeral {
				continue
			}
			for _, port := range c.Ports {
				if port.ContainerPort < 1 || port.ContainerPort > 65535 {
					continue
				}
				if !yield(Port{cmp.Or(port.Protocol, corev1.ProtocolTCP), uint16(port.ContainerPort)}, port.Name) {
					return
				}
			}
		}
	}
}
