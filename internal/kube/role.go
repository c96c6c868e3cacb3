package kube

import (
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// Rules are the permissions with which Read reads the needs, and no others. What only
// machines tell takes none. Rules are ordered by group, resources within them by name.
// Own are the kinds that the user named. What is left out is not among them, also where
// other facts are found through it.
func Rules(needs []cluster.Need, own []cluster.CustomKind, leaveOut ...cluster.Need) []rbacv1.PolicyRule {
	r := &reader{opts: Options{Needs: needs}, own: own}
	if r.opts.Needs == nil {
		r.opts.Needs = []cluster.Need{}
	}
	byGroup := map[string][]string{}
	list := func(need cluster.Need) {
		if r.wants(need) && !slices.Contains(leaveOut, need) {
			group, resource := need.GroupResource()
			byGroup[group] = append(byGroup[group], resource)
		}
	}
	for _, res := range resources {
		list(res.need)
	}
	for need := range tabled {
		list(need)
	}
	for _, e := range r.allExtras() {
		list(e.need)
	}
	var rules []rbacv1.PolicyRule
	for group, names := range byGroup {
		slices.Sort(names)
		rules = append(rules, rbacv1.PolicyRule{APIGroups: []string{group}, Resources: names, Verbs: []string{"list"}})
	}
	slices.SortFunc(rules, func(a, b rbacv1.PolicyRule) int { return strings.Compare(a.APIGroups[0], b.APIGroups[0]) })
	if r.wants(cluster.KubeletConfig) && !slices.Contains(leaveOut, cluster.KubeletConfig) {
		rules = append(rules, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"nodes/proxy"}, Verbs: []string{"get"}})
	}
	// The versions of the server and its groups, which system:discovery gives everybody
	// unless somebody has taken it away.
	urls := []string{"/apis", "/apis/*", "/version"}
	if r.wants(cluster.APIServerFlags) {
		urls = append(urls, "/flagz")
	}
	return append(rules, rbacv1.PolicyRule{NonResourceURLs: urls, Verbs: []string{"get"}})
}
