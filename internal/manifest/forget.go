package manifest

import (
	"bytes"
	"slices"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v3"
)

// A retained is a set of objects whose text may stay in memory for Locate: those that
// a finding can be about and that hold no values of Secrets or ConfigMaps.
type retained map[spot]bool

// note records an object that begins at a spot. Where several do, all must be harmless.
func (r retained) note(at spot, harmless bool) {
	if before, known := r[at]; known {
		harmless = harmless && before
	}
	r[at] = harmless
}

// forget overwrites, in place, what a document says beside the retained objects. The
// places of those do not move. Where that cannot be done for sure, all of it goes.
func forget(doc []byte, first int, keep retained) {
	if isJSON(doc) {
		whole, items := jsonItems(doc, first)
		switch {
		case keep[whole.spot]:
		case items == nil:
			maskStrings(doc)
		default:
			for _, item := range items {
				if !keep[item.spot] {
					maskStrings(item.data)
				}
			}
		}
		return
	}
	harmless := len(keep) > 0
	for _, ok := range keep {
		harmless = harmless && ok
	}
	if !harmless && !blankItems(doc, first, keep) {
		blank(doc)
	}
}

// maskStrings replaces every character inside JSON's strings by another one of the same
// length, so that lines and columns stay.
func maskStrings(text []byte) {
	for i := 0; i < len(text); i++ {
		if text[i] != '"' {
			continue
		}
		end := i + stringEnd(text[i:])
		for j := i + 1; j < end-1; {
			_, n := utf8.DecodeRune(text[j : end-1])
			copy(text[j:j+n], [...]string{1: "x", 2: "é", 3: "€", 4: "𝄞"}[n])
			j += n
		}
		i = end - 1
	}
}

// blankItems empties the items of a YAML List that are not retained. It reports false
// for what is not a plain list in block style, where an item's text is no run of lines.
func blankItems(doc []byte, first int, keep retained) bool {
	var root yaml.Node
	if yaml.Unmarshal(doc, &root) != nil || len(root.Content) == 0 || aliased(&root) {
		return false
	}
	list := root.Content[0]
	items := itemsOf(list)
	if items == nil || list.Style&yaml.FlowStyle != 0 || items.Style&yaml.FlowStyle != 0 || bytes.ContainsAny(doc, "\r\u0085\u2028\u2029") {
		return false
	}
	lines := bytes.SplitAfter(doc, []byte("\n"))
	// dash is the index of the line on which an item's dash stands.
	dash := func(item *yaml.Node) int {
		for i := item.Line - 1; i >= 0; i-- {
			if line := bytes.TrimLeft(lines[i], " "); len(lines[i])-len(line) == items.Column-1 && bytes.HasPrefix(line, []byte("-")) {
				return i
			}
		}
		return -1
	}
	after := len(lines)
	for i := 0; i+1 < len(list.Content); i += 2 { // the key that follows the items
		if key := list.Content[i]; key.Line > items.Line && key.Line-1 < after {
			after = key.Line - 1
		}
	}
	for i, item := range items.Content {
		end := after
		if i+1 < len(items.Content) {
			end = dash(items.Content[i+1])
		}
		start := dash(item)
		if start < 0 || end < start {
			return false
		}
		if keep[spot{first - 1 + item.Line, item.Column}] {
			continue
		}
		for _, line := range lines[start:end] {
			blank(line)
		}
		copy(lines[start][items.Column-1:], "-") // so that the others keep their index
	}
	return true
}

func aliased(n *yaml.Node) bool {
	return n.Kind == yaml.AliasNode || slices.ContainsFunc(n.Content, aliased)
}

// blank overwrites all but the ends of lines.
func blank(text []byte) {
	for i, c := range text {
		if c != '\n' && c != '\r' {
			text[i] = ' '
		}
	}
}
