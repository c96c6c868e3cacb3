package report

import (
	"bytes"
	"strconv"
)

// A jsonText is JSON with an indent of two as it is being written: what encodeIn writes,
// without looking at types. Findings are most of a big report, and are written with it.
type jsonText struct {
	b []byte
	// indent is how far the object that is open is indented; begun, that it has a field.
	indent int
	begun  bool
	// err is the first value that could not be written.
	err error
}

// indents is longer than any line's indent.
const indents = "\n                                        "

// line begins one: that of an element or a field.
func (t *jsonText) line() { t.b = append(t.b, indents[:1+t.indent]...) }

// open and end enclose an object, or a list, whose elements are begun by element.
func (t *jsonText) open(bracket byte) {
	t.b = append(t.b, bracket)
	t.indent += 2
	t.begun = false
}

func (t *jsonText) end(bracket byte) {
	t.indent -= 2
	t.line()
	t.b = append(t.b, bracket)
	t.begun = true
}

func (t *jsonText) element() {
	if t.begun {
		t.b = append(t.b, ',')
	}
	t.begun = true
	t.line()
}

// field begins a field, whose name needs no escape.
func (t *jsonText) field(name string) {
	t.element()
	t.b = append(t.b, '"')
	t.b = append(t.b, name...)
	t.b = append(t.b, `": `...)
}

func (t *jsonText) text(name, value string) {
	t.field(name)
	t.value(value)
}

// The fields that are left out where they are empty.
func (t *jsonText) textIf(name, value string) {
	if value != "" {
		t.text(name, value)
	}
}

func (t *jsonText) numberIf(name string, value int) {
	if value != 0 {
		t.number(name, value)
	}
}

func (t *jsonText) number(name string, value int) {
	t.field(name)
	t.b = strconv.AppendInt(t.b, int64(value), 10)
}

// value writes a string. What is not plain ASCII is left to the library.
func (t *jsonText) value(s string) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x80 || c == '"' || c == '\\' {
			t.any(s)
			return
		}
	}
	t.b = append(t.b, '"')
	t.b = append(t.b, s...)
	t.b = append(t.b, '"')
}

// any writes whatever the fix of a finding sets a field to.
func (t *jsonText) any(v any) {
	switch v := v.(type) {
	case nil:
		t.b = append(t.b, "null"...)
		return
	case bool:
		t.b = strconv.AppendBool(t.b, v)
		return
	case int:
		t.b = strconv.AppendInt(t.b, int64(v), 10)
		return
	}
	var text bytes.Buffer
	if err := encodeIn(&text, indents[1:1+t.indent])(v); err != nil && t.err == nil {
		t.err = err
	}
	t.b = append(t.b, text.Bytes()...)
}

// finding writes what encoding/json would, field by field.
func (t *jsonText) finding(f *jsonFinding) {
	t.open('{')
	t.text("outcome", f.Outcome)
	t.text("severity", f.Severity)
	t.text("fingerprint", f.Fingerprint)
	t.field("object")
	t.object(f.Object)
	if f.Source != nil {
		t.source(f.Source)
	}
	t.textIf("path", f.Path)
	t.textIf("got", f.Got)
	t.textIf("want", f.Want)
	t.textIf("reason", f.Reason)
	t.text("evidence", f.Evidence)
	each(t, "via", f.Via, t.object)
	each(t, "changes", f.Changes, t.change)
	t.numberIf("pods", f.Pods)
	each(t, "reach", f.Reach, func(r jsonReach) {
		t.open('{')
		t.text("way", r.Way)
		t.text("text", r.Text)
		t.end('}')
	})
	if l := f.Look; l != nil {
		t.field("look")
		t.open('{')
		t.textIf("machine", l.Machine)
		t.text("command", l.Command)
		t.end('}')
	}
	if m := f.Fix; m != nil {
		t.field("fix")
		t.fix(m)
	}
	t.textIf("standing", f.Standing)
	if f.Waiver != nil {
		t.field("waiver")
		t.any(f.Waiver) // there are few
	}
	t.end('}')
}

func (t *jsonText) fix(m *jsonFix) {
	if *m == (jsonFix{}) {
		t.b = append(t.b, "{}"...)
		return
	}
	t.open('{')
	t.textIf("command", m.Command)
	t.textIf("byHand", m.ByHand)
	t.end('}')
}

func (t *jsonText) object(o jsonObject) {
	t.open('{')
	t.text("kind", o.Kind)
	t.textIf("namespace", o.Namespace)
	t.textIf("machine", o.Machine)
	t.text("name", o.Name)
	t.textIf("cluster", o.Cluster)
	t.end('}')
}

func (t *jsonText) source(s *jsonSource) {
	t.field("source")
	t.open('{')
	t.text("origin", s.Origin)
	t.numberIf("line", s.Line)
	t.numberIf("column", s.Column)
	t.textIf("resourceVersion", s.ResourceVersion)
	if s.Field != nil {
		t.field("field")
		t.open('{')
		t.number("line", s.Field.Line)
		t.number("column", s.Field.Column)
		t.end('}')
	}
	t.end('}')
}

func (t *jsonText) change(c jsonChange) {
	t.open('{')
	t.text("op", c.Op)
	t.text("path", c.Path)
	if c.Value != nil {
		t.field("value")
		t.any(*c.Value)
	}
	t.end('}')
}

// each writes a list, unless it is empty.
func each[T any](t *jsonText, name string, list []T, write func(T)) {
	if len(list) == 0 {
		return
	}
	t.field(name)
	t.open('[')
	for _, v := range list {
		t.element()
		write(v)
	}
	t.end(']')
}
