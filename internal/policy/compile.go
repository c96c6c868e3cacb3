package policy

import (
	"errors"
	"fmt"
	"slices"

	"github.com/google/cel-go/cel"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/util/version"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	apiservercel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/environment"
)

// Newest is the Kubernetes version whose CEL libraries are built in.
var Newest = version.MajorMinor(1, 36)

// A Language is CEL as an API server understands it.
type Language struct {
	base *environment.EnvSet
	mode environment.Type
}

// Stored is CEL as the newest API server evaluates what is stored: every library that any
// version has had.
func Stored() Language {
	return Language{environment.MustBaseEnvSet(Newest), environment.StoredExpressions}
}

// ForNew is CEL as an API server of a version accepts it in a new policy.
func ForNew(v *version.Version) Language {
	return Language{environment.MustBaseEnvSet(v), environment.NewExpressions}
}

// An ExpressionError is a fault in one expression of a policy.
type ExpressionError struct {
	// Field leads to the expression: "spec.validations[0].expression".
	Field string
	// Line and Column are within the expression, counted from 1; 0 where the fault is
	// the expression as a whole.
	Line, Column int
	Message      string
}

func (e *ExpressionError) Error() string {
	if e.Line > 1 {
		return fmt.Sprintf("%s: line %d: %s", e.Field, e.Line, e.Message)
	}
	return e.Field + ": " + e.Message
}

// An expression is one CEL expression of a policy.
type expression struct {
	field, name, text string
	returns           []*cel.Type
	// reads is what the expression names, variables followed.
	reads []mention
}

func (e *expression) GetExpression() string    { return e.text }
func (e *expression) GetName() string          { return e.name }
func (e *expression) ReturnTypes() []*cel.Type { return e.returns }
func (e *expression) asks(root ...string) bool { return mentioned(e.reads, root) != absent }

// The types that each kind of expression may return
// (k8s.io/apiserver/pkg/admission/plugin/policy/validating/interface.go, message.go).
var (
	boolean  = []*cel.Type{cel.BoolType}
	text     = []*cel.Type{cel.StringType}
	optional = []*cel.Type{cel.StringType, cel.NullType}
	anything = []*cel.Type{cel.AnyType, cel.DynType}
)

// A batch is expressions that are evaluated together, on one budget.
type batch struct {
	expressions []*expression // nil where a validation has no message expression
	evaluator   plugincel.ConditionEvaluator
}

// A compiled policy. Faults in expressions do not keep it from being evaluated, as they
// do not keep the API server from it.
type compiled struct {
	conditions, validations, messages, annotations batch
	// fallbacks are the messages of the validations that have no expression for it.
	fallbacks []string
	faults    []error
}

// compile does as compilePolicy in
// k8s.io/apiserver/pkg/admission/plugin/policy/validating/plugin.go.
func (l Language) compile(spec *admissionv1.ValidatingAdmissionPolicySpec) (*compiled, error) {
	compiler, err := plugincel.NewCompositedCompiler(l.base)
	if err != nil {
		return nil, fmt.Errorf("CEL: %w", err)
	}
	hasParams := spec.ParamKind != nil
	all := plugincel.OptionalVariableDeclarations{HasParams: hasParams, HasAuthorizer: true}
	withoutAuthorizer := plugincel.OptionalVariableDeclarations{HasParams: hasParams}

	c := &compiled{}
	parse := l.base.StoredExpressionsEnv().Parse
	variables := map[string][]mention{}
	add := func(e *expression, fault *apiservercel.Error) {
		if fault != nil {
			c.faults = append(c.faults, faultsOf(e.field, fault)...)
		}
		if ast, issues := parse(e.text); issues.Err() == nil {
			e.reads = follow(mentionsOf(ast), variables)
		}
	}
	for i, v := range spec.Variables {
		e := &expression{field: fmt.Sprintf("spec.variables[%d].expression", i), name: v.Name, text: v.Expression, returns: anything}
		add(e, compiler.CompileAndStoreVariable(e, all, l.mode).Error)
		variables[v.Name] = e.reads
	}
	condition := func(list []*expression, options plugincel.OptionalVariableDeclarations) batch {
		accessors := make([]plugincel.ExpressionAccessor, len(list))
		for i, e := range list {
			if e != nil {
				accessors[i] = e
				// The evaluator keeps only the text of a fault, without its place.
				add(e, compiler.CompileCELExpression(e, options, l.mode).Error)
			}
		}
		return batch{list, compiler.CompileCondition(accessors, options, l.mode)}
	}

	var conditions, validations, messages, annotations []*expression
	for i, m := range spec.MatchConditions {
		conditions = append(conditions, &expression{field: fmt.Sprintf("spec.matchConditions[%d].expression", i), name: m.Name, text: m.Expression, returns: boolean})
	}
	for i, v := range spec.Validations {
		validations = append(validations, &expression{field: fmt.Sprintf("spec.validations[%d].expression", i), text: v.Expression, returns: boolean})
		var message *expression
		if v.MessageExpression != "" {
			message = &expression{field: fmt.Sprintf("spec.validations[%d].messageExpression", i), text: v.MessageExpression, returns: text}
		}
		messages = append(messages, message)
		c.fallbacks = append(c.fallbacks, fallback(v))
	}
	for i, a := range spec.AuditAnnotations {
		annotations = append(annotations, &expression{field: fmt.Sprintf("spec.auditAnnotations[%d].valueExpression", i), name: a.Key, text: a.ValueExpression, returns: optional})
	}
	c.conditions = condition(conditions, all)
	c.validations = condition(validations, all)
	c.messages = condition(messages, withoutAuthorizer)
	c.annotations = condition(annotations, all)
	return c, nil
}

// faultsOf takes a compiler's error apart: one fault for each place.
func faultsOf(field string, fault *apiservercel.Error) []error {
	var compilation *apiservercel.CompilationError
	if !errors.As(fault.Cause, &compilation) {
		return []error{&ExpressionError{Field: field, Message: fault.Detail}}
	}
	var out []error
	for _, e := range compilation.Issues.Errors() {
		out = append(out, &ExpressionError{field, e.Location.Line(), e.Location.Column() + 1, e.Message})
	}
	return out
}

// reads reports whether any expression names what the path leads to.
func (c *compiled) reads(path ...string) bool {
	for _, b := range []batch{c.conditions, c.validations, c.messages, c.annotations} {
		if slices.ContainsFunc(b.expressions, func(e *expression) bool { return e != nil && e.asks(path...) }) {
			return true
		}
	}
	return false
}
