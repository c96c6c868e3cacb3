package manifest

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v3"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// A spot is where something begins in a file: line and character, counted from 1.
type spot struct{ line, column int }

// A layout gives the spots of one document's objects: its own for -1, and those of a
// List's items.
type layout func(item int) (spot, layout)

// An input is what Locate needs to read a file a second time.
type input struct {
	sum  uint64 // a file that changed since is not searched
	data []byte // only where it cannot be read again, as from a pipe; no values of Secrets
}

var seed = maphash.MakeSeed()

// remember keeps as little of an input as finding lines in it takes.
func (r *Reader) remember(name string, data []byte, again bool) {
	in := input{sum: maphash.Bytes(seed, data)}
	if !again {
		in.data = data
	}
	if r.inputs == nil {
		r.inputs = map[string]input{}
	}
	r.inputs[name] = in
}

// Locate returns the line and the column, both counted from 1, at which the field at a
// control's path stands in the file that src was read from; where the field is not
// there, those of the nearest parent that is. An alias leads to its anchor, where the
// text is. It is not ok where src is no file, or the file changed since.
//
// It reads and parses the file again and keeps only the last one, so ask for all
// fields of one file, and of one object in it, in a row. It is not safe for
// concurrent use.
func (r *Reader) Locate(src cluster.Source, path string) (line, column int, ok bool) {
	if src.Rendered != "" {
		return r.locateRendered(src, path)
	}
	if src.Line < 1 {
		return 0, 0, false
	}
	if !r.load(src.Origin) {
		return 0, 0, false
	}
	o, ok := r.opened.object(spot{src.Line, src.Column})
	if !ok {
		return 0, 0, false
	}
	at := o.at(find(o.node, path))
	return at.line, at.column, true
}

// load makes an input the one that is searched. It reports false for what was never
// read and for what changed since.
func (r *Reader) load(name string) bool {
	if r.opened != nil && r.opened.name == name {
		return true
	}
	in, known := r.inputs[name]
	if !known {
		return false
	}
	data := in.data
	if data == nil {
		read, err := os.ReadFile(name)
		if err != nil {
			return false
		}
		data = asUTF8(read)
	}
	if maphash.Bytes(seed, data) != in.sum {
		return false
	}
	o := &opened{name: name}
	if r.opened != nil {
		o.plain = r.opened.plain // its memory serves again
	}
	r.opened = o
	for first, text := range documents(data) {
		r.opened.documents = append(r.opened.documents, document{first, text})
	}
	return true
}

// An opened is the file that was searched last.
type opened struct {
	name      string
	documents []document
	// first is the line of the document whose objects are in objects.
	first   int
	objects map[spot]*located
	names   []named
	plain   plain
	tree    *located // the last object of a JSON document, the only one kept as a tree
}

// A document is one of a file's, with the line it starts at.
type document struct {
	first int
	text  []byte
}

// A located is one object of a document: its tree, or for JSON the text to make it of.
type located struct {
	node *yaml.Node
	json []byte
	at   func(*yaml.Node) spot
}

// object returns the object that begins at a spot.
func (o *opened) object(at spot) (*located, bool) {
	i, _ := slices.BinarySearchFunc(o.documents, at.line+1, func(d document, line int) int { return cmp.Compare(d.first, line) })
	if i == 0 {
		return nil, false
	}
	if d := o.documents[i-1]; o.objects == nil || o.first != d.first {
		o.first, o.objects, o.tree = d.first, map[spot]*located{}, nil
		o.parse(d)
	}
	l, ok := o.objects[at]
	if ok && l.node == nil {
		if o.tree != nil {
			o.tree.node = nil
		}
		c := cursor{data: l.json, spot: at}
		l.node, o.tree = c.value(), l
	}
	return l, ok
}

// parse fills objects with what one document holds.
func (o *opened) parse(d document) {
	first, doc := d.first, d.text
	if isJSON(doc) {
		whole, items := jsonItems(doc, first)
		at := func(n *yaml.Node) spot { return spot{n.Line, n.Column} }
		o.objects[whole.spot] = &located{json: whole.data, at: at}
		for _, item := range items {
			o.objects[item.spot] = &located{json: item.data, at: at}
		}
		return
	}
	top := o.plain.parse(doc)
	if top == nil {
		var root yaml.Node
		if yaml.Unmarshal(doc, &root) != nil || len(root.Content) == 0 {
			return
		}
		top = root.Content[0]
	}
	at := spots(doc, first)
	var add func(n *yaml.Node, depth int)
	add = func(n *yaml.Node, depth int) {
		object := resolve(n)
		o.objects[at(n)] = &located{node: object, at: at}
		if items := itemsOf(object); items != nil && depth > 0 {
			for _, item := range items.Content {
				add(item, depth-1)
			}
		}
	}
	add(top, 8)
}

// yamlLayout is the layout of a YAML document.
func yamlLayout(n *yaml.Node, at func(*yaml.Node) spot) layout {
	return func(i int) (spot, layout) {
		if items := itemsOf(resolve(n)); i >= 0 && items != nil && i < len(items.Content) {
			return at(items.Content[i]), yamlLayout(items.Content[i], at)
		}
		return at(n), yamlLayout(n, at)
	}
}

// jsonLayout is the layout of a JSON document. Lists within lists share one spot.
func jsonLayout(doc []byte, first int) layout {
	var whole jsonItem
	var items []jsonItem
	return func(i int) (spot, layout) {
		if whole.data == nil {
			whole, items = jsonItems(doc, first)
		}
		at := whole.spot
		if i >= 0 && i < len(items) {
			at = items[i].spot
		}
		var same layout
		same = func(int) (spot, layout) { return at, same }
		return at, same
	}
}

func itemsOf(n *yaml.Node) *yaml.Node {
	if _, v := field(n, "items"); v != nil && v.Kind == yaml.SequenceNode {
		return v
	}
	return nil
}

// spots returns where the parser's nodes stand in the file. The parser counts lines
// from the document's start, and breaks them at more characters than editors do: at
// a lone CR, NEL, LS and PS.
func spots(doc []byte, first int) func(*yaml.Node) spot {
	var starts []spot // of the parser's lines; nil where it counts as editors do
	if bytes.ContainsAny(doc, "\r\u0085\u2028\u2029") {
		at := spot{first, 1}
		starts = append(starts, at)
		for i := 0; i < len(doc); {
			c, n := utf8.DecodeRune(doc[i:])
			i += n
			at.column++
			switch {
			case c == '\n':
				at = spot{at.line + 1, 1}
			case c == '\r' && i < len(doc) && doc[i] == '\n':
				continue // a break together with what follows
			case c != '\r' && c != '\u0085' && c != '\u2028' && c != '\u2029':
				continue
			}
			starts = append(starts, at)
		}
	}
	return func(n *yaml.Node) spot {
		if starts == nil || n.Line > len(starts) {
			return spot{first - 1 + n.Line, n.Column}
		}
		at := starts[max(n.Line-1, 0)]
		return spot{at.line, at.column + n.Column - 1}
	}
}

// find returns the node that a control's path leads to, or the last one on the way:
// for a field its key, where a reader looks for it.
func find(root *yaml.Node, path string) *yaml.Node {
	if strings.HasPrefix(path, "--") {
		return findFlag(root, path)
	}
	at, in := root, root
	for _, s := range steps(path) {
		in = resolve(in)
		key, value := (*yaml.Node)(nil), (*yaml.Node)(nil)
		switch in.Kind {
		case yaml.MappingNode:
			key, value = field(in, s)
		case yaml.SequenceNode:
			value = item(in, s)
			key = value
		default: // a scalar has nothing inside
		}
		if value == nil {
			return at
		}
		at, in = key, value
	}
	return at
}

// steps cuts a path such as spec.containers[cart].image. What is no path has steps
// that lead nowhere.
func steps(path string) []string {
	var out []string
	for path != "" {
		if path[0] == '[' {
			name, rest, _ := strings.Cut(path[1:], "]")
			out = append(out, name)
			path = strings.TrimPrefix(rest, ".")
			continue
		}
		end := strings.IndexAny(path, ".[")
		if end < 0 {
			end = len(path)
		}
		out = append(out, path[:end])
		path = strings.TrimPrefix(path[end:], ".")
	}
	return out
}

// field returns a mapping's key and value. What is merged with "<<" yields to what is
// written out.
func field(n *yaml.Node, name string) (key, value *yaml.Node) {
	seen := map[*yaml.Node]bool{} // merges of merges must not multiply
	var look func(*yaml.Node) bool
	look = func(n *yaml.Node) bool {
		if n.Kind != yaml.MappingNode || seen[n] {
			return false
		}
		merges := false
		for i := 0; i+1 < len(n.Content); i += 2 {
			if k := n.Content[i]; k.Tag == "!!merge" {
				merges = true
			} else if k.Value == name {
				key, value = k, resolve(n.Content[i+1])
				return true
			}
		}
		if !merges {
			return false
		}
		seen[n] = true
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Tag != "!!merge" {
				continue
			}
			from := []*yaml.Node{resolve(n.Content[i+1])}
			if from[0].Kind == yaml.SequenceNode {
				from = from[0].Content
			}
			if slices.ContainsFunc(from, func(m *yaml.Node) bool { return look(resolve(m)) }) {
				return true
			}
		}
		return false
	}
	look(n)
	return key, value
}

// item returns a list's item by its name, its value or its index.
func item(n *yaml.Node, name string) *yaml.Node {
	for _, it := range n.Content {
		switch v := resolve(it); v.Kind {
		case yaml.MappingNode:
			if _, got := field(v, "name"); got != nil && got.Kind == yaml.ScalarNode && got.Value == name {
				return it
			}
		case yaml.ScalarNode:
			if v.Value == name {
				return it
			}
		default: // a list inside a list has no name
		}
	}
	if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(n.Content) {
		return n.Content[i]
	}
	return nil
}

// findFlag returns the argument of a static pod that sets a flag, or the key of the
// command that does not.
func findFlag(root *yaml.Node, flag string) *yaml.Node {
	var command *yaml.Node
	var walk func(*yaml.Node) *yaml.Node
	walk = func(n *yaml.Node) *yaml.Node {
		if n.Kind == yaml.ScalarNode && (n.Value == flag || strings.HasPrefix(n.Value, flag+"=")) {
			return n
		}
		for i, child := range n.Content {
			if n.Kind == yaml.MappingNode && i%2 == 0 {
				if command == nil && slices.Contains([]string{"command", "args"}, child.Value) {
					command = child
				}
				continue
			}
			if found := walk(child); found != nil {
				return found
			}
		}
		return nil
	}
	if found := walk(root); found != nil {
		return found
	}
	if command != nil {
		return command
	}
	return root
}

func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}
