// Package audit answers what an audit policy records of a request, as the API server
// decides it: the first rule that matches counts. It reads no policy and no log.
package audit

import (
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// A Request is what a policy looks at. Path is set where it is on no resource.
type Request struct {
	User                         string
	Groups                       []string
	Verb                         string
	Group, Resource, Subresource string
	Namespace, Name              string
	Path                         string
}

// An Answer is what a policy says of a request.
type Answer struct {
	// Level is None, Metadata, Request or RequestResponse.
	Level string
	// Rule is the index of the rule that matched, or -1.
	Rule int
	// OmitStages are the rule's and the policy's together.
	OmitStages []string
}

// Recorded reports whether any event is written. Only long-running requests have the
// stage ResponseStarted; Panic is no way to be recorded.
func (a Answer) Recorded(longRunning bool) bool {
	if a.Level == "None" || a.Level == "" {
		return false
	}
	stages := []string{"RequestReceived", "ResponseComplete"}
	if longRunning {
		stages = append(stages, "ResponseStarted")
	}
	return slices.ContainsFunc(stages, func(s string) bool { return !slices.Contains(a.OmitStages, s) })
}

// Evaluate finds the first rule that matches, as
// k8s.io/apiserver/pkg/audit/policy/checker.go does. Without one nothing is recorded.
func Evaluate(p *cluster.AuditPolicy, r Request) Answer {
	for i := range p.Rules {
		if rule := &p.Rules[i]; matches(rule, r) {
			return Answer{rule.Level, i, append(slices.Clone(p.OmitStages), rule.OmitStages...)}
		}
	}
	return Answer{Level: "None", Rule: -1, OmitStages: slices.Clone(p.OmitStages)}
}

func matches(rule *cluster.AuditRule, r Request) bool {
	if len(rule.Users) > 0 && !slices.Contains(rule.Users, r.User) {
		return false
	}
	if len(rule.UserGroups) > 0 && !slices.ContainsFunc(r.Groups, func(g string) bool { return slices.Contains(rule.UserGroups, g) }) {
		return false
	}
	if len(rule.Verbs) > 0 && !slices.Contains(rule.Verbs, r.Verb) {
		return false
	}
	switch {
	case len(rule.Namespaces) > 0 || len(rule.Resources) > 0:
		return matchesResource(rule, r)
	case len(rule.NonResourceURLs) > 0:
		return r.Path != "" && slices.ContainsFunc(rule.NonResourceURLs, func(spec string) bool { return matchesPath(r.Path, spec) })
	}
	return true
}

func matchesPath(path, spec string) bool {
	return spec == "*" || spec == path ||
		strings.HasSuffix(spec, "*") && strings.HasPrefix(path, strings.TrimRight(spec, "*"))
}

func matchesResource(rule *cluster.AuditRule, r Request) bool {
	if r.Path != "" || len(rule.Namespaces) > 0 && !slices.Contains(rule.Namespaces, r.Namespace) {
		return false
	}
	if len(rule.Resources) == 0 {
		return true
	}
	whole := r.Resource
	if r.Subresource != "" {
		whole += "/" + r.Subresource
	}
	for _, g := range rule.Resources {
		if g.Group != r.Group && g.Group != "*" {
			continue
		}
		if len(g.Resources) == 0 {
			return true
		}
		if len(g.ResourceNames) > 0 && !slices.Contains(g.ResourceNames, r.Name) {
			continue
		}
		for _, res := range g.Resources {
			sub, anyResource := strings.CutPrefix(res, "*/")
			name, anySub := strings.CutSuffix(res, "/*")
			if res == whole || res == "*" || anyResource && r.Subresource != "" && sub == r.Subresource || anySub && name == r.Resource {
				return true
			}
		}
	}
	return false
}
