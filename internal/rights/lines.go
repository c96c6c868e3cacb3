package rights

import (
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
)

// A Line is rights as people read them: verbs, and what they are for.
type Line struct {
	Verbs []string `json:"verbs"`
	// What are resources as kubectl writes them, "deployments.apps/scale", or paths.
	What []string `json:"on"`
	// Names are the only objects it is for; nil is all.
	Names []string `json:"names,omitempty"`
}

// Everything is what a Line calls all resources of all groups.
const Everything = "everything"

// Lines puts rules with the same verbs and names together, in the order of the first of each.
func Lines(rules []rbacv1.PolicyRule) []Line {
	var out []Line
	at := map[string]int{}
	for i := range rules {
		rule := &rules[i]
		for _, part := range []struct {
			what []string
			url  string
		}{{resources(rule), ""}, {rule.NonResourceURLs, "url"}} {
			if len(part.what) == 0 || len(rule.Verbs) == 0 {
				continue
			}
			line := Line{Verbs: rule.Verbs, What: part.what}
			if part.url == "" {
				line.Names = rule.ResourceNames
			}
			key := join([]string{part.url, join(line.Verbs), join(line.Names)})
			if n, ok := at[key]; ok {
				out[n].What = append(out[n].What, line.What...)
				continue
			}
			at[key] = len(out)
			out = append(out, line)
		}
	}
	return out
}

func resources(rule *rbacv1.PolicyRule) []string {
	var out []string
	for _, group := range rule.APIGroups {
		for _, resource := range rule.Resources {
			switch {
			case group == "*" && resource == "*":
				out = append(out, Everything)
			case group == "" && resource == "*":
				out = append(out, "* (core group)")
			default:
				out = append(out, dotted(group, resource))
			}
		}
	}
	return out
}

// String is the line in words: "get, list pods, services named a".
func (l Line) String() string { return strings.Join(l.Verbs, ", ") + " " + l.On() }

// On says what the verbs are for.
func (l Line) On() string {
	on := strings.Join(l.What, ", ")
	if len(l.Names) > 0 {
		on += " named " + strings.Join(slices.Clone(l.Names), ", ")
	}
	return on
}
