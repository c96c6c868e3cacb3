package policy

import (
	"fmt"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/rules"
)

// A belief is whether something is so; not where that cannot be told, with the reason.
type belief struct {
	so      bool
	unknown string
}

func known(so bool) belief { return belief{so: so} }

func unsure(format string, args ...any) belief { return belief{unknown: fmt.Sprintf(format, args...)} }

func (b belief) isNo() bool { return b.unknown == "" && !b.so }

// and is false where any is, whatever the others may be.
func and(all ...belief) belief {
	out := known(true)
	for _, b := range all {
		switch {
		case b.isNo():
			return b
		case b.unknown != "" && out.unknown == "":
			out = b
		}
	}
	return out
}

// matches reports whether an object's creation is what a policy or binding is for, as
// Matcher.Matches in k8s.io/apiserver/pkg/admission/plugin/policy/matching decides: a
// selector that is none is an error only for what the rules are for.
func matches(m *admissionv1.MatchResources, s *subject) (belief, error) {
	namespaces, noNamespaces := selectsNamespace(m.NamespaceSelector, s)
	if noNamespaces == nil && namespaces.isNo() {
		return namespaces, nil
	}
	objects, noObjects := metav1.LabelSelectorAsSelector(m.ObjectSelector)
	if noObjects == nil && !objects.Empty() && !objects.Matches(labels.Set(s.labels)) {
		return known(false), nil
	}
	excluded := matchesRules(m.ExcludeResourceRules, m.MatchPolicy, s)
	if excluded.so {
		return known(false), nil
	}
	included := known(true)
	if len(m.ResourceRules) > 0 {
		included = matchesRules(m.ResourceRules, m.MatchPolicy, s)
	}
	switch {
	case included.isNo():
		return included, nil
	case noNamespaces != nil:
		return belief{}, fmt.Errorf("namespaceSelector: %w", noNamespaces)
	case noObjects != nil:
		return belief{}, fmt.Errorf("objectSelector: %w", noObjects)
	}
	return and(included, namespaces, belief{so: excluded.unknown == "", unknown: excluded.unknown}), nil
}

func matchesRules(all []admissionv1.NamedRuleWithOperations, policy *admissionv1.MatchPolicyType, s *subject) belief {
	named := func(r admissionv1.NamedRuleWithOperations) bool {
		return len(r.ResourceNames) == 0 || slices.Contains(r.ResourceNames, s.attributes.GetName())
	}
	for _, r := range all {
		m := rules.Matcher{Rule: r.RuleWithOperations, Attr: s.attributes}
		if m.Matches() && named(r) {
			return known(true)
		}
	}
	if policy == nil || *policy == admissionv1.Exact {
		return known(false)
	}
	// An equivalent version would be judged in that version, if the server has it: that
	// conversion is the server's.
	for _, r := range all {
		for _, v := range r.APIVersions {
			gvr := s.attributes.GetResource()
			if v == "*" || v == gvr.Version {
				continue
			}
			gvr.Version = v
			m := rules.Matcher{Rule: r.RuleWithOperations, Attr: inVersion{s.attributes, gvr}}
			if m.Matches() && named(r) {
				return unsure("it was read as %s, and the policy judges it as version %s", s.gvk.GroupVersion(), v)
			}
		}
	}
	return known(false)
}

// inVersion is a request as it would be for another version of its resource.
type inVersion struct {
	admission.Attributes
	resource schema.GroupVersionResource
}

func (a inVersion) GetResource() schema.GroupVersionResource { return a.resource }

// selectsNamespace does as MatchNamespaceSelector in
// k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/namespace.
func selectsNamespace(ls *metav1.LabelSelector, s *subject) (belief, error) {
	namespace := s.attributes.GetNamespace()
	if namespace == "" && s.attributes.GetResource().Resource != "namespaces" {
		return known(true), nil
	}
	selector, err := metav1.LabelSelectorAsSelector(ls)
	switch {
	case err != nil:
		return belief{}, err
	case selector.Empty():
		return known(true), nil
	case s.isNamespace():
		return known(selector.Matches(labels.Set(s.labels))), nil
	case s.namespace != nil:
		return known(selector.Matches(labels.Set(s.namespace.Labels))), nil
	}
	// Of a namespace that is not there only the label with its name is known, which the
	// API server sets itself.
	have := labels.Set{corev1.LabelMetadataName: namespace}
	out := known(true)
	requirements, _ := selector.Requirements()
	for _, r := range requirements {
		switch {
		case r.Key() != corev1.LabelMetadataName:
			out = unsure("namespace %s is not in the input, and the policy asks for its labels", namespace)
		case !r.Matches(have):
			return known(false), nil
		}
	}
	return out, nil
}
