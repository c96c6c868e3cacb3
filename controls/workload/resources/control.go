// Package resources finds containers that may take all of their node.
package resources

import (
	_ "embed"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed doc.md
var doc string

// Control is workload.resources.
var Control = &control.Control{
	ID:       "workload.resources",
	Title:    "Container has no bounds on what it takes",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	With:     []cluster.Need{cluster.LimitRanges}, // which give what a container does not say
	Check:    check,
	Refs:     []control.Ref{control.NSA("Resource policies"), control.MITRE("T1499")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	defaults := defaultsOf(s)
	for p := range podsec.Judged(s) {
		v := r.Pod(p)
		for _, c := range p.Containers {
			if c.Kind == cluster.Ephemeral {
				continue // the API takes no resources for one
			}
			var missing []string
			if !bounded(p, c, defaults[p.Namespace()], corev1.ResourceMemory, true) {
				missing = append(missing, "limits.memory")
			}
			for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
				if !bounded(p, c, defaults[p.Namespace()], name, false) {
					missing = append(missing, "requests."+string(name))
				}
			}
			if len(missing) > 0 {
				v.Broken(c.Path+".resources", "without "+strings.Join(missing, ", "), "a memory limit and requests for cpu and memory")
			}
		}
	}
}

// bounded reports whether the container has a limit (or a request) in the end: its
// own, its pod's, its namespace's default, or one that the cluster gave every pod that
// already runs from this template. A limit is a request where there is no other.
func bounded(p *cluster.PodSpec, c cluster.Container, d defaults, name corev1.ResourceName, limit bool) bool {
	if has(&c.Resources, name, limit) || p.Spec.Resources != nil && has(p.Spec.Resources, name, limit) {
		return true
	}
	if d.limits[name] || !limit && d.requests[name] {
		return true
	}
	return len(p.Running) > 0 && !slices.ContainsFunc(p.Running, func(o *cluster.Object) bool {
		pod, ok := o.Value.(*corev1.Pod)
		return !ok || !slices.ContainsFunc(slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers), func(running corev1.Container) bool {
			return running.Name == c.Name && has(&running.Resources, name, limit)
		})
	})
}

func has(res *corev1.ResourceRequirements, name corev1.ResourceName, limit bool) bool {
	_, limited := res.Limits[name]
	_, requested := res.Requests[name]
	return limited || !limit && requested
}

// defaults are what a namespace's LimitRanges give containers that say nothing.
type defaults struct{ limits, requests map[corev1.ResourceName]bool }

func defaultsOf(s *cluster.Snapshot) map[string]defaults {
	out := map[string]defaults{}
	for o, lr := range cluster.All[*corev1.LimitRange](s, "LimitRange") {
		d, ok := out[o.Namespace]
		if !ok {
			d = defaults{map[corev1.ResourceName]bool{}, map[corev1.ResourceName]bool{}}
			out[o.Namespace] = d
		}
		for _, item := range lr.Spec.Limits {
			if item.Type != corev1.LimitTypeContainer {
				continue
			}
			for name := range item.Default {
				d.limits[name] = true
			}
			for name := range item.DefaultRequest {
				d.requests[name] = true
			}
		}
	}
	return out
}
