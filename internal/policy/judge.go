package policy

import (
	"context"
	"errors"
	"strings"

	celtypes "github.com/google/cel-go/common/types"
	reviewv1 "k8s.io/api/admission/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	apiservercel "k8s.io/apiserver/pkg/cel"
)

// A decision is what one validation says of one request. It is let through where all
// are empty.
type decision struct {
	// refused is the message for whoever sent the request.
	refused string
	// failed is set where the expression could not be evaluated: its error.
	failed string
	// unknown says why it cannot be told.
	unknown string
	// denies is set where the binding's actions do not matter.
	denies bool
}

// A parameter is what `params` holds, and which of its fields were not read.
type parameter struct {
	object  runtime.Object
	unknown [][]string
}

// requester are what only the sender of a request knows.
var requester = [][]string{{"request", "userInfo"}, {"request", "options"}}

// evaluate does as Validate in
// k8s.io/apiserver/pkg/admission/plugin/policy/validating/validator.go and the matcher in
// plugin/webhook/matchconditions do, and answers unknown where a result rests on what was
// not read. The values of the annotations are returned by key.
func (c *compiled) evaluate(s *subject, p parameter) ([]decision, map[string]string, error) {
	attributes, err := s.versioned()
	if err != nil {
		return nil, nil, err
	}
	var asked asks
	unknown := append([][]string{}, requester...)
	for _, field := range s.unknown {
		unknown = append(unknown, append([]string{"object"}, field...))
	}
	for _, field := range p.unknown {
		unknown = append(unknown, append([]string{"params"}, field...))
	}
	run := func(b batch, withAuthorizer bool, namespace *corev1.Namespace, budget int64) ([]answer, int64, error) {
		optional := plugincel.OptionalVariableBindings{VersionedParams: p.object}
		if withAuthorizer {
			optional.Authorizer = &asked
		}
		request := plugincel.CreateAdmissionRequest(attributes.Attributes, metav1.GroupVersionResource(attributes.GetResource()), metav1.GroupVersionKind(s.gvk))
		return b.answers(attributes, request, optional, namespace, budget, unknown, &asked)
	}

	// Match conditions are evaluated without the namespace, as the API server does.
	met := known(true)
	if len(c.conditions.expressions) > 0 {
		conditions, _, err := run(c.conditions, true, nil, celconfig.RuntimeCELCostBudgetMatchConditions)
		if err != nil {
			return allFailed(err, met), nil, nil
		}
		var failure string
		for i, a := range conditions {
			switch {
			case a.unknown != "":
				met = unsure("match condition %s: %s", c.conditions.expressions[i].name, a.unknown)
			case a.value == celtypes.False:
				return nil, nil, nil
			case a.err != nil && failure == "":
				failure = a.err.Error()
			}
		}
		if failure != "" {
			return []decision{{failed: failure, unknown: met.unknown}}, nil, nil
		}
	}

	namespace := plugincel.CreateNamespaceObject(s.namespace)
	if s.namespace == nil && s.object.Namespace != "" {
		unknown = append(unknown, []string{plugincel.NamespaceVarName})
	}
	validations, left, err := run(c.validations, true, namespace, celconfig.RuntimeCELCostBudget)
	if err != nil {
		return allFailed(err, met), nil, nil
	}
	var messages []answer
	var noMessage error
	if c.messages.any() {
		messages, _, noMessage = run(c.messages, false, namespace, left)
	}
	decisions := make([]decision, len(validations))
	for i, a := range validations {
		d := &decisions[i]
		switch {
		case a.unknown != "":
			d.unknown = a.unknown
		case a.err != nil:
			d.failed = a.err.Error()
		case outOfBudget(noMessage):
			d.failed = "messageExpression: " + noMessage.Error()
		case a.value != celtypes.True:
			if i < len(messages) {
				d.refused = message(messages[i])
			}
			if d.refused == "" {
				d.refused = c.fallbacks[i]
			}
		}
		if met.unknown != "" && (d.refused != "" || d.failed != "") {
			*d = decision{unknown: met.unknown}
		}
	}
	// The annotations see the namespace whole and no authorizer (validator.go hands them on
	// so), and an error in one refuses the request.
	if !c.annotations.any() {
		return decisions, nil, nil
	}
	annotations, _, err := run(c.annotations, false, s.namespace, celconfig.RuntimeCELCostBudget)
	if err != nil {
		return allFailed(err, met), nil, nil
	}
	values := map[string]string{}
	for i, a := range annotations {
		key := c.annotations.expressions[i].name
		switch v, isText := valueOf(a); {
		case isText:
			values[key] = strings.TrimSpace(v)
		case a.unknown == "" && a.err != nil:
			decisions = append(decisions, decision{failed: a.err.Error(), unknown: met.unknown, denies: true})
		}
	}
	return decisions, values, nil
}

// allFailed is the decision where a whole batch cannot be evaluated, which is about the
// policy and no error of the scan.
func allFailed(err error, met belief) []decision {
	return []decision{{failed: err.Error(), unknown: met.unknown}}
}

// message is the text of a message expression; empty where the policy's own text stands in.
func message(a answer) string {
	text, ok := valueOf(a)
	text = strings.TrimSpace(text)
	if !ok || len(text) > celconfig.MaxEvaluatedMessageExpressionSizeBytes || strings.Contains(text, "\n") {
		return ""
	}
	return text
}

func valueOf(a answer) (string, bool) {
	if a.err != nil || a.value == nil || a.unknown != "" {
		return "", false
	}
	text, ok := a.value.(celtypes.String)
	return string(text), ok
}

// fallback is what the API server says where no message expression has said it.
func fallback(v admissionv1.Validation) string {
	if m := strings.TrimSpace(v.Message); m != "" {
		return m
	}
	return "failed expression: " + strings.TrimSpace(v.Expression)
}

// An answer is the value of one expression, or why it has none.
type answer struct {
	value   any
	err     error
	unknown string
}

func (b batch) any() bool {
	for _, e := range b.expressions {
		if e != nil {
			return true
		}
	}
	return false
}

// answers evaluates a batch. Its own error is one that the API server gives for the whole.
func (b batch) answers(attributes *admission.VersionedAttributes, request *reviewv1.AdmissionRequest, optional plugincel.OptionalVariableBindings, namespace *corev1.Namespace, budget int64, unknown [][]string, asked *asks) ([]answer, int64, error) {
	*asked = false
	results, left, err := b.evaluator.ForInput(context.Background(), attributes, request, optional, namespace, budget)
	if err != nil {
		return nil, 0, err
	}
	out := make([]answer, len(results))
	for i, r := range results {
		e := b.expressions[i]
		if e == nil {
			continue
		}
		a := &out[i]
		a.value, a.err = r.EvalResult, firstLine(r.Error)
		for _, path := range unknown {
			if how := mentioned(e.reads, path); how == probed || how == read && r.Error != nil {
				a.unknown = "it rests on " + join(path) + ", which is not known here"
			}
		}
		if bool(*asked) && e.asks(plugincel.AuthorizerVarName) {
			a.unknown = "it rests on what the sender of the request may do, which is not known here"
		}
	}
	return out, left, nil
}

// firstLine leaves out the picture of the expression that a compiler's error carries.
func firstLine(err error) error {
	if err == nil {
		return nil
	}
	if line, rest, _ := strings.Cut(err.Error(), "\n"); rest != "" {
		return errors.New(line)
	}
	return err
}

// asks is an authorizer that only remembers that it was asked.
type asks bool

var errNotKnown = errors.New("not known here")

func (a *asks) Authorize(context.Context, authorizer.Attributes) (authorizer.Decision, string, error) {
	*a = true
	return authorizer.DecisionNoOpinion, "", errNotKnown
}

// outOfBudget reports whether an error is about cost.
func outOfBudget(err error) bool {
	return errors.Is(err, apiservercel.ErrOutOfBudget) || errors.Is(err, apiservercel.ErrInternal)
}
