package rights

import (
	"math/rand/v2"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/bulwark-k8s/bulwark/internal/authz"
)

// A randomRule is out of words that are few, so that rules meet.
func randomRule(rng *rand.Rand) rbacv1.PolicyRule {
	some := func(from ...string) []string {
		var out []string
		for _, x := range from {
			if rng.IntN(3) == 0 {
				out = append(out, x)
			}
		}
		return out
	}
	rule := rbacv1.PolicyRule{Verbs: append(some("get", "list", "*"), "watch")}
	if rng.IntN(4) == 0 {
		rule.NonResourceURLs = append(some("*", "/a", "/a/*", "/a/**", "/a*b*"), "/b")
		return rule
	}
	rule.APIGroups = append(some("", "*"), "apps")
	rule.Resources = append(some("pods", "*", "*/log", "pods/*", "nodes"), "pods/log")
	if rng.IntN(2) == 0 {
		rule.ResourceNames = append(some("a", "*", ""), "b")
	}
	return rule
}

func allows(rules []rbacv1.PolicyRule, a *authz.Attributes) bool {
	for i := range rules {
		if authz.RuleAllows(&rules[i], a) {
			return true
		}
	}
	return false
}

// requests are all of a small world.
func requests() []authz.Attributes {
	var out []authz.Attributes
	for _, verb := range []string{"get", "list", "watch", "create", "*"} {
		for _, path := range []string{"/", "/a", "/a/", "/a/c", "/axb", "/axbc", "/b", "/a/**"} {
			out = append(out, authz.URL(verb, path))
		}
		for _, group := range []string{"", "apps", "batch"} {
			for _, resource := range []string{"pods", "pods/log", "pods/exec", "nodes", "nodes/log", "secrets"} {
				for _, name := range []string{"", "a", "b", "c", "*"} {
					out = append(out, authz.Request(verb, group, resource, "shop", name))
				}
			}
		}
	}
	return out
}

// TestRulesAreTheSame: taking rules apart, reducing them and putting them together again
// changes no decision; and what one set has without another is what another decides.
func TestRulesAreTheSame(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	world := requests()
	for range 400 {
		var rules, others []rbacv1.PolicyRule
		set, other := Set{}, Set{}
		for range 1 + rng.IntN(4) {
			rule, another := randomRule(rng), randomRule(rng)
			rules, others = append(rules, rule), append(others, another)
			if err := set.Add(&rule); err != nil {
				t.Fatal(err)
			}
			if err := other.Add(&another); err != nil {
				t.Fatal(err)
			}
		}
		set.Reduce()
		merged, gained := set.Rules(), set.Without(other).Rules()
		for i := range world {
			a := &world[i]
			before := allows(rules, a)
			if after := allows(merged, a); after != before {
				t.Fatalf("%s is %v, and %v with the rules put together:\n%v\n%v", a, before, after, rules, merged)
			}
			if before && !allows(others, a) && !allows(gained, a) {
				t.Fatalf("%s is new, and not among what is gained:\n%v\n%v\n%v", a, rules, others, gained)
			}
			if allows(gained, a) && !before {
				t.Fatalf("%s is gained by rules that do not allow it:\n%v\n%v", a, rules, gained)
			}
		}
	}
}

// TestAddIsBounded: no rule makes more than can be kept.
func TestAddIsBounded(t *testing.T) {
	many := make([]string, 3000)
	for i := range many {
		many[i] = string(rune('a' + i))
	}
	if err := (Set{}).Add(&rbacv1.PolicyRule{Verbs: []string{"get"}, APIGroups: many, Resources: many}); err == nil {
		t.Error("a rule of nine million rights was taken apart")
	}
}
