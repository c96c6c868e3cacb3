package policy

import (
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
)

// A mention is one chain of fields that an expression names: object.spec.replicas.
type mention struct {
	path []string
	// presence is has(object.spec.replicas): a missing field is then an answer and no error.
	presence bool
}

// How an expression uses a path whose value is not known. Where it only reads fields
// below, not knowing shows as an error, and CEL itself decides whether the result rests on
// it (true || error is true). Where it asks whether the path exists, or takes it as a
// whole, not knowing would pass for an answer.
type use int

const (
	absent use = iota
	read
	probed
)

func mentioned(mentions []mention, path []string) use {
	found := absent
	for _, m := range mentions {
		switch {
		case len(m.path) > len(path) && slices.Equal(m.path[:len(path)], path) && !m.presence:
			found = max(found, read)
		case slices.Equal(m.path[:min(len(m.path), len(path))], path[:min(len(m.path), len(path))]):
			return probed
		}
	}
	return found
}

// mentionsOf collects the chains of a parsed expression.
func mentionsOf(parsed *cel.Ast) []mention {
	var out []mention
	var walk func(ast.Expr)
	walk = func(e ast.Expr) {
		if path, ok := chain(e); ok {
			out = append(out, mention{path, e.Kind() == ast.SelectKind && e.AsSelect().IsTestOnly()})
			return
		}
		switch e.Kind() { //nolint:exhaustive // the others name nothing
		case ast.SelectKind:
			walk(e.AsSelect().Operand())
		case ast.CallKind:
			call := e.AsCall()
			if call.IsMemberFunction() {
				walk(call.Target())
			}
			for _, a := range call.Args() {
				walk(a)
			}
		case ast.ListKind:
			for _, item := range e.AsList().Elements() {
				walk(item)
			}
		case ast.MapKind:
			for _, entry := range e.AsMap().Entries() {
				walk(entry.AsMapEntry().Key())
				walk(entry.AsMapEntry().Value())
			}
		case ast.StructKind:
			for _, field := range e.AsStruct().Fields() {
				walk(field.AsStructField().Value())
			}
		case ast.ComprehensionKind:
			c := e.AsComprehension()
			for _, part := range []ast.Expr{c.IterRange(), c.AccuInit(), c.LoopCondition(), c.LoopStep(), c.Result()} {
				walk(part)
			}
		}
	}
	walk(parsed.NativeRep().Expr())
	return out
}

// chain returns the fields of an expression that is nothing but a name and fields of it.
func chain(e ast.Expr) ([]string, bool) {
	switch e.Kind() { //nolint:exhaustive // no other is a name or a field
	case ast.IdentKind:
		return []string{strings.TrimPrefix(e.AsIdent(), ".")}, true
	case ast.SelectKind:
		path, ok := chain(e.AsSelect().Operand())
		return append(path, e.AsSelect().FieldName()), ok
	}
	return nil, false
}

// follow adds what the variables that are named read themselves. A variable that holds
// something as a whole may be asked for its fields anywhere.
func follow(mentions []mention, variables map[string][]mention) []mention {
	out := slices.Clone(mentions)
	for _, m := range mentions {
		switch {
		case m.path[0] != plugincelVariables:
		case len(m.path) > 1:
			out = append(out, variables[m.path[1]]...)
		default:
			for _, reads := range variables {
				out = append(out, reads...)
			}
		}
	}
	return out
}

const plugincelVariables = "variables" // VariableVarName of k8s.io/apiserver/pkg/admission/plugin/cel

func join(path []string) string { return strings.Join(path, ".") }
