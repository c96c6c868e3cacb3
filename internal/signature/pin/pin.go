// Package pin rewrites the image references of manifests, each in its place: comments,
// quotes, order and every other byte stay as they are. Which digest a tag names it is
// told; it asks nobody and opens nothing.
package pin

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v3"
)

// Limits of a file.
const (
	// MaxSize is the largest file, in bytes.
	MaxSize = 16 << 20
	maxRefs = 10_000
	// maxDepth is how deep mappings and lists may stand in each other; Kubernetes' own are
	// less than twenty deep.
	maxDepth = 200
)

// A Ref is an image reference in a file.
type Ref struct {
	// Image is what is written.
	Image string
	// Line is 1 for the first.
	Line int

	offset int // of its first byte
	scalar int // its number among the file's scalars
}

// A Change is a reference that was rewritten.
type Change struct {
	Ref
	To string
	// Before and After are the line.
	Before, After string
}

// Refs finds the references of the containers and image volumes in a file of YAML or JSON
// documents, in their order. The file is refused whole if one of them is written in a way
// that could not be rewritten in its place.
func Refs(data []byte) ([]Ref, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%d bytes, want at most %d", len(data), MaxSize)
	}
	f := &finder{data: data, lines: lineStarts(data)}
	for d := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var doc yaml.Node
		switch err := d.Decode(&doc); {
		case errors.Is(err, io.EOF):
			return f.refs, nil
		case err != nil:
			return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
		}
		if err := f.walk(&doc, "", false, 0); err != nil {
			return nil, err
		}
	}
}

// Rewrite gives references other names: to tells which, and the empty text leaves one as
// it is. What it returns says the same as the file in every other respect.
func Rewrite(data []byte, to func(image string) string) ([]byte, []Change, error) {
	refs, err := Refs(data)
	if err != nil {
		return nil, nil, err
	}
	var changes []Change
	var out bytes.Buffer
	at := 0
	for _, r := range refs {
		name := to(r.Image)
		if name == "" || name == r.Image {
			continue
		}
		if strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./:@_-[]") != "" || len(name) > 1024 {
			return nil, nil, fmt.Errorf("line %d: %.200q is no reference", r.Line, name)
		}
		out.Write(data[at:r.offset])
		out.WriteString(name)
		at = r.offset + len(r.Image)
		changes = append(changes, Change{Ref: r, To: name})
	}
	if len(changes) == 0 {
		return data, nil, nil
	}
	out.Write(data[at:])
	if err := same(data, out.Bytes(), changes); err != nil {
		return nil, nil, err
	}
	before, after := lineStarts(data), lineStarts(out.Bytes())
	for i := range changes {
		c := &changes[i]
		c.Before, c.After = line(data, before, c.Line), line(out.Bytes(), after, c.Line)
	}
	return out.Bytes(), changes, nil
}

// Diff writes changes as a unified diff without context, which patch takes, also back
// (patch -R).
func Diff(w io.Writer, file string, changes []Change) error {
	if len(changes) == 0 {
		return nil
	}
	if _, err := fmt.Fprintf(w, "--- %s\n+++ %s\n", file, file); err != nil {
		return err
	}
	for i, c := range changes {
		if i > 0 && changes[i-1].Line == c.Line {
			continue // one line of JSON may hold several
		}
		if _, err := fmt.Fprintf(w, "@@ -%d +%d @@\n-%s\n+%s\n", c.Line, c.Line, c.Before, c.After); err != nil {
			return err
		}
	}
	return nil
}

// A finder walks the nodes of a file.
type finder struct {
	data    []byte
	lines   []int
	refs    []Ref
	scalars int
}

// containerKeys are the lists whose items have an image.
var containerKeys = map[string]bool{"containers": true, "initContainers": true, "ephemeralContainers": true}

// walk looks at a node that stands under a key. In an item of a list of containers, or in
// the image of a volume, inside is set.
func (f *finder) walk(n *yaml.Node, key string, inside bool, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("line %d: more than %d deep", n.Line, maxDepth)
	}
	switch n.Kind {
	case yaml.DocumentNode:
		for _, c := range n.Content {
			if err := f.walk(c, "", false, depth+1); err != nil {
				return err
			}
		}
	case yaml.SequenceNode:
		for _, c := range n.Content {
			if err := f.walk(c, key, containerKeys[key] || key == "volumes", depth+1); err != nil {
				return err
			}
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			k, v := n.Content[i], n.Content[i+1]
			f.scalars++
			if inside && k.Tag == "!!merge" {
				return fmt.Errorf("line %d: a container that goes on elsewhere (<<), whose image may stand there", k.Line)
			}
			if inside && (containerKeys[key] && k.Value == "image" || key == "image" && k.Value == "reference") {
				if err := f.ref(v); err != nil {
					return err
				}
			}
			if err := f.walk(v, k.Value, inside && key == "volumes" && k.Value == "image", depth+1); err != nil {
				return err
			}
		}
	case yaml.ScalarNode:
		f.scalars++
	case yaml.AliasNode:
		if containerKeys[key] {
			return fmt.Errorf("line %d: containers that stand elsewhere (an alias)", n.Line)
		}
	}
	return nil
}

// ref notes a reference, once its place in the file is sure.
func (f *finder) ref(n *yaml.Node) error {
	if n.Kind != yaml.ScalarNode {
		return fmt.Errorf("line %d: an image that is no text: a template, or an alias of one that stands elsewhere", n.Line)
	}
	if n.Value == "" || n.Tag == "!!null" {
		return nil // a template's, which something fills in
	}
	offset, ok := f.offset(n)
	if ok {
		rest, quote := f.data[offset:], ""
		if n.Style&yaml.DoubleQuotedStyle != 0 {
			quote = `"`
		} else if n.Style&yaml.SingleQuotedStyle != 0 {
			quote = "'"
		}
		ok = bytes.HasPrefix(rest, []byte(quote+n.Value+quote)) && n.Anchor == "" && n.Style&yaml.TaggedStyle == 0
		offset += len(quote)
	}
	if !ok {
		return fmt.Errorf("line %d: an image that is written over several lines, with escapes, a tag or an anchor; want a plain text", n.Line)
	}
	if len(f.refs) == maxRefs {
		return fmt.Errorf("more than %d images", maxRefs)
	}
	f.refs = append(f.refs, Ref{Image: n.Value, Line: n.Line, offset: offset, scalar: f.scalars})
	return nil
}

// offset is where a node begins: its column counts characters.
func (f *finder) offset(n *yaml.Node) (int, bool) {
	if n.Line < 1 || n.Line > len(f.lines) {
		return 0, false
	}
	at := f.lines[n.Line-1]
	for range n.Column - 1 {
		if at >= len(f.data) {
			return 0, false
		}
		_, size := utf8.DecodeRune(f.data[at:])
		at += size
	}
	return at, true
}

// lineStarts are the offsets at which lines begin. Where YAML sees a line break that is
// none here, no reference is found in its place, and the file is refused.
func lineStarts(data []byte) []int {
	starts := []int{0}
	for i, b := range data {
		if b == '\n' {
			starts = append(starts, i+1)
		}
	}
	return starts
}

func line(data []byte, starts []int, n int) string {
	rest := data[starts[n-1]:]
	if i := bytes.IndexByte(rest, '\n'); i >= 0 {
		rest = rest[:i]
	}
	return string(rest)
}

// same reads both files again, and makes sure that only the references differ.
func same(before, after []byte, changes []Change) error {
	a, b := scalars(before), scalars(after)
	for _, c := range changes {
		if c.scalar >= len(a) || a[c.scalar].Value != c.Image {
			return fmt.Errorf("line %d: the image is not where it was", c.Line)
		}
		a[c.scalar].Value = c.To
	}
	if len(a) != len(b) {
		return errors.New("rewriting would change more than the images")
	}
	for i := range a {
		if a[i].Value != b[i].Value || a[i].Tag != b[i].Tag || a[i].Kind != b[i].Kind {
			return fmt.Errorf("line %d: rewriting would change more than the images", b[i].Line)
		}
	}
	return nil
}

// scalars are all scalars of a file in their order, with the openings of mappings and
// lists left out, which rewriting a scalar cannot move without changing their number.
func scalars(data []byte) []*yaml.Node {
	var out []*yaml.Node
	var walk func(*yaml.Node)
	walk = func(n *yaml.Node) {
		if n.Kind == yaml.ScalarNode {
			out = append(out, n)
		}
		for _, c := range n.Content {
			walk(c)
		}
	}
	for d := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var doc yaml.Node
		if d.Decode(&doc) != nil {
			return out
		}
		walk(&doc)
	}
}
