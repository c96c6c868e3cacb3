// Package hook gives both kinds of admission webhook one form. It judges none.
package hook

import (
	"iter"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// A Hook is what validating and mutating webhooks have in common.
type Hook struct {
	Name     string
	Mutating bool
	// Ignore is whether a request passes when the webhook fails.
	Ignore bool
	// Exact is whether requests in other versions of the same kind pass unseen.
	Exact      bool
	Config     *admissionv1.WebhookClientConfig
	Rules      []admissionv1.RuleWithOperations
	Conditions []admissionv1.MatchCondition
}

// All iterates over the configurations, each with its webhooks.
func All(s *cluster.Snapshot) iter.Seq2[*cluster.Object, []Hook] {
	return func(yield func(*cluster.Object, []Hook) bool) {
		for o, c := range cluster.All[*admissionv1.ValidatingWebhookConfiguration](s, "ValidatingWebhookConfiguration") {
			var hooks []Hook
			for i := range c.Webhooks {
				w := &c.Webhooks[i]
				hooks = append(hooks, Hook{w.Name, false, ignore(w.FailurePolicy), exact(w.MatchPolicy), &w.ClientConfig, w.Rules, w.MatchConditions})
			}
			if !yield(o, hooks) {
				return
			}
		}
		for o, c := range cluster.All[*admissionv1.MutatingWebhookConfiguration](s, "MutatingWebhookConfiguration") {
			var hooks []Hook
			for i := range c.Webhooks {
				w := &c.Webhooks[i]
				hooks = append(hooks, Hook{w.Name, true, ignore(w.FailurePolicy), exact(w.MatchPolicy), &w.ClientConfig, w.Rules, w.MatchConditions})
			}
			if !yield(o, hooks) {
				return
			}
		}
	}
}

func ignore(p *admissionv1.FailurePolicyType) bool { return p != nil && *p == admissionv1.Ignore }

func exact(p *admissionv1.MatchPolicyType) bool { return p != nil && *p == admissionv1.Exact }

// Local reports whether the address is on the API server's own machine.
func Local(url string) bool {
	h := Host(url)
	return h == "localhost" || strings.HasPrefix(h, "127.") || h == "[::1]"
}

// Host is a URL's host without its port, user and path.
func Host(url string) string {
	_, rest, _ := strings.Cut(url, "://")
	rest, _, _ = strings.Cut(rest, "/")
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		rest = rest[i+1:]
	}
	if strings.HasPrefix(rest, "[") {
		end := strings.IndexByte(rest, ']')
		return rest[:end+1]
	}
	rest, _, _ = strings.Cut(rest, ":")
	return rest
}
