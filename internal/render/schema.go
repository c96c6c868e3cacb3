package render

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
)

// misfits says what of the values does not fit the values.schema.json of the chart or of a
// subchart, as chartutil.ValidateAgainstSchema does, which would fetch other schemas from
// the network and from files outside the chart.
func misfits(ch *chart.Chart, values any) error {
	v, ok := values.(chartutil.Values)
	if !ok {
		if m, is := values.(map[string]any); is {
			v = m
		}
	}
	if ch.Schema != nil {
		if err := misfit(ch.Schema, v.AsMap()); err != nil {
			return fmt.Errorf("its values do not fit values.schema.json of %s: %w", ch.Name(), err)
		}
	}
	for _, sub := range ch.Dependencies() {
		if of, ok := v[sub.Name()]; ok && of != nil {
			if err := misfits(sub, of); err != nil {
				return err
			}
		}
	}
	return nil
}

const schemaName = "file:///values.schema.json"

func misfit(text []byte, values map[string]any) (err error) {
	defer func() {
		if p := recover(); p != nil { // a stranger's schema
			err = fmt.Errorf("the schema cannot be used: %v", p)
		}
	}()
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("it is no JSON: %w", err)
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(refusedSchema{})
	if err := c.AddResource(schemaName, schema); err != nil {
		return err
	}
	compiled, err := c.Compile(schemaName)
	if err != nil {
		return err
	}
	err = compiled.Validate(values)
	var wrong *jsonschema.ValidationError
	if !errors.As(err, &wrong) {
		return err
	}
	_, why, _ := strings.Cut(wrong.Error(), "\n")
	return errors.New(strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(why), "- ")))
}

// refusedSchema loads nothing.
type refusedSchema struct{}

func (refusedSchema) Load(url string) (any, error) {
	return nil, fmt.Errorf("%s is not fetched", url)
}
