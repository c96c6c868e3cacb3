// Package recorded judges whether audit policies record an act at all. It knows no act
// by name.
package recorded

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/audit"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

// An Act is something that is worth an event.
type Act struct {
	Verbs []string
	// Group of the resources, which may have a subresource behind a slash.
	Group     string
	Resources []string
	// Long is whether the request lasts, as exec does.
	Long bool
}

// Write are the verbs that change something.
var Write = []string{"create", "update", "patch", "delete"}

// People stand for everybody whom a policy does not name: a rule for certain users is
// a choice, one for all of these is a hole.
var People = []audit.Request{
	{User: "jane", Groups: []string{"system:authenticated"}},
	{User: "system:serviceaccount:shop:cart", Groups: []string{"system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"}},
}

// Anonymous stands for those who did not log in.
var Anonymous = []audit.Request{{User: "system:anonymous", Groups: []string{"system:unauthenticated"}}}

// Judge opens a verdict on every audit policy and reports the rules by which one of the
// acts leaves no event.
func Judge(s *cluster.Snapshot, r *control.Report, people []audit.Request, acts ...Act) {
	for _, c := range s.Configs(cluster.AuditFile) {
		v := r.On(c.Ref, c.Source)
		lost := map[int][]string{}
		var rules []int
		each(people, acts, func(req audit.Request, what string, long bool) {
			a := audit.Evaluate(c.Audit, req)
			if a.Recorded(long) {
				return
			}
			if lost[a.Rule] == nil {
				rules = append(rules, a.Rule)
			}
			if !slices.Contains(lost[a.Rule], what) {
				lost[a.Rule] = append(lost[a.Rule], what)
			}
		})
		slices.Sort(rules)
		for _, rule := range rules {
			path, how := fmt.Sprintf("rules[%d]", rule), "the first that matches"
			if rule < 0 {
				path, how = "rules", "none matches"
			}
			v.Broken(path, "no event for "+shorten(lost[rule]), "level Metadata or more").Because("%s", how)
		}
	}
}

// each calls f with every request that the people could make.
func each(people []audit.Request, acts []Act, f func(req audit.Request, what string, long bool)) {
	for _, who := range people {
		for _, act := range acts {
			for _, resource := range act.Resources {
				for _, verb := range act.Verbs {
					req := who
					req.Verb, req.Group, req.Namespace, req.Name = verb, act.Group, "shop", "any"
					req.Resource, req.Subresource, _ = strings.Cut(resource, "/")
					if clusterWide[req.Resource] {
						req.Namespace = ""
					}
					f(req, verb+" "+resource, act.Long)
				}
			}
		}
	}
}

// clusterWide are the resources without a namespace among those that are asked for.
var clusterWide = map[string]bool{
	"nodes": true, "clusterroles": true, "clusterrolebindings": true, "certificatesigningrequests": true,
	"validatingwebhookconfigurations": true, "mutatingwebhookconfigurations": true,
	"validatingadmissionpolicies": true, "validatingadmissionpolicybindings": true,
	"mutatingadmissionpolicies": true, "mutatingadmissionpolicybindings": true,
}

func shorten(items []string) string {
	const most = 4
	if n := len(items) - most; n > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(items[:most], ", "), n)
	}
	return strings.Join(items, ", ")
}

// Levels returns, by rule, what a policy writes of the acts beyond that they happened.
func Levels(p *cluster.AuditPolicy, people []audit.Request, acts ...Act) map[int]string {
	out := map[int]string{}
	each(people, acts, func(req audit.Request, what string, long bool) {
		if a := audit.Evaluate(p, req); a.Recorded(long) && a.Level != "Metadata" && out[a.Rule] == "" {
			out[a.Rule] = a.Level + " for " + what
		}
	})
	return out
}
