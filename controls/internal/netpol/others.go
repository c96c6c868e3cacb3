package netpol

import (
	"maps"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// An Isolation is what all policies together do to a pod.
type Isolation struct {
	Ingress, Egress bool
	// Unsure names a policy whose selector could not be told; where a direction is
	// open, it may not be.
	Unsure string
}

// An Index answers for every pod which policies isolate it: Kubernetes' own, Cilium's
// and Calico's.
type Index struct {
	kubernetes  map[*cluster.PodSpec]directions
	byNamespace map[string][]policy // of others than Kubernetes
	everywhere  []policy
}

type directions struct{ ingress, egress bool }

// A policy is one policy of any kind with its selector parsed once.
type policy struct {
	selects         func(namespace string, pod labels.Set) (matched, sure bool)
	ingress, egress bool
	name            string
}

// New indexes the policies of a snapshot.
func New(s *cluster.Snapshot) *Index {
	x := &Index{kubernetes: kubernetes(s), byNamespace: map[string][]policy{}}
	for o, c := range cluster.All[*cluster.Custom](s, "CiliumNetworkPolicy") {
		x.byNamespace[o.Namespace] = append(x.byNamespace[o.Namespace], cilium(o, c)...)
	}
	for o, c := range cluster.All[*cluster.Custom](s, "CiliumClusterwideNetworkPolicy") {
		x.everywhere = append(x.everywhere, cilium(o, c)...)
	}
	for _, group := range []string{"projectcalico.org", "crd.projectcalico.org"} {
		for o, c := range cluster.All[*cluster.Custom](s, "NetworkPolicy."+group) {
			x.byNamespace[o.Namespace] = append(x.byNamespace[o.Namespace], calico(o, c))
		}
	}
	for o, c := range cluster.All[*cluster.Custom](s, "GlobalNetworkPolicy") {
		x.everywhere = append(x.everywhere, calico(o, c))
	}
	return x
}

// kubernetes reads Kubernetes' own policies.
func kubernetes(s *cluster.Snapshot) map[*cluster.PodSpec]directions {
	var ingress, egress []cluster.Selection[bool]
	for o, np := range cluster.All[*networkingv1.NetworkPolicy](s, "NetworkPolicy") {
		sel, err := metav1.LabelSelectorAsSelector(&np.Spec.PodSelector)
		if err != nil {
			continue // the API server refuses such a policy
		}
		selects := cluster.Selection[bool]{Namespace: o.Namespace, Selector: sel, Of: true}
		in, out := Isolates(np)
		if in {
			ingress = append(ingress, selects)
		}
		if out {
			egress = append(egress, selects)
		}
	}
	both := map[*cluster.PodSpec]directions{}
	for p := range cluster.Selecting(s, ingress) {
		both[p] = directions{ingress: true}
	}
	for p := range cluster.Selecting(s, egress) {
		both[p] = directions{both[p].ingress, true}
	}
	return both
}

// ByKubernetes reports in which directions Kubernetes' own policies isolate a pod.
func (x *Index) ByKubernetes(p *cluster.PodSpec) (ingress, egress bool) {
	is := x.kubernetes[p]
	return is.ingress, is.egress
}

// Of answers for one pod.
func (x *Index) Of(p *cluster.PodSpec) Isolation {
	out := x.others(p.Namespace(), p.Meta.Labels)
	ingress, egress := x.ByKubernetes(p)
	out.Ingress, out.Egress = out.Ingress || ingress, out.Egress || egress
	return out
}

// Next answers for a pod without labels, which stands for the next one that may come:
// the policies of others than Kubernetes that take it in.
func (x *Index) Next(namespace string) Isolation { return x.others(namespace, nil) }

func (x *Index) others(namespace string, pod labels.Set) Isolation {
	var out Isolation
	for _, list := range [][]policy{x.byNamespace[namespace], x.everywhere} {
		for _, np := range list {
			switch matched, sure := np.selects(namespace, pod); {
			case !sure && (np.ingress || np.egress):
				out.Unsure = np.name
			case matched:
				out.Ingress, out.Egress = out.Ingress || np.ingress, out.Egress || np.egress
			}
		}
	}
	return out
}

// cilium reads a policy of Cilium, which holds one rule or several. A direction is closed
// where it has rules, unless enableDefaultDeny says otherwise
// (cilium: pkg/policy/api/rule_validation.go, Sanitize).
func cilium(o *cluster.Object, c *cluster.Custom) []policy {
	var rules []map[string]any
	if rule, ok := c.Field("spec").(map[string]any); ok {
		rules = append(rules, rule)
	}
	list, _ := c.Field("specs").([]any)
	for _, r := range list {
		if rule, ok := r.(map[string]any); ok {
			rules = append(rules, rule)
		}
	}
	var out []policy
	for _, rule := range rules {
		selector, ok := rule["endpointSelector"].(map[string]any)
		if !ok {
			continue // it is for nodes
		}
		out = append(out, policy{
			name: o.String(), selects: ciliumSelector(selector),
			ingress: ciliumDenies(rule, "ingress"), egress: ciliumDenies(rule, "egress"),
		})
	}
	return out
}

func ciliumDenies(rule map[string]any, direction string) bool {
	if deny, ok := rule["enableDefaultDeny"].(map[string]any); ok {
		if set, ok := deny[direction].(bool); ok {
			return set
		}
	}
	allow, _ := rule[direction].([]any)
	refuse, _ := rule[direction+"Deny"].([]any)
	return len(allow)+len(refuse) > 0
}

// namespaceLabel is the label by which Cilium knows a pod's namespace.
const namespaceLabel = "io.kubernetes.pod.namespace"

// ciliumSelector selects by labels that may carry their source: "k8s:app", "any:app".
// Namespaces' own labels are not told apart here.
func ciliumSelector(selector map[string]any) func(string, labels.Set) (bool, bool) {
	sel := &metav1.LabelSelector{MatchLabels: map[string]string{}}
	sure := true
	key := func(k string) string {
		k = strings.TrimPrefix(strings.TrimPrefix(k, "k8s:"), "any:")
		if strings.Contains(k, ":") || strings.HasPrefix(k, "io.cilium.") {
			sure = false
		}
		return k
	}
	matchLabels, _ := selector["matchLabels"].(map[string]any)
	for k, v := range matchLabels {
		text, ok := v.(string)
		sure = sure && ok
		sel.MatchLabels[key(k)] = text
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
		sel.MatchExpressions = append(sel.MatchExpressions, metav1.LabelSelectorRequirement{Key: key(k), Operator: metav1.LabelSelectorOperator(op), Values: values})
	}
	parsed, err := metav1.LabelSelectorAsSelector(sel)
	return func(namespace string, pod labels.Set) (bool, bool) {
		if err != nil || !sure {
			return false, false
		}
		set := make(labels.Set, len(pod)+1)
		maps.Copy(set, pod)
		set[namespaceLabel] = namespace
		return parsed.Matches(set), true
	}
}

// calico reads a policy of Calico. Without types it is ingress, and egress if there are
// egress rules, but egress alone where there are only those.
func calico(o *cluster.Object, c *cluster.Custom) policy {
	p := policy{name: o.String()}
	types, _ := c.Field("spec.types").([]any)
	in, _ := c.Field("spec.ingress").([]any)
	out, _ := c.Field("spec.egress").([]any)
	if len(types) == 0 {
		p.ingress, p.egress = len(in) > 0 || len(out) == 0, len(out) > 0
	} else {
		p.ingress, p.egress = slices.Contains(types, any("Ingress")), slices.Contains(types, any("Egress"))
	}
	selector, _ := c.Field("spec.selector").(string)
	spaces, _ := c.Field("spec.namespaceSelector").(string)
	accounts, _ := c.Field("spec.serviceAccountSelector").(string)
	p.selects = func(_ string, pod labels.Set) (bool, bool) {
		if spaces != "" && spaces != "all()" && spaces != "global()" || accounts != "" && accounts != "all()" {
			return false, false
		}
		return calicoMatches(selector, pod)
	}
	return p
}

// calicoMatches evaluates the part of Calico's selectors that people use: all(), has(k),
// !has(k), k == 'v', k != 'v', joined by &&. The second answer is false for the rest.
func calicoMatches(selector string, pod labels.Set) (matched, sure bool) {
	if strings.ContainsAny(selector, "|{") {
		return false, false
	}
	matched = true
	for term := range strings.SplitSeq(selector, "&&") {
		term = strings.TrimSpace(term)
		if term == "" || term == "all()" {
			if term == "" && strings.TrimSpace(selector) != "" {
				return false, false
			}
			continue
		}
		negated := strings.HasPrefix(term, "!") && !strings.HasPrefix(term, "!=")
		term = strings.TrimSpace(strings.TrimPrefix(term, "!"))
		if key, ok := strings.CutPrefix(term, "has("); ok && strings.HasSuffix(key, ")") {
			_, has := pod[strings.TrimSpace(strings.TrimSuffix(key, ")"))]
			matched = matched && has != negated
			continue
		}
		key, value, ok := strings.Cut(term, "==")
		differs := false
		if !ok {
			key, value, ok = strings.Cut(term, "!=")
			differs = true
		}
		value = strings.TrimSpace(value)
		if !ok || negated || len(value) < 2 || value[0] != value[len(value)-1] || value[0] != '\'' && value[0] != '"' || strings.ContainsAny(value[1:len(value)-1], `'"`) {
			return false, false
		}
		matched = matched && (pod[strings.TrimSpace(key)] == value[1:len(value)-1]) != differs
	}
	return matched, true
}
