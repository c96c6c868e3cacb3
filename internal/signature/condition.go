package signature

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/ext"
)

// maxCost bounds one condition, in CEL's units: some tens of milliseconds.
const maxCost = 1_000_000

// environment is what conditions may speak of.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		cel.Variable("predicate", cel.DynType),                              // what is attested
		cel.Variable("image", cel.MapType(cel.StringType, cel.StringType)),  // repository, digest, tag
		cel.Variable("signer", cel.MapType(cel.StringType, cel.StringType)), // name, key, identity, issuer
		cel.Variable("now", cel.TimestampType),
		cel.OptionalTypes(),
		ext.Strings(),
		ext.Sets(),
	)
})

// A program is a condition that was compiled.
type program struct {
	text string
	run  cel.Program
}

// compile compiles conditions. Each must say true or false.
func compile(conditions []string) ([]program, error) {
	var out []program
	for _, text := range conditions {
		if len(text) > 16<<10 {
			return nil, errors.New("condition: more than 16 KiB")
		}
		env, err := environment()
		if err != nil {
			return nil, fmt.Errorf("condition: %w", err)
		}
		ast, issues := env.Compile(text)
		if issues.Err() != nil {
			return nil, fmt.Errorf("condition %.80q: %w", text, issues.Err())
		}
		if t := ast.OutputType(); !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
			return nil, fmt.Errorf("condition %.80q: it is %s, want true or false", text, t)
		}
		run, err := env.Program(ast, cel.CostLimit(maxCost), cel.InterruptCheckFrequency(1000))
		if err != nil {
			return nil, fmt.Errorf("condition %.80q: %w", text, err)
		}
		out = append(out, program{text, run})
	}
	return out, nil
}

// holds says why a condition does not hold; nil if it does.
func (p program) holds(ctx context.Context, facts map[string]any) error {
	out, _, err := p.run.ContextEval(ctx, facts)
	switch {
	case err != nil:
		return fmt.Errorf("condition %.120q could not be told: %w", p.text, err)
	case out != types.True:
		return fmt.Errorf("condition %.120q is not true", p.text)
	}
	return nil
}
