package policy

import (
	"strings"
	"testing"
)

// TestMentioned: reading a field below what is not known shows as an error; asking
// whether it exists, or taking it as a whole, would not.
func TestMentioned(t *testing.T) {
	for expression, want := range map[string]use{
		"object.spec.replicas > 1":                               absent,
		"object.metadata.data.x == 1":                            absent,
		"object.data.mode == 'fast'":                             read,
		"true || object.data.mode == 'fast'":                     read,
		"object.list.all(i, i == object.data.mode)":              read,
		"has(object.data)":                                       probed,
		"has(object.data.mode)":                                  probed,
		"'mode' in object.data":                                  probed,
		"object.data['mode'] == 'fast'":                          probed,
		"object['data'].mode == 'fast'":                          probed,
		"object.?data.orValue({}) == {}":                         probed,
		"object == oldObject":                                    probed,
		"[object].exists(o, o.data.mode == 'fast')":              probed,
		"{'o': object}.o.data.mode == 'fast'":                    probed,
		"size(object.data) > 0":                                  probed,
		"cel.bind(o, object, o.data.mode == 'fast')":             probed,
		"dyn(object).data.mode == 'fast'":                        probed,
		"variables.data.mode == 'fast'":                          probed,
		"variables.mode == 'fast'":                               read,
		"variables.other == 'fast'":                              absent,
		"dyn(variables).mode == 'fast'":                          probed,
		"object.items.map(object, object.x).all(o, o.data == 1)": absent,
	} {
		variables := map[string][]mention{
			"data":  {{path: strings.Split("object.data", ".")}},
			"mode":  {{path: strings.Split("object.data.mode", ".")}},
			"other": {{path: strings.Split("object.spec.mode", ".")}},
		}
		ast, issues := Stored().base.StoredExpressionsEnv().Parse(expression)
		if issues.Err() != nil {
			t.Fatal(issues.Err())
		}
		if got := mentioned(follow(mentionsOf(ast), variables), []string{"object", "data"}); got != want {
			t.Errorf("%s: object.data is used %d, want %d", expression, got, want)
		}
	}
}
