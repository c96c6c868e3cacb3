package manifest

import (
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// A plain parser reads the plain subset of YAML that kubectl and Helm write: printable
// ASCII, mappings and lists in block style, scalars on one line, literal blocks, and
// short lists in brackets. Of that it makes the tree that the library makes, several
// times as fast. It gives up at anything else, mistakes included, so that one voice says
// what is wrong. A tree lasts until the next document: its memory is used again.
type plain struct {
	text  string
	lines []line
	next  int // the line that is read next
	ok    bool

	chunks [][]yaml.Node
	used   int
}

// A line is without its indent. What is read of it is cut off in front.
type line struct {
	indent, start, end, number int
}

// Bounds of the plain subset: what lies beyond is left to the library.
const (
	maxPlainDepth = 100
	maxPlainKey   = 256
	chunkSize     = 256
	maxChunks     = 64 // that are kept
)

// parse returns the document's tree, or nil where it is not plain.
func (p *plain) parse(doc []byte) *yaml.Node {
	p.forget()
	p.ok = true
	if !p.cut(string(doc)) || !p.skip() {
		return nil
	}
	root := p.block(0)
	if !p.ok || p.skip() {
		return nil
	}
	return root
}

// forget lets go of the last document's text.
func (p *plain) forget() {
	for i := range p.used {
		p.chunks[i/chunkSize][i%chunkSize].Value = ""
	}
	if len(p.chunks) > maxChunks {
		p.chunks, p.lines = nil, nil
	}
	p.text, p.lines, p.next, p.used = "", p.lines[:0], 0, 0
}

func (p *plain) cut(text string) bool {
	p.text = text
	for start := 0; start < len(text); {
		end := strings.IndexByte(text[start:], '\n')
		if end < 0 {
			return false // it matters for a block that ends there
		}
		end += start
		at := start
		for at < end && text[at] == ' ' {
			at++
		}
		for i := at; i < end; i++ {
			if text[i] < ' ' || text[i] > '~' {
				return false
			}
		}
		p.lines = append(p.lines, line{at - start, at, end, len(p.lines) + 1})
		start = end + 1
	}
	return true
}

// skip moves to the next line with something on it, and reports whether there is one.
func (p *plain) skip() bool {
	for ; p.next < len(p.lines); p.next++ {
		if l := p.lines[p.next]; l.start < l.end && p.text[l.start] != '#' {
			return true
		}
	}
	return false
}

func (p *plain) fail() { p.ok = false }

func (p *plain) node(kind yaml.Kind, tag, value string, l *line, at int) *yaml.Node {
	if p.used/chunkSize == len(p.chunks) {
		p.chunks = append(p.chunks, make([]yaml.Node, chunkSize))
	}
	n := &p.chunks[p.used/chunkSize][p.used%chunkSize]
	p.used++
	*n = yaml.Node{Kind: kind, Tag: tag, Value: value, Line: l.number, Column: l.indent + at - l.start + 1, Content: n.Content[:0]}
	return n
}

// block reads the collection that begins on the line.
func (p *plain) block(depth int) *yaml.Node {
	l := &p.lines[p.next]
	if depth > maxPlainDepth {
		p.fail()
	}
	if p.item(l) {
		return p.list(l.indent, depth)
	}
	return p.mapping(l.indent, depth)
}

// item reports whether a list's item begins on the line.
func (p *plain) item(l *line) bool {
	return p.text[l.start] == '-' && (l.start+1 == l.end || p.text[l.start+1] == ' ')
}

// at returns the line of a collection's next entry; nil at its end.
func (p *plain) at(indent int, item bool) *line {
	if !p.ok || !p.skip() {
		return nil
	}
	l := &p.lines[p.next]
	if l.indent > indent {
		p.fail() // a scalar that goes on, or a mistake
	}
	if l.indent != indent || p.item(l) != item {
		return nil
	}
	return l
}

func (p *plain) list(indent, depth int) *yaml.Node {
	n := p.node(yaml.SequenceNode, "!!seq", "", &p.lines[p.next], p.lines[p.next].start)
	for l := p.at(indent, true); l != nil; l = p.at(indent, true) {
		start := p.space(l.start+1, l.end)
		if start == l.end || p.text[start] == '#' || p.text[start] == '|' {
			p.fail()
			break
		}
		l.indent, l.start = l.indent+start-l.start, start
		var value *yaml.Node
		switch end := p.key(l); {
		case p.item(l):
			p.fail()
		case end > 0:
			value = p.mapping(l.indent, depth+1)
		default:
			value = p.scalar(l, l.start, indent)
			p.next++
		}
		n.Content = append(n.Content, value)
	}
	return n
}

func (p *plain) mapping(indent, depth int) *yaml.Node {
	n := p.node(yaml.MappingNode, "!!map", "", &p.lines[p.next], p.lines[p.next].start)
	var keys keys
	for l := p.at(indent, false); l != nil; l = p.at(indent, false) {
		colon := p.key(l)
		if colon == 0 {
			p.fail()
			break
		}
		name := p.text[l.start:colon]
		if tagOf(name) != "!!str" || !keys.add(n, name) {
			p.fail()
			break
		}
		key := p.node(yaml.ScalarNode, "!!str", name, l, l.start)
		n.Content = append(n.Content, key, p.value(l, colon+1, indent, depth))
	}
	return n
}

// key returns where the colon after a key is, or 0 where none begins the line.
func (p *plain) key(l *line) int {
	for i := l.start; i < l.end && i < l.start+maxPlainKey; i++ {
		switch c := p.text[i]; {
		case c == ':':
			if i > l.start && (i+1 == l.end || p.text[i+1] == ' ') {
				return i
			}
			return 0
		case !ordinary(c) || c == '-' && i == l.start:
			return 0
		}
	}
	return 0
}

// ordinary reports whether a character means nothing to YAML wherever it stands.
func ordinary(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '/' || c == '-'
}

// value reads what follows a key's colon.
func (p *plain) value(l *line, at, indent, depth int) *yaml.Node {
	start := p.space(at, l.end)
	if start < l.end && p.text[start] != '#' {
		value := p.scalar(l, start, indent)
		p.next++
		return value
	}
	p.next++
	if p.skip() {
		below := &p.lines[p.next]
		switch {
		case below.indent > indent:
			return p.block(depth + 1)
		case below.indent == indent && p.item(below):
			return p.list(indent, depth+1)
		}
	}
	return p.node(yaml.ScalarNode, "!!null", "", l, at)
}

func (p *plain) space(at, end int) int {
	for at < end && p.text[at] == ' ' {
		at++
	}
	return at
}

// rest checks that nothing but a comment follows.
func (p *plain) rest(at, end int) {
	if after := p.space(at, end); after < end && (after == at || p.text[after] != '#') {
		p.fail()
	}
}

// scalar reads a value on one line, or a literal block that begins there.
func (p *plain) scalar(l *line, at, indent int) *yaml.Node {
	switch c := p.text[at]; c {
	case '"', '\'':
		n, end := p.quoted(l, at)
		p.rest(end, l.end)
		return n
	case '{':
		n := p.node(yaml.MappingNode, "!!map", "", l, at)
		if !strings.HasPrefix(p.text[at:l.end], "{}") {
			p.fail()
		}
		p.rest(at+2, l.end)
		return n
	case '[':
		return p.brackets(l, at)
	case '|':
		return p.literal(l, at, indent)
	default:
		if c == '-' && at+1 < l.end && p.text[at+1] != ' ' {
			break
		}
		if strings.IndexByte("-?:,]}#&*!>%@`", c) >= 0 {
			p.fail()
		}
	}
	text := p.text[at:l.end]
	if comment := strings.Index(text, " #"); comment >= 0 {
		text = text[:comment]
	}
	text = strings.TrimRight(text, " ")
	if strings.HasSuffix(text, ":") || strings.Contains(text, ": ") {
		p.fail()
	}
	return p.plainScalar(text, l, at)
}

func (p *plain) plainScalar(text string, l *line, at int) *yaml.Node {
	tag := tagOf(text)
	if tag == "" {
		p.fail()
	}
	return p.node(yaml.ScalarNode, tag, text, l, at)
}

// quoted reads a string in quotes without escapes, and returns where it ends.
func (p *plain) quoted(l *line, at int) (n *yaml.Node, end int) {
	text := p.text[at+1 : l.end]
	end = strings.IndexByte(text, p.text[at])
	if end < 0 || p.text[at] == '"' && strings.IndexByte(text[:end], '\\') >= 0 || end+1 < len(text) && text[end+1] == p.text[at] {
		p.fail()
		return nil, l.end
	}
	n = p.node(yaml.ScalarNode, "!!str", text[:end], l, at)
	return n, at + end + 2
}

// brackets reads a list such as ["ALL"].
func (p *plain) brackets(l *line, at int) *yaml.Node {
	n := p.node(yaml.SequenceNode, "!!seq", "", l, at)
	at = p.space(at+1, l.end)
	if at < l.end && p.text[at] == ']' {
		p.rest(at+1, l.end)
		return n
	}
	for p.ok && at < l.end {
		var one *yaml.Node
		start := at
		if c := p.text[at]; c == '"' || c == '\'' {
			one, at = p.quoted(l, at)
		} else {
			for at < l.end && ordinary(p.text[at]) && (at > start || p.text[at] != '-') {
				at++
			}
			if at == start {
				break
			}
			one = p.plainScalar(p.text[start:at], l, start)
		}
		n.Content = append(n.Content, one)
		if at = p.space(at, l.end); at == l.end {
			break
		}
		switch p.text[at] {
		case ']':
			p.rest(at+1, l.end)
			return n
		case ',':
			at = p.space(at+1, l.end)
		default:
			at = l.end
		}
	}
	p.fail()
	return n
}

// literal reads a block after | or |-, and stops on its last line.
func (p *plain) literal(l *line, at, indent int) *yaml.Node {
	header := strings.TrimRight(p.text[at:l.end], " ")
	first := p.next + 1
	if header != "|" && header != "|-" || first == len(p.lines) || p.lines[first].start == p.lines[first].end || p.lines[first].indent <= indent {
		p.fail()
		return nil
	}
	inner, last := p.lines[first].indent, first
	for i := first; i < len(p.lines); i++ {
		b := p.lines[i]
		empty := b.start == b.end
		if !empty && b.indent < inner {
			break
		}
		if empty && b.indent > 0 {
			p.fail()
		}
		if !empty {
			last = i
		}
	}
	var text strings.Builder
	for i := first; i <= last; i++ {
		if b := p.lines[i]; b.start < b.end {
			text.WriteString(p.text[b.start-b.indent+inner : b.end])
		}
		if i < last || header == "|" {
			text.WriteByte('\n')
		}
	}
	n := p.node(yaml.ScalarNode, "!!str", text.String(), l, at)
	p.next = last
	return n
}

// tagOf is what a scalar without quotes is: a string, null, a bool, a decimal number,
// or "" for what looks different in JSON.
func tagOf(text string) string {
	c := text[0]
	switch {
	case c >= '0' && c <= '9' || c == '-':
		if decimal(text) {
			return "!!int"
		}
	case strings.IndexByte("tTfFnNyYoO~.<=+", c) < 0:
		return "!!str"
	}
	if _, old := oldBools[text]; old {
		return ""
	}
	n := yaml.Node{Kind: yaml.ScalarNode, Value: text}
	switch tag := n.ShortTag(); tag {
	case "!!str", "!!null", "!!bool":
		return tag
	case "!!float":
		if strings.Trim(text, "-0123456789.") == "" && c != '.' && !strings.HasPrefix(text, "-.") {
			return tag
		}
	}
	return ""
}

// decimal reports whether text is a number that JSON writes the same way.
func decimal(text string) bool {
	digits := strings.TrimPrefix(text, "-")
	if digits == "" || len(digits) > 18 || digits[0] == '0' && len(text) > 1 {
		return false
	}
	return strings.Trim(digits, "0123456789") == ""
}

// keys are the names of a mapping's keys, once there are too many to look through.
type keys map[string]bool

const fewKeys = 16

// add reports whether a mapping has the key not yet.
func (k *keys) add(n *yaml.Node, name string) bool {
	if len(n.Content) < 2*fewKeys {
		for i := 0; i < len(n.Content); i += 2 {
			if n.Content[i].Value == name {
				return false
			}
		}
		return true
	}
	if *k == nil {
		*k = make(keys, len(n.Content))
		for i := 0; i < len(n.Content); i += 2 {
			(*k)[n.Content[i].Value] = true
		}
	}
	if (*k)[name] {
		return false
	}
	(*k)[name] = true
	return true
}
