package manifest

import (
	"fmt"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// A Rendering is what a template was rendered to, with where each line comes from.
type Rendering struct {
	// File is the template, which its author can edit.
	File string
	Text string
	// Places are, for each line of Text, the line and column in File, counted from 1.
	Places [][2]int

	text   []byte // without what may be a secret
	opened *opened
}

// ReadRendering reads a rendered template. Its objects' places, and those of their
// fields, are places in the template.
func (r *Reader) ReadRendering(x Rendering) {
	r.rendering = &x
	r.read(x.File, strings.NewReader(x.Text), false, false)
	r.rendering = nil
	x.Text = ""
	if r.renderings == nil {
		r.renderings = map[string]*Rendering{}
	}
	r.renderings[x.File] = &x
}

// place is where a line of the text comes from.
func (x *Rendering) place(line int) spot {
	if line < 1 || line > len(x.Places) {
		return spot{1, 1}
	}
	return spot{x.Places[line-1][0], x.Places[line-1][1]}
}

// line is the template's line for one of the text. Without a rendering it is the same.
func (x *Rendering) line(line int) int {
	if x == nil || line < 1 {
		return line
	}
	return x.place(line).line
}

// source is the source in the template of what begins somewhere in the text.
func (x *Rendering) source(src cluster.Source) cluster.Source {
	if x == nil {
		return src
	}
	at := x.place(src.Line)
	return cluster.Source{Origin: x.File, Line: at.line, Column: at.column, Rendered: fmt.Sprintf("%d:%d", src.Line, src.Column)}
}

// locateRendered finds a field in a rendered text, and tells the place in the template.
func (r *Reader) locateRendered(src cluster.Source, path string) (line, column int, ok bool) {
	x := r.renderings[src.Origin]
	var at spot
	if _, err := fmt.Sscanf(src.Rendered, "%d:%d", &at.line, &at.column); err != nil || x == nil {
		return 0, 0, false
	}
	if x.opened == nil {
		x.opened = &opened{}
		for first, text := range documents(x.text) {
			x.opened.documents = append(x.opened.documents, document{first, text})
		}
	}
	o, ok := x.opened.object(at)
	if !ok {
		return 0, 0, false
	}
	found := x.place(o.at(find(o.node, path)).line)
	return found.line, found.column, true
}
