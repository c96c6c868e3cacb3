// Package apiresource knows the resources that Kubernetes serves by itself: how they are
// called, whether they are in namespaces, what subresources they have. It knows no
// resource of anybody else and asks no server.
package apiresource

import (
	_ "embed"
	"slices"
	"strings"
	"sync"
)

// A Resource is one that the API serves, or one that is only asked about in authorization.
type Resource struct {
	Group, Name, Kind string
	Namespaced        bool
	Short             []string
	// Subresources are sorted: "status", "exec".
	Subresources []string
	// Virtual is one that no path of the API leads to: users, who are impersonated.
	Virtual bool
}

// String is how RBAC and kubectl write it: "deployments.apps".
func (r *Resource) String() string {
	if r.Group == "" {
		return r.Name
	}
	return r.Name + "." + r.Group
}

//go:embed table.txt
var table string

// All returns every resource that is known, in the order of groups and names, the virtual
// ones last.
var All = sync.OnceValue(func() []*Resource {
	var out []*Resource
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) != 5 || f[0] == "#" {
			continue
		}
		r := &Resource{Kind: f[1], Namespaced: f[2] == "namespaced", Short: list(f[3]), Subresources: list(f[4])}
		r.Name, r.Group, _ = strings.Cut(f[0], ".")
		if r.Group == "" && r.Name == "nodes" {
			r.Subresources = append(r.Subresources, kubelet...)
			slices.Sort(r.Subresources)
		}
		out = append(out, r)
	}
	return append(out, virtual...)
})

func list(field string) []string {
	if field == "-" {
		return nil
	}
	return strings.Split(field, ",")
}

// kubelet are the subresources of nodes that only kubelets ask about
// (k8s.io/kubernetes/pkg/kubelet/server/auth.go).
var kubelet = []string{"checkpoint", "configz", "healthz", "log", "metrics", "pods", "spec", "stats", "statusz"}

// virtual are the resources of verbs such as impersonate and approve
// (k8s.io/apiserver/pkg/endpoints/filters/impersonation, k8s.io/kubernetes/pkg/certauthorization).
var virtual = []*Resource{
	{Name: "users", Virtual: true},
	{Name: "groups", Virtual: true},
	{Group: "authentication.k8s.io", Name: "groups", Virtual: true},
	{Group: "authentication.k8s.io", Name: "nodes", Virtual: true},
	{Group: "authentication.k8s.io", Name: "serviceaccounts", Namespaced: true, Virtual: true},
	{Group: "authentication.k8s.io", Name: "uids", Virtual: true},
	{Group: "authentication.k8s.io", Name: "userextras", Virtual: true},
	{Group: "authentication.k8s.io", Name: "users", Virtual: true},
	{Group: "certificates.k8s.io", Name: "signers", Virtual: true},
}

// Find returns the resource of a group, or nil.
func Find(group, name string) *Resource {
	for _, r := range All() {
		if r.Group == group && r.Name == name {
			return r
		}
	}
	return nil
}

// Named returns the resources that people call so: by name, short name, singular or kind,
// in small letters. The core group's comes first.
func Named(word string) []*Resource {
	var out []*Resource
	for _, r := range All() {
		if r.Name == word || strings.ToLower(r.Kind) == word && word != "" || slices.Contains(r.Short, word) {
			out = append(out, r)
		}
	}
	return out
}
