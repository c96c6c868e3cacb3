package policy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// A Policy is a ValidatingAdmissionPolicy that can be evaluated, with its bindings.
type Policy struct {
	Definition *admissionv1.ValidatingAdmissionPolicy
	Bindings   []*admissionv1.ValidatingAdmissionPolicyBinding
	// Parameters are objects that bindings may refer to besides those of the Snapshot.
	Parameters []*unstructured.Unstructured

	compiled *compiled
}

// New compiles a policy. Faults in its expressions are in Faults: the API server too
// evaluates a policy that was stored with a fault, and fails on it.
func New(l Language, definition *admissionv1.ValidatingAdmissionPolicy, bindings []*admissionv1.ValidatingAdmissionPolicyBinding) (*Policy, error) {
	definition = definition.DeepCopy()
	setDefaults(definition)
	if definition.Spec.MatchConstraints == nil {
		return nil, errors.New("spec.matchConstraints is not set, want at least one of resourceRules")
	}
	p := &Policy{Definition: definition}
	for _, b := range bindings {
		b = b.DeepCopy()
		defaultMatch(b.Spec.MatchResources)
		p.Bindings = append(p.Bindings, b)
	}
	var err error
	p.compiled, err = l.compile(&definition.Spec)
	return p, err
}

// Faults are what is wrong with the policy's expressions: each an ExpressionError.
func (p *Policy) Faults() []error { return p.compiled.faults }

// setDefaults does as pkg/apis/admissionregistration/v1/defaults.go of Kubernetes, for
// policies that no server has stored yet.
func setDefaults(p *admissionv1.ValidatingAdmissionPolicy) {
	if p.Spec.FailurePolicy == nil {
		fail := admissionv1.Fail
		p.Spec.FailurePolicy = &fail
	}
	defaultMatch(p.Spec.MatchConstraints)
}

func defaultMatch(m *admissionv1.MatchResources) {
	if m == nil {
		return
	}
	if m.MatchPolicy == nil {
		equivalent := admissionv1.Equivalent
		m.MatchPolicy = &equivalent
	}
	if m.NamespaceSelector == nil {
		m.NamespaceSelector = &metav1.LabelSelector{}
	}
	if m.ObjectSelector == nil {
		m.ObjectSelector = &metav1.LabelSelector{}
	}
}

// exempt are the resources that no policy is asked about
// (k8s.io/apiserver/pkg/admission/plugin/policy/generic/plugin.go).
var exempt = []string{
	"validatingadmissionpolicies", "validatingadmissionpolicybindings",
	"mutatingadmissionpolicies", "mutatingadmissionpolicybindings",
}

func isExempt(r schema.GroupVersionResource) bool {
	return r.Group == admissionv1.GroupName && slices.Contains(exempt, r.Resource)
}

// A verdict is a decision of one binding on one subject.
type verdict struct {
	decision
	binding *admissionv1.ValidatingAdmissionPolicyBinding
	// index is the decision's place among those of the binding.
	index int
	// annotations are the values of the policy's audit annotations.
	annotations map[string]string
}

// judge asks every binding of the policy, in the order that the API server would. It
// reports false where the policy is not for the subject.
func (p *Policy) judge(s *cluster.Snapshot, sub *subject) ([]verdict, bool) {
	applies, err := matches(p.Definition.Spec.MatchConstraints, sub)
	switch {
	case err != nil:
		return []verdict{{decision: decision{failed: err.Error(), denies: true}}}, true
	case applies.isNo():
		return nil, false
	}
	var out []verdict
	asked := false
	for _, b := range p.Bindings {
		bound := known(true)
		if b.Spec.MatchResources != nil {
			if bound, err = matches(b.Spec.MatchResources, sub); err != nil {
				out, asked = append(out, verdict{decision: decision{failed: err.Error(), denies: true}, binding: b}), true
				continue
			}
		}
		if bound = and(applies, bound); bound.isNo() {
			continue
		}
		asked = true
		for _, v := range p.bound(s, sub, b) {
			if bound.unknown != "" && v.decision != (decision{}) {
				v.decision = decision{unknown: bound.unknown}
			}
			out = append(out, v)
		}
	}
	return out, asked
}

// bound evaluates the policy with every parameter of one binding.
func (p *Policy) bound(s *cluster.Snapshot, sub *subject, b *admissionv1.ValidatingAdmissionPolicyBinding) []verdict {
	parameters, d := p.parameters(s, b.Spec.ParamRef, sub.attributes.GetNamespace())
	if d != (decision{}) {
		return []verdict{{decision: d, binding: b}}
	}
	var out []verdict
	for _, parameter := range parameters {
		decisions, annotations, err := p.compiled.evaluate(sub, parameter)
		if err != nil {
			decisions = []decision{{unknown: err.Error()}}
		}
		for _, d := range decisions {
			out = append(out, verdict{d, b, len(out), annotations})
		}
	}
	return out
}

// parameters does as CollectParams in
// k8s.io/apiserver/pkg/admission/plugin/policy/generic/policy_dispatcher.go. A decision
// that says something is the answer instead.
func (p *Policy) parameters(s *cluster.Snapshot, ref *admissionv1.ParamRef, namespace string) ([]parameter, decision) {
	kind := p.Definition.Spec.ParamKind
	if kind == nil || ref == nil {
		return []parameter{{}}, decision{}
	}
	misconfigured := func(format string, args ...any) ([]parameter, decision) {
		return nil, decision{failed: fmt.Sprintf(format, args...), denies: true}
	}
	found, isNamespaced, need := p.candidates(s, kind)
	if need != "" && !s.Looked(need) {
		return nil, decision{unknown: fmt.Sprintf("its parameters are of kind %s of %s, which is not read", kind.Kind, kind.APIVersion)}
	}
	switch {
	case isNamespaced && ref.Namespace == "" && namespace == "":
		return misconfigured("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources")
	case !isNamespaced && ref.Namespace != "":
		return misconfigured("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
	case ref.Name != "" && ref.Selector != nil:
		return misconfigured("paramRef.name and paramRef.selector are mutually exclusive")
	case ref.Name == "" && ref.Selector == nil:
		return misconfigured("one of name or selector must be provided")
	}
	selector, err := metav1.LabelSelectorAsSelector(ref.Selector)
	if err != nil {
		return misconfigured("paramRef.selector: %v", err)
	}
	if isNamespaced {
		namespace = cmp.Or(ref.Namespace, namespace)
	} else {
		namespace = ""
	}
	var out []parameter
	for _, c := range found {
		m := c.object.(*unstructured.Unstructured)
		if m.GetNamespace() == namespace && (m.GetName() == ref.Name || ref.Name == "" && selector.Matches(labels.Set(m.GetLabels()))) {
			out = append(out, c)
		}
	}
	if len(out) > 0 {
		return out, decision{}
	}
	for _, g := range s.Gaps(need) {
		if g.Scope == "" || g.Scope == namespace {
			return nil, decision{unknown: "its parameters could not be read: " + g.Reason}
		}
	}
	if !s.Live {
		return nil, decision{unknown: fmt.Sprintf("its parameter, %s, is not in the input", describe(kind, ref, namespace))}
	}
	if a := ref.ParameterNotFoundAction; a != nil && *a == admissionv1.DenyAction {
		return misconfigured("no params found for policy binding with `Deny` parameterNotFoundAction")
	}
	return nil, decision{}
}

func describe(kind *admissionv1.ParamKind, ref *admissionv1.ParamRef, namespace string) string {
	return cluster.Ref{Kind: kind.Kind, Namespace: namespace, Name: cmp.Or(ref.Name, metav1.FormatLabelSelector(ref.Selector))}.String()
}

// candidates are the objects of the parameter's kind: the policy's own before the
// Snapshot's. The need is what the latter come from.
func (p *Policy) candidates(s *cluster.Snapshot, kind *admissionv1.ParamKind) (found []parameter, isNamespaced bool, need cluster.Need) {
	gvk := schema.FromAPIVersionAndKind(kind.APIVersion, kind.Kind)
	for _, o := range p.Parameters {
		if o.GroupVersionKind() == gvk {
			found = append(found, parameter{object: o})
			isNamespaced = isNamespaced || o.GetNamespace() != ""
		}
	}
	if len(found) > 0 {
		return found, isNamespaced, ""
	}
	resource := resourceOf(gvk)
	need = needOf(resource.Group, resource.Resource)
	isNamespaced = !slices.Contains(clusterScoped, need)
	for _, o := range s.Kind(gvk.Kind) {
		if o.APIVersion != kind.APIVersion {
			continue
		}
		if u, unknown, err := content(o, gvk); err == nil {
			found = append(found, parameter{u, unknown})
		}
	}
	return found, isNamespaced, need
}

// refuses says in a word what a binding does with a request that breaks its policy.
func refuses(b *admissionv1.ValidatingAdmissionPolicyBinding, d decision) string {
	if b == nil {
		return "would deny it"
	}
	actions := map[admissionv1.ValidationAction]string{
		admissionv1.Deny: "deny", admissionv1.Warn: "warn of", admissionv1.Audit: "audit",
	}
	var words []string
	for _, a := range []admissionv1.ValidationAction{admissionv1.Deny, admissionv1.Warn, admissionv1.Audit} {
		if slices.Contains(b.Spec.ValidationActions, a) || a == admissionv1.Deny && d.denies {
			words = append(words, actions[a])
		}
	}
	if len(words) == 0 {
		return "binding " + b.Name + " does nothing about it"
	}
	return fmt.Sprintf("binding %s would %s it", b.Name, strings.Join(words, " and "))
}
