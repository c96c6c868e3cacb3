package network

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// others compiles the policies of Cilium and Calico as far as whom they isolate. What
// their rules let through is not followed: where there are any, it is unknown.
func (c *compiler) others(s *cluster.Snapshot) {
	for o, custom := range cluster.All[*cluster.Custom](s, "CiliumNetworkPolicy") {
		c.cilium(o, custom, c.terms.namespace(o.Namespace))
	}
	everywhere := c.terms.selected(c.terms.everyone())
	for o, custom := range cluster.All[*cluster.Custom](s, "CiliumClusterwideNetworkPolicy") {
		c.cilium(o, custom, everywhere)
	}
	for _, group := range []string{"projectcalico.org", "crd.projectcalico.org"} {
		for o, custom := range cluster.All[*cluster.Custom](s, "NetworkPolicy."+group) {
			c.calico(o, custom, c.terms.namespace(o.Namespace))
		}
	}
	for o, custom := range cluster.All[*cluster.Custom](s, "GlobalNetworkPolicy") {
		c.calico(o, custom, everywhere)
	}
}

// A foreignRule is what the rules of such a policy do in one direction, in short.
type foreignRule uint8

const (
	nothing foreignRule = iota // there are none
	permits                    // they only let through, as those of a NetworkPolicy
	refuses                    // they may refuse as well, or take precedence
)

// isolating adds a policy of another kind. Where it has no rules it does what a
// NetworkPolicy without rules does.
func (c *compiler) isolating(o *cluster.Object, subject int32, closes [2]bool, rules [2]foreignRule) {
	plain := &policy{object: o, tier: namespaced, subject: subject}
	opaque := &policy{object: o, tier: foreign, subject: subject}
	for _, d := range []Direction{Ingress, Egress} {
		r := rule{path: "spec." + d.String(), ports: ports{set: AllPorts}}
		switch {
		case rules[d] == refuses || rules[d] == permits && !closes[d]:
			r.action, r.peers.any = unclear, true
			opaque.applies[d], opaque.rules[d] = true, []rule{r}
		case rules[d] == permits:
			r.action, r.peers.doubt = Accept, "what it lets through is not followed"
			plain.applies[d], plain.rules[d] = true, []rule{r}
		case closes[d]:
			plain.applies[d] = true
		}
	}
	for _, p := range []*policy{plain, opaque} {
		if p.applies[Ingress] || p.applies[Egress] {
			c.policies = append(c.policies, p)
		}
	}
}

// cilium reads a policy of Cilium, which holds one rule or several. A direction is closed
// where it has rules, even empty ones, unless enableDefaultDeny says otherwise
// (cilium: pkg/policy/api/rule_validation.go, Sanitize).
func (c *compiler) cilium(o *cluster.Object, custom *cluster.Custom, spaces int32) {
	list, _ := custom.Field("specs").([]any)
	for _, r := range append([]any{custom.Field("spec")}, list...) {
		spec, _ := r.(map[string]any)
		selector, ok := spec["endpointSelector"].(map[string]any)
		if !ok {
			continue // it is for nodes
		}
		var closes [2]bool
		var rules [2]foreignRule
		for _, d := range []Direction{Ingress, Egress} {
			allow, _ := spec[d.String()].([]any)
			refuse, _ := spec[d.String()+"Deny"].([]any)
			closes[d] = len(allow)+len(refuse) > 0
			if deny, ok := spec["enableDefaultDeny"].(map[string]any); ok {
				if set, ok := deny[d.String()].(bool); ok {
					closes[d] = set
				}
			}
			empty := func(r any) bool {
				m, ok := r.(map[string]any)
				return ok && len(m) == 0
			}
			switch {
			case len(refuse) > 0:
				rules[d] = refuses
			case len(allow) > 0 && !slices.ContainsFunc(allow, func(r any) bool { return !empty(r) }):
			case len(allow) > 0:
				rules[d] = permits
			}
		}
		c.isolating(o, c.ciliumTerm(selector, spaces), closes, rules)
	}
}

// ciliumNamespace is the label by which Cilium knows a pod's namespace.
const ciliumNamespace = "io.kubernetes.pod.namespace"

// ciliumTerm is the set of pods that an endpointSelector takes in, by labels that may
// carry their source: "k8s:app", "any:app". It may be anybody where the selector asks for
// labels of other sources, or of namespaces.
func (c *compiler) ciliumTerm(selector map[string]any, spaces int32) int32 {
	sel, in := &metav1.LabelSelector{MatchLabels: map[string]string{}}, &metav1.LabelSelector{}
	sure := true
	key := func(k string) string {
		k = strings.TrimPrefix(strings.TrimPrefix(k, "k8s:"), "any:")
		if strings.Contains(k, ":") || strings.HasPrefix(k, "io.cilium.") || strings.HasPrefix(k, ciliumNamespace+".") {
			sure = false
		}
		return k
	}
	add := func(r metav1.LabelSelectorRequirement) {
		to := sel
		if r.Key == ciliumNamespace {
			to, r.Key = in, namespaceName
		}
		to.MatchExpressions = append(to.MatchExpressions, r)
	}
	matchLabels, _ := selector["matchLabels"].(map[string]any)
	for k, v := range matchLabels {
		text, ok := v.(string)
		sure = sure && ok
		add(metav1.LabelSelectorRequirement{Key: key(k), Operator: metav1.LabelSelectorOpIn, Values: []string{text}})
	}
	expressions, _ := selector["matchExpressions"].([]any)
	for _, e := range expressions {
		m, _ := e.(map[string]any)
		k, _ := m["key"].(string)
		op, _ := m["operator"].(string)
		var values []string
		list, _ := m["values"].([]any)
		for _, v := range list {
			text, ok := v.(string)
			sure = sure && ok
			values = append(values, text)
		}
		add(metav1.LabelSelectorRequirement{Key: key(k), Operator: metav1.LabelSelectorOperator(op), Values: values})
	}
	if !sure {
		return c.terms.term(spaces, c.terms.doubtful("whom it selects is not followed"))
	}
	id, _ := c.terms.selector(sel)
	if len(in.MatchExpressions) > 0 {
		other, _ := c.terms.selector(in)
		spaces = c.terms.both(spaces, c.terms.selected(other))
	}
	return c.terms.term(spaces, id)
}

// calico reads a policy of Calico. Without types it is ingress, and egress if there are
// egress rules, but egress alone where there are only those
// (projectcalico: api/pkg/apis/projectcalico/v3/networkpolicy.go, Types).
func (c *compiler) calico(o *cluster.Object, custom *cluster.Custom, spaces int32) {
	types, _ := custom.Field("spec.types").([]any)
	in, _ := custom.Field("spec.ingress").([]any)
	out, _ := custom.Field("spec.egress").([]any)
	closes := [2]bool{Ingress: len(in) > 0 || len(out) == 0, Egress: len(out) > 0}
	if len(types) > 0 {
		closes = [2]bool{Ingress: slices.Contains(types, any("Ingress")), Egress: slices.Contains(types, any("Egress"))}
	}
	var rules [2]foreignRule
	tier, _ := custom.Field("spec.tier").(string)
	for d, list := range [2][]any{in, out} {
		// What comes of the end of another tier is not followed.
		if closes[d] && (len(list) > 0 || tier != "" && tier != "default") {
			rules[d] = refuses
		}
	}
	text := func(field string) string {
		s, _ := custom.Field("spec." + field).(string)
		return strings.TrimSpace(s)
	}
	pods, sure := calicoSelector(text("selector"))
	if s := text("namespaceSelector"); s != "" && s != "all()" && s != "global()" {
		sure = false
	}
	if s := text("serviceAccountSelector"); s != "" && s != "all()" {
		sure = false
	}
	sel := c.terms.doubtful("whom it selects is not followed")
	if sure {
		sel, _ = c.terms.selector(pods)
	}
	c.isolating(o, c.terms.term(spaces, sel), closes, rules)
}

// calicoSelector reads the part of Calico's selectors that people use: all(), has(k),
// !has(k), k == 'v', k != 'v', joined by &&. The second answer is false for the rest.
func calicoSelector(selector string) (*metav1.LabelSelector, bool) {
	out := &metav1.LabelSelector{}
	if strings.TrimSpace(selector) == "" {
		return out, true
	}
	if strings.ContainsAny(selector, "|{") {
		return nil, false
	}
	add := func(key string, op metav1.LabelSelectorOperator, values ...string) {
		out.MatchExpressions = append(out.MatchExpressions, metav1.LabelSelectorRequirement{Key: strings.TrimSpace(key), Operator: op, Values: values})
	}
	for term := range strings.SplitSeq(selector, "&&") {
		term = strings.TrimSpace(term)
		if term == "all()" {
			continue
		}
		negated := strings.HasPrefix(term, "!") && !strings.HasPrefix(term, "!=")
		term = strings.TrimSpace(strings.TrimPrefix(term, "!"))
		if key, ok := strings.CutPrefix(term, "has("); ok && strings.HasSuffix(key, ")") {
			op := metav1.LabelSelectorOpExists
			if negated {
				op = metav1.LabelSelectorOpDoesNotExist
			}
			add(strings.TrimSuffix(key, ")"), op)
			continue
		}
		op := metav1.LabelSelectorOpIn
		key, value, ok := strings.Cut(term, "==")
		if !ok {
			op = metav1.LabelSelectorOpNotIn
			key, value, ok = strings.Cut(term, "!=")
		}
		value = strings.TrimSpace(value)
		if !ok || negated || len(value) < 2 || value[0] != value[len(value)-1] || value[0] != '\'' && value[0] != '"' || strings.ContainsAny(value[1:len(value)-1], `'"`) {
			return nil, false
		}
		add(key, op, value[1:len(value)-1])
	}
	// What Kubernetes would not have as a label is none of these.
	if _, err := metav1.LabelSelectorAsSelector(out); err != nil {
		return nil, false
	}
	return out, true
}

// unread stands in for policies that exist, or may, and could not be read: a policy of
// which nothing is known, not even whether it is there.
func (c *compiler) unread(s *cluster.Snapshot, profile Profile) {
	enforced := map[cluster.Need]Tri{
		cluster.ClusterPolicies: profile.Cluster, cluster.AdminPolicies: profile.Admin, cluster.BaselinePolicies: profile.Admin,
	}
	for _, need := range cluster.Isolation {
		if is, ok := enforced[need]; ok && is == No {
			continue
		}
		whole := s.Live && !s.Looked(need)
		var sets []int32
		for _, g := range s.Gaps(need) {
			if _, ok := c.terms.byName[g.Scope]; ok {
				sets = append(sets, c.terms.namespace(g.Scope))
			} else if g.Scope == "" {
				whole = true
			}
		}
		if whole {
			sets = []int32{c.terms.selected(c.terms.everyone())}
		}
		why := string(need) + " could not be read"
		for _, set := range sets {
			p := &policy{tier: foreign, subject: c.terms.term(set, c.terms.everyone()), doubt: why, applies: [2]bool{true, true}}
			r := rule{action: unclear, peers: peers{doubt: why}, ports: ports{set: AllPorts}}
			if need == cluster.NetworkPolicies {
				// These isolate, and let more through, but never deny.
				p.tier, r.action = namespaced, Accept
			}
			p.rules = [2][]rule{{r}, {r}}
			c.policies = append(c.policies, p)
		}
	}
}

// conflicts reports policies of one tier and priority: where both match, either may go
// first.
func (c *compiler) conflicts() {
	type place struct {
		tier     tier
		priority int32
	}
	first := map[place]*policy{}
	for _, p := range c.policies {
		if p.tier != admin && p.tier != baseline {
			continue
		}
		k := place{p.tier, p.priority}
		if other := first[k]; other != nil {
			c.problem(p.object, "spec.priority", "is %d, as that of %s: where both match, either may go first", p.priority, other.object)
			continue
		}
		first[k] = p
	}
}
