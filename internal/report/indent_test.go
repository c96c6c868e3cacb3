package report

import (
	"bytes"
	"encoding/json"
	"testing"
)

// FuzzIndent states that any value is indented as the standard library does it.
func FuzzIndent(f *testing.F) {
	for _, text := range []string{`{}`, `[]`, `{"a":[{},[],"x\"}\\",1,-2.5e3,true,null],"b":{"c":"é{,:"}}`, `"a"`, `[[[]]]`, `{"":""}`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var v any
		if json.Unmarshal([]byte(text), &v) != nil {
			return
		}
		compact, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var got, want bytes.Buffer
		indentJSON(&got, compact, "    ")
		if err := json.Indent(&want, compact, "    ", "  "); err != nil {
			t.Fatal(err)
		}
		if got.String() != want.String() {
			t.Errorf("%s\n got %s\nwant %s", compact, got.String(), want.String())
		}
	})
}
