package manifest

import (
	"encoding/json"
	"os"
	"strings"

	yaml "go.yaml.in/yaml/v3"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// ReadBuilt reads one object that a kustomization made of a file's. Its place is that
// of the object in the file, and its fields' are looked up there.
func (r *Reader) ReadBuilt(file string, text []byte) {
	data, _, err := toJSON(text, 1)
	if err == nil {
		src := r.origin(file, data)
		r.keep = retained{}
		var lay layout
		lay = func(int) (spot, layout) { return spot{src.Line, src.Column}, lay }
		_, err = r.object(src, data, lay)
	}
	if err != nil {
		r.problem(file, 0, err)
	}
}

// Problem records what could not be read.
func (r *Reader) Problem(file string, line int, err error) { r.problem(file, line, err) }

// Skip records what there was no reason to read.
func (r *Reader) Skip(file, why string) { r.skip(file, 0, why) }

// origin is where in a file the object stands that became the given one: of its kind,
// and its name or, as kustomizations add to names, the longest one that is part of it.
func (r *Reader) origin(file string, built []byte) cluster.Source {
	src := cluster.Source{Origin: file, Line: 1, Column: 1}
	var want header
	if json.Unmarshal(built, &want) != nil || !r.open(file) {
		return src
	}
	longest := 0
	for _, n := range r.opened.named() {
		if n.kind == want.Kind && strings.Contains(want.Metadata.Name, n.name) && len(n.name) > longest {
			longest = len(n.name)
			src.Line, src.Column = n.at.line, n.at.column
		}
	}
	return src
}

// A named is an object of a file by its kind and name.
type named struct {
	kind, name string
	at         spot
}

// named returns the objects of all documents.
func (o *opened) named() []named {
	if o.names != nil {
		return o.names
	}
	o.names = []named{}
	for _, d := range o.documents {
		var root yaml.Node
		if yaml.Unmarshal(d.text, &root) != nil || len(root.Content) == 0 {
			continue
		}
		place := spots(d.text, d.first)
		objects := []*yaml.Node{root.Content[0]}
		if items := itemsOf(resolve(root.Content[0])); items != nil {
			objects = items.Content
		}
		for _, n := range objects {
			var h header
			if resolve(n).Decode(&h) == nil && h.Metadata.Name != "" {
				o.names = append(o.names, named{h.Kind, h.Metadata.Name, place(n)})
			}
		}
	}
	return o.names
}

// open makes a file the one that is searched, and knows it from then on.
func (r *Reader) open(file string) bool {
	if _, known := r.inputs[file]; !known {
		data, err := os.ReadFile(file)
		if err != nil || len(data) > MaxFileSize {
			return false
		}
		r.remember(file, data, true)
	}
	return r.load(file)
}
