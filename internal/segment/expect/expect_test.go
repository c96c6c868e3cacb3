package expect

import (
	"strings"
	"testing"
)

// FuzzParse: whatever the file holds, a test that is not said to be wrong can be asked: it
// has both ends, ports, and a verdict that is wanted.
func FuzzParse(f *testing.F) {
	f.Add([]byte("schema: bulwark.net-test/v1\nnamespace: shop\ntests:\n- {name: a, from: pods, notFrom: [x/y], to: internet, ports: [TCP/80], expect: denied}\n- {from: x}\n- 7\n"))
	f.Add([]byte("tests: [{from: a/b, to: a/b, expect: allowed, ports: []}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		tests, err := Parse("in", data, "default")
		if err != nil {
			if !strings.HasPrefix(err.Error(), "in: ") {
				t.Errorf("%v does not name the file", err)
			}
			return
		}
		if len(tests) == 0 {
			t.Error("no test and no error")
		}
		for _, one := range tests {
			if one.Title() == "" {
				t.Error("a test has no title")
			}
			if one.Wrong == nil && (len(one.From) == 0 || len(one.To) == 0 || one.Ports.Empty() || one.Want == 0) {
				t.Errorf("%+v cannot be asked", one)
			}
		}
	})
}
