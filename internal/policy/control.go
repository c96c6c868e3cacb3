package policy

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

// The keys of audit annotations by which a control gives its evidence.
const (
	PathKey = "path"
	GotKey  = "got"
	WantKey = "want"
)

// Check judges every object that the policy is for, as a control does: what the policy
// refuses is broken, what it cannot be evaluated on is unknown. With templates, the pods
// that workloads make are judged as pods, and their fault is the workload's.
func (p *Policy) Check(templates bool) func(*cluster.Snapshot, *control.Report) {
	return func(s *cluster.Snapshot, r *control.Report) {
		pods := corev1.SchemeGroupVersion.WithKind("Pod")
		for _, o := range s.Objects() {
			sub := subjectOf(s, o)
			if templates && sub.gvk == pods {
				continue
			}
			if verdicts, asked := p.judge(s, sub); asked {
				record(r.Object(o), sub, verdicts)
			}
		}
		if !templates {
			return
		}
		for _, spec := range s.Pods() {
			sub := podOf(s, spec)
			if verdicts, asked := p.judge(s, sub); asked {
				record(r.Pod(spec), sub, verdicts)
			}
		}
	}
}

func record(v *control.Verdict, sub *subject, verdicts []verdict) {
	for _, d := range verdicts {
		switch {
		case d.unknown != "":
			v.Unknown("", d.unknown)
		case d.failed != "":
			v.Unknown("", "it cannot be evaluated: "+d.failed)
		case d.refused != "":
			path := d.annotations[PathKey]
			if path == "" {
				v.Broken("", "", "").Because("%s", d.refused)
				continue
			}
			got := cmp.Or(d.annotations[GotKey], valueAt(sub, path))
			v.Broken(sub.locate(path), got, d.annotations[WantKey]).Because("%s", d.refused)
		}
	}
}

// valueAt is how evidence writes what stands at a path.
func valueAt(sub *subject, path string) string {
	if sub.content == nil {
		return "not set"
	}
	switch value, ok := control.Lookup(sub.content.Object, path); v := value.(type) {
	case nil:
		return "not set"
	case string:
		return v
	case map[string]any, []any:
		return "set"
	default:
		if text, err := json.Marshal(v); ok && err == nil {
			return string(text)
		}
		return "set"
	}
}

// Needs are what a control made of the policy reads: over one by one, with for all.
func (p *Policy) Needs(templates bool) (over, with []cluster.Need) {
	over = needsOf(p.Definition.Spec.MatchConstraints)
	if templates {
		over = append(over, cluster.Workloads...)
		slices.Sort(over)
		over = slices.Compact(over)
	}
	if p.readsNamespaces() {
		with = []cluster.Need{cluster.Namespaces}
	}
	return over, with
}

// readsNamespaces reports whether the policy asks what only a Namespace object tells.
func (p *Policy) readsNamespaces() bool {
	all := []*admissionv1.MatchResources{p.Definition.Spec.MatchConstraints}
	for _, b := range p.Bindings {
		all = append(all, b.Spec.MatchResources)
	}
	for _, m := range all {
		if m == nil {
			continue
		}
		selector, err := metav1.LabelSelectorAsSelector(m.NamespaceSelector)
		if err != nil {
			continue
		}
		requirements, _ := selector.Requirements()
		if slices.ContainsFunc(requirements, func(r labels.Requirement) bool { return r.Key() != corev1.LabelMetadataName }) {
			return true
		}
	}
	return p.compiled.reads("namespaceObject")
}

// Controls are the ValidatingAdmissionPolicies of a snapshot, each as a control: which
// objects that exist would it refuse if they were created today?
func Controls(s *cluster.Snapshot) []*control.Control {
	bindings := map[string][]*admissionv1.ValidatingAdmissionPolicyBinding{}
	for _, b := range cluster.All[*admissionv1.ValidatingAdmissionPolicyBinding](s, "ValidatingAdmissionPolicyBinding") {
		bindings[b.Spec.PolicyName] = append(bindings[b.Spec.PolicyName], b)
	}
	var out []*control.Control
	for o, definition := range cluster.All[*admissionv1.ValidatingAdmissionPolicy](s, "ValidatingAdmissionPolicy") {
		out = append(out, stored(o.Ref, definition, bindings[definition.Name]))
	}
	if len(out) == 0 {
		// So that policies that could not be read are unknown and not forgotten.
		out = append(out, stored(cluster.Ref{Kind: "ValidatingAdmissionPolicy", Name: "all"}, &admissionv1.ValidatingAdmissionPolicy{}, nil))
	}
	return out
}

// stored is a policy of the snapshot as a control.
func stored(ref cluster.Ref, definition *admissionv1.ValidatingAdmissionPolicy, bindings []*admissionv1.ValidatingAdmissionPolicyBinding) *control.Control {
	c := &control.Control{
		ID:       "policy." + ref.Name,
		Title:    "Object that policy " + ref.Name + " would not let in today",
		Severity: control.Low,
		Since:    "0.1.0",
		With:     []cluster.Need{cluster.ValidatingPolicies, cluster.ValidatingPolicyBindings},
		Doc:      storedDoc(definition, bindings),
	}
	for _, b := range bindings {
		if slices.Contains(b.Spec.ValidationActions, admissionv1.Deny) {
			c.Severity = control.Medium
		}
	}
	p, err := New(Stored(), definition, bindings)
	if err != nil {
		c.Over = []cluster.Need{cluster.ValidatingPolicies}
		c.Check = func(s *cluster.Snapshot, r *control.Report) {
			if o := s.Get(ref); o != nil {
				r.Object(o).Unknown("spec", err.Error())
			}
		}
		return c
	}
	over, with := p.Needs(false)
	c.Over, c.With = over, append(c.With, with...)
	c.Check = func(s *cluster.Snapshot, r *control.Report) {
		byMaker := map[*cluster.Object]*makes{}
		var order []*makes
		for _, o := range s.Objects() {
			sub := subjectOf(s, o)
			if isExempt(sub.attributes.GetResource()) {
				continue
			}
			if verdicts, asked := p.judge(s, sub); asked {
				maker := s.Maker(o)
				m := byMaker[maker]
				if m == nil {
					m = &makes{of: maker, faults: map[fault]*alike{}}
					byMaker[maker] = m
					order = append(order, m)
				}
				m.add(sub, verdicts, *p.Definition.Spec.FailurePolicy == admissionv1.Ignore)
			}
		}
		for _, m := range order {
			m.report(r.Object(m.of), ref)
		}
	}
	return c
}

// makes are a workload and what controllers made for it. What is wrong with many of them
// alike, such as a thousand pods of one template, is said once, of the workload.
type makes struct {
	of     *cluster.Object
	faults map[fault]*alike
	order  []*alike
}

// A fault is one decision of the policy that came out one way.
type fault struct {
	binding string
	index   int
	outcome control.Outcome
}

// alike are the objects with one fault.
type alike struct {
	fault
	text   string
	first  *cluster.Object
	itself bool // the workload is one of them
	others int
}

func (m *makes) add(sub *subject, verdicts []verdict, ignored bool) {
	for _, d := range verdicts {
		f := fault{index: d.index, outcome: control.Broken}
		if d.binding != nil {
			f.binding = d.binding.Name
		}
		text := ""
		switch {
		case d.failed != "" && ignored:
			continue // let in, as the server does
		case d.unknown != "":
			f.outcome, text = control.Unknown, d.unknown
		case d.failed != "" && !sub.stored() && strings.Contains(d.failed, "no such key"):
			f.outcome, text = control.Unknown, "the API server may fill in a default: "+d.failed
		case d.failed != "":
			text = fmt.Sprintf("%s, as the policy cannot be evaluated: %s", refuses(d.binding, d.decision), d.failed)
		case d.refused != "":
			text = fmt.Sprintf("%s: %s", refuses(d.binding, d.decision), d.refused)
		default:
			continue
		}
		a := m.faults[f]
		if a == nil {
			a = &alike{fault: f, text: text, first: sub.object}
			m.faults[f] = a
			m.order = append(m.order, a)
		} else {
			a.others++
		}
		if sub.object == m.of {
			a.itself, a.text = true, text
		}
	}
}

func (m *makes) report(v *control.Verdict, ref cluster.Ref) {
	for _, a := range m.order {
		via := []cluster.Ref{ref}
		if a.binding != "" {
			via = append(via, cluster.Ref{Kind: "ValidatingAdmissionPolicyBinding", Name: a.binding})
		}
		text := a.text
		switch {
		case a.itself:
		case a.others > 0:
			text = fmt.Sprintf("%s and %d more of its own: %s", a.first, a.others, text)
		default:
			text = fmt.Sprintf("%s: %s", a.first, text)
		}
		if a.outcome == control.Unknown {
			v.Unknown("", text).Through(via...)
			continue
		}
		v.Broken("", "", "").Because("%s", text).Through(via...)
	}
}

// storedDoc is the page of a policy's control.
func storedDoc(definition *admissionv1.ValidatingAdmissionPolicy, bindings []*admissionv1.ValidatingAdmissionPolicyBinding) string {
	var evidence strings.Builder
	for _, v := range definition.Spec.Validations {
		fmt.Fprintf(&evidence, "    %s\n", strings.ReplaceAll(strings.TrimSpace(v.Expression), "\n", "\n    "))
	}
	if len(bindings) == 0 {
		evidence.WriteString("\nNo binding puts the policy in force.\n")
	}
	return fmt.Sprintf(`## Why

The API server asks a ValidatingAdmissionPolicy only when an object is created or
changed. What was there before the policy, or came while it was not bound, stays until
somebody touches it, and then a rollout fails at the worst moment.

## Evidence

The policy's expressions, evaluated on every object that exists as if it were created now:

%s
## Fix

Change the object so that the policy lets it in. Where the object is right, the policy or
its binding is to be narrowed.

## Prove

kubectl create --dry-run=server -f with the object's manifest: the API server answers as
the policy does.

## References

- https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
`, evidence.String())
}
