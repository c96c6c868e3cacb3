package waiver

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	yaml "go.yaml.in/yaml/v3"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// FileName is the name under which the file is looked for.
const FileName = ".bulwark.yaml"

// Limits of the file, which a stranger may have written.
const (
	MaxFileSize = 4 << 20
	maxWaivers  = 20_000
	maxKinds    = 1_000
	maxLine     = 2_000 // bytes of one line of an annotation
)

// A File is what a .bulwark.yaml says.
type File struct {
	Waivers []*Waiver
	// Vulnerabilities are those of images that may stand.
	Vulnerabilities []*Vulnerability
	// Workloads are kinds beside Kubernetes' own that make pods.
	Workloads []cluster.CustomKind
	// IgnoreAnnotations is set where waivers count only if they stand in the file.
	IgnoreAnnotations bool
}

// Parse reads a .bulwark.yaml. It is strict: an unknown key, a missing reason, owner or
// last day, and a control that known does not know are errors with file and line,
// since a waiver with a typing mistake must not waive something else.
func Parse(name string, data []byte, known func(pattern string) bool) (*File, error) {
	p := parser{name: name, known: known}
	if len(data) > MaxFileSize {
		return nil, fmt.Errorf("%s: %d bytes, want at most %d", name, len(data), MaxFileSize)
	}
	d := yaml.NewDecoder(strings.NewReader(string(data)))
	var root, more yaml.Node
	switch err := d.Decode(&root); {
	case errors.Is(err, io.EOF):
		return &File{}, nil
	case err != nil:
		return nil, fmt.Errorf("%s: %s", name, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: it holds several documents, want one", name)
	}
	out := &File{}
	if len(root.Content) == 0 || root.Content[0].Tag == "!!null" {
		return out, nil
	}
	err := p.fields(root.Content[0], "the file", map[string]func(*yaml.Node) error{
		"waivers": func(n *yaml.Node) error {
			if n.Kind != yaml.SequenceNode || len(n.Content) > maxWaivers {
				return p.errorf(n, "waivers: want a list of at most %d", maxWaivers)
			}
			for _, item := range n.Content {
				w, err := p.waiver(item)
				if err != nil {
					return err
				}
				out.Waivers = append(out.Waivers, w)
			}
			return nil
		},
		"vulnerabilities": func(n *yaml.Node) error {
			if n.Kind != yaml.SequenceNode || len(n.Content) > maxWaivers {
				return p.errorf(n, "vulnerabilities: want a list of at most %d", maxWaivers)
			}
			for _, item := range n.Content {
				v, err := p.vulnerability(item)
				if err != nil {
					return err
				}
				out.Vulnerabilities = append(out.Vulnerabilities, v)
			}
			return nil
		},
		"workloads": func(n *yaml.Node) error {
			if n.Kind != yaml.SequenceNode || len(n.Content) > maxKinds {
				return p.errorf(n, "workloads: want a list of at most %d", maxKinds)
			}
			for _, item := range n.Content {
				k, err := p.workload(item)
				if err != nil {
					return err
				}
				if slices.ContainsFunc(out.Workloads, func(have cluster.CustomKind) bool { return have.Name() == k.Name() }) {
					return p.errorf(item, "workload: %s stands twice", k.Name())
				}
				out.Workloads = append(out.Workloads, k)
			}
			return nil
		},
		"annotations": func(n *yaml.Node) error {
			text, err := p.text(n, "annotations")
			if err == nil && text != "honour" && text != "ignore" {
				err = p.errorf(n, "annotations is %q, want honour or ignore", text)
			}
			out.IgnoreAnnotations = text == "ignore"
			return err
		},
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// A parser reads one file's nodes.
type parser struct {
	name  string
	known func(string) bool
}

func (p *parser) errorf(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%s:%d: "+format, append([]any{p.name, max(n.Line, 1)}, args...)...)
}

// fields calls the function of each key of a mapping, and refuses every other key.
func (p *parser) fields(n *yaml.Node, what string, of map[string]func(*yaml.Node) error) error {
	if n.Kind != yaml.MappingNode {
		return p.errorf(n, "%s: want fields with values", what)
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		read, ok := of[key.Value]
		switch {
		case !ok:
			return p.errorf(key, "%s: unknown key %q, want %s", what, key.Value, strings.Join(slices.Sorted(maps.Keys(of)), ", "))
		case seen[key.Value]:
			return p.errorf(key, "%s: key %q stands twice", what, key.Value)
		}
		seen[key.Value] = true
		if err := read(value); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) text(n *yaml.Node, what string) (string, error) {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" || strings.TrimSpace(n.Value) == "" {
		return "", p.errorf(n, "%s: want a text", what)
	}
	return n.Value, nil
}

// into reads a text into a field.
func (p *parser) into(field *string, what string) func(*yaml.Node) error {
	return func(n *yaml.Node) (err error) {
		*field, err = p.text(n, what)
		return err
	}
}

// day reads a day into a field.
func (p *parser) day(field *time.Time) func(*yaml.Node) error {
	return func(n *yaml.Node) error {
		text, err := p.text(n, "until")
		if err != nil {
			return err
		}
		if *field, err = parseDay(text); err != nil {
			return p.errorf(n, "%w", err)
		}
		return nil
	}
}

func (p *parser) waiver(n *yaml.Node) (*Waiver, error) {
	w := &Waiver{Source: cluster.Source{Origin: p.name, Line: n.Line, Column: n.Column}}
	err := p.fields(n, "waiver", map[string]func(*yaml.Node) error{
		"control": func(n *yaml.Node) error {
			if err := p.into(&w.Control, "control")(n); err != nil {
				return err
			}
			if !p.known(w.Control) {
				return p.errorf(n, "control %q: no such ID or family", w.Control)
			}
			return nil
		},
		"object":    func(n *yaml.Node) error { return p.selector(n, &w.Object) },
		"container": p.into(&w.Container, "container"),
		"path":      p.into(&w.Path, "path"),
		"reason":    p.into(&w.Reason, "reason"),
		"owner":     p.into(&w.Owner, "owner"),
		"until":     p.day(&w.Until),
	})
	if err != nil {
		return nil, err
	}
	if err := w.check(); err != nil {
		return nil, p.errorf(n, "waiver: %w", err)
	}
	return w, nil
}

func (p *parser) workload(n *yaml.Node) (cluster.CustomKind, error) {
	var group, kind, resource, version string
	var templates []string
	err := p.fields(n, "workload", map[string]func(*yaml.Node) error{
		"group":    p.into(&group, "group"),
		"kind":     p.into(&kind, "kind"),
		"resource": p.into(&resource, "resource"),
		"version":  p.into(&version, "version"),
		"template": func(n *yaml.Node) error {
			list := []*yaml.Node{n}
			if n.Kind == yaml.SequenceNode {
				list = n.Content
			}
			for _, item := range list {
				text, err := p.text(item, "template")
				if err != nil {
					return err
				}
				templates = append(templates, text)
			}
			return nil
		},
	})
	if err != nil {
		return cluster.CustomKind{}, err
	}
	k, err := cluster.OwnWorkload(group, kind, resource, version, templates)
	if err != nil {
		return k, p.errorf(n, "workload: %w", err)
	}
	return k, nil
}

func (p *parser) selector(n *yaml.Node, s *Selector) error {
	return p.fields(n, "object", map[string]func(*yaml.Node) error{
		"cluster":   p.into(&s.Cluster, "cluster"),
		"kind":      p.into(&s.Kind, "kind"),
		"namespace": p.into(&s.Namespace, "namespace"),
		"name":      p.into(&s.Name, "name"),
		"labels": func(n *yaml.Node) error {
			if n.Kind != yaml.MappingNode || len(n.Content) == 0 {
				return p.errorf(n, "labels: want keys with values")
			}
			s.Labels = map[string]string{}
			for i := 0; i+1 < len(n.Content); i += 2 {
				if n.Content[i+1].Kind != yaml.ScalarNode {
					return p.errorf(n.Content[i+1], "labels: want a text")
				}
				s.Labels[n.Content[i].Value] = n.Content[i+1].Value
			}
			return nil
		},
	})
}

// ParseLine reads one line of an annotation:
//
//	pod.capabilities[cart]: it binds port 80; owner team-shop; until 2027-03-31
func ParseLine(line string) (*Waiver, error) {
	w := &Waiver{}
	if len(line) > maxLine {
		return nil, fmt.Errorf("a line of %d bytes, want at most %d", len(line), maxLine)
	}
	id, rest, ok := strings.Cut(line, ":")
	if !ok {
		return nil, fmt.Errorf("want CONTROL: REASON; owner OWNER; until DAY")
	}
	id = strings.TrimSpace(id)
	if name, in, ok := strings.Cut(id, "["); ok {
		w.Container, ok = strings.CutSuffix(in, "]")
		if !ok || w.Container == "" {
			return nil, fmt.Errorf("control %q: want CONTROL[CONTAINER]", id)
		}
		id = name
	}
	w.Control = id
	if !plain(id) || !strings.Contains(id, ".") {
		return nil, fmt.Errorf("control %q: want one ID", id)
	}
	// From the end, since a reason may hold a semicolon.
	rest, until, ok := cutLast(rest, "until ")
	if !ok {
		return nil, fmt.Errorf("want until YYYY-MM-DD at the end")
	}
	w.Reason, w.Owner, ok = cutLast(rest, "owner ")
	if !ok {
		return nil, fmt.Errorf("want owner OWNER before until")
	}
	var err error
	if w.Until, err = parseDay(until); err != nil {
		return nil, err
	}
	return w, w.check()
}

// cutLast splits off what follows the last semicolon, if it begins with a word.
func cutLast(text, word string) (before, after string, ok bool) {
	i := strings.LastIndexByte(text, ';')
	if i < 0 {
		return text, "", false
	}
	after, ok = strings.CutPrefix(strings.TrimSpace(text[i+1:]), word)
	return strings.TrimSpace(text[:i]), strings.TrimSpace(after), ok
}

// A bad is an annotation's line that is no waiver.
type bad struct {
	on     cluster.Ref
	source cluster.Source
	line   string
	err    error
}

// annotations reads every waiver that stands on an object. What a controller made
// carries copies of its owner's annotations, which are the owner's. The cluster is named
// where it is one of several.
func annotations(s *cluster.Snapshot, in string, known func(string) bool) (all []*Waiver, wrong []bad) {
	for _, o := range s.Objects() {
		text, ok := o.Meta.Annotations[Annotation]
		if !ok || slices.ContainsFunc(o.Meta.OwnerReferences, isController) {
			continue
		}
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line == "" {
				continue
			}
			on := o.Ref
			on.Cluster = in
			w, err := ParseLine(line)
			if err == nil && !known(w.Control) {
				err = fmt.Errorf("control %q: no such ID", w.Control)
			}
			if err != nil {
				wrong = append(wrong, bad{on, o.Source, line, err})
				continue
			}
			w.on, w.Source = &on, o.Source
			all = append(all, w)
		}
	}
	return all, wrong
}

func sorted(m map[string]string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}
