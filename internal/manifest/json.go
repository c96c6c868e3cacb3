package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v3"
)

// isJSON reports whether a document is one JSON object. It is then no YAML to us: no
// parser of YAML is as fast, and some stop at tabs.
func isJSON(doc []byte) bool {
	t := bytes.TrimSpace(doc)
	return len(t) > 0 && t[0] == '{' && json.Valid(t)
}

// jsonObjects cuts a stream of JSON objects, such as jq writes, into them; nil where
// it is anything else.
func jsonObjects(data []byte) []jsonItem {
	if isJSON(data) {
		return []jsonItem{{spot: spot{line: 1}, data: data}}
	}
	if !bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		return nil
	}
	var objects []jsonItem
	line, from := 1, 0
	for in := json.NewDecoder(bytes.NewReader(data)); ; {
		var one json.RawMessage
		err := in.Decode(&one)
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil || one[0] != '{' {
			return nil
		}
		end := int(in.InputOffset())
		start := end - len(one)
		line += bytes.Count(data[from:start], []byte("\n"))
		objects = append(objects, jsonItem{spot: spot{line: line}, data: data[start:end]})
		from = start
	}
}

// A jsonItem is one object in a JSON document.
type jsonItem struct {
	spot
	data []byte
}

// jsonItems returns a valid JSON document's object and, where it is a List, the items.
func jsonItems(doc []byte, first int) (whole jsonItem, items []jsonItem) {
	c := &cursor{data: doc, spot: spot{first, 1}}
	c.space()
	whole.spot, whole.data = c.spot, c.data
	c.members(func(key string) {
		if key != "items" || c.peek() != '[' {
			c.skip()
			return
		}
		items = nil
		c.elements(func() {
			it := jsonItem{spot: c.spot, data: c.data}
			c.skip()
			it.data = it.data[:len(it.data)-len(c.data)]
			items = append(items, it)
		})
	})
	return whole, items
}

// A cursor walks over valid JSON and knows where it is.
type cursor struct {
	data []byte // what is left
	spot
}

func (c *cursor) peek() byte {
	if len(c.data) == 0 {
		return 0
	}
	return c.data[0]
}

func (c *cursor) advance(n int) {
	for _, b := range c.data[:n] {
		switch {
		case b == '\n':
			c.spot = spot{c.line + 1, 1}
		case utf8.RuneStart(b):
			c.column++
		}
	}
	c.data = c.data[n:]
}

func (c *cursor) space() {
	n := 0
	for n < len(c.data) && strings.IndexByte(" \t\r\n", c.data[n]) >= 0 {
		n++
	}
	c.advance(n)
}

// members calls each with every key of an object; each moves past the value.
func (c *cursor) members(each func(key string)) {
	c.elements(func() {
		key := c.scalar()
		c.space()
		c.advance(min(1, len(c.data))) // the colon
		c.space()
		each(key.Value)
	})
}

// elements calls each at every element of an array or object; each moves past it.
func (c *cursor) elements(each func()) {
	c.advance(1)
	for {
		c.space()
		switch c.peek() {
		case 0:
			return
		case ']', '}':
			c.advance(1)
			return
		case ',':
			c.advance(1)
			continue
		}
		each()
	}
}

// skip moves past one value.
func (c *cursor) skip() {
	depth, n := 0, 0
	for n < len(c.data) {
		switch c.data[n] {
		case '"':
			n += stringEnd(c.data[n:])
		case '{', '[':
			depth++
			n++
		case '}', ']':
			if depth--; depth < 0 { // a scalar was the last of its parent
				c.advance(n)
				return
			}
			n++
		case ',':
			if depth == 0 {
				c.advance(n)
				return
			}
			n++
			continue
		default:
			n++
			continue
		}
		if depth == 0 {
			break
		}
	}
	c.advance(n)
}

// stringEnd is the length of the string that text begins with.
func stringEnd(text []byte) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(text)
}

func (c *cursor) scalar() *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Line: c.line, Column: c.column}
	if c.peek() == '"' {
		end := stringEnd(c.data)
		if json.Unmarshal(c.data[:end], &n.Value) != nil {
			n.Value = string(c.data[:end])
		}
		c.advance(end)
		return n
	}
	end := bytes.IndexAny(c.data, ",]}: \t\r\n")
	if end < 0 {
		end = len(c.data)
	}
	n.Value = string(c.data[:end])
	c.advance(max(end, min(1, len(c.data))))
	return n
}

// value makes the tree of one value, as the YAML parser would.
func (c *cursor) value() *yaml.Node {
	c.space()
	n := &yaml.Node{Line: c.line, Column: c.column}
	switch c.peek() {
	case '{':
		n.Kind = yaml.MappingNode
		c.elements(func() {
			key := c.scalar()
			c.space()
			c.advance(min(1, len(c.data)))
			n.Content = append(n.Content, key, c.value())
		})
	case '[':
		n.Kind = yaml.SequenceNode
		c.elements(func() { n.Content = append(n.Content, c.value()) })
	default:
		return c.scalar()
	}
	return n
}
