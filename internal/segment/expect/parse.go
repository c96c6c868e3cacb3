// Package expect reads what must and what must not be able to connect, from a file that a
// team keeps beside its manifests, and holds it against the policies.
package expect

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v3"

	"github.com/bulwark-k8s/bulwark/internal/network"
	"github.com/bulwark-k8s/bulwark/internal/segment"
)

// Schema names the shape of the file. docs/schema/net-test-v1.json describes it.
const Schema = "bulwark.net-test/v1"

// Limits of the file, which a stranger may have written.
const (
	MaxFileSize = 4 << 20
	maxTests    = 20_000
)

// A Test is one expectation: every connection from one of From to one of To on one of
// Ports has the verdict that is wanted.
type Test struct {
	Name             string
	From, To         []segment.Name
	NotFrom, NotTo   []segment.Name
	Ports            network.PortSet // all of them where none are given
	Want             network.Verdict
	Line             int
	Wrong            error // why it cannot be asked
	namespace, title string
}

// Title is the test's name, or what it says.
func (t *Test) Title() string {
	return cmp.Or(t.Name, t.title)
}

// Parse reads a file. What is wrong with the file as a whole is an error; what is wrong
// with one test is in that test, so that the others are asked all the same.
func Parse(name string, data []byte, namespace string) ([]*Test, error) {
	if len(data) > MaxFileSize {
		return nil, fmt.Errorf("%s: %d bytes, want at most %d", name, len(data), MaxFileSize)
	}
	d := yaml.NewDecoder(strings.NewReader(string(data)))
	var root, more yaml.Node
	switch err := d.Decode(&root); {
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("%s: it is empty, want tests", name)
	case err != nil:
		return nil, fmt.Errorf("%s: %s", name, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: it holds several documents, want one", name)
	}
	var list *yaml.Node
	err := fields(root.Content[0], "the file", map[string]func(*yaml.Node) error{
		"schema": func(n *yaml.Node) error {
			if n.Value != Schema {
				return fmt.Errorf("line %d: schema %q: want %s", n.Line, n.Value, Schema)
			}
			return nil
		},
		"namespace": into(&namespace, "namespace"),
		"tests": func(n *yaml.Node) error {
			if n.Kind != yaml.SequenceNode || len(n.Content) == 0 || len(n.Content) > maxTests {
				return fmt.Errorf("line %d: tests: want a list of 1 to %d", n.Line, maxTests)
			}
			list = n
			return nil
		},
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", name, err)
	case list == nil:
		return nil, fmt.Errorf("%s: it has no tests", name)
	}
	var out []*Test
	for _, n := range list.Content {
		t := &Test{Line: n.Line, namespace: namespace}
		if err := t.read(n); err != nil {
			t.Wrong = err
			t.title = cmp.Or(t.title, fmt.Sprintf("the test of line %d", t.Line))
		}
		out = append(out, t)
	}
	return out, nil
}

func (t *Test) read(n *yaml.Node) error {
	var want string
	var ports []string
	text := map[string][]string{}
	names := func(to *[]segment.Name, key string) func(*yaml.Node) error {
		return func(n *yaml.Node) error {
			list, err := texts(n, key)
			if err != nil {
				return err
			}
			text[key] = list
			for _, s := range list {
				name, err := segment.ParseName(s, t.namespace)
				if err != nil {
					return fmt.Errorf("line %d: %s: %w", n.Line, key, err)
				}
				*to = append(*to, name)
			}
			return nil
		}
	}
	// The name first: whatever is wrong is reported under it.
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == "name" && n.Content[i+1].Kind == yaml.ScalarNode {
			t.Name = n.Content[i+1].Value
		}
	}
	err := fields(n, "test", map[string]func(*yaml.Node) error{
		"name":    into(&t.Name, "name"),
		"from":    names(&t.From, "from"),
		"to":      names(&t.To, "to"),
		"notFrom": names(&t.NotFrom, "notFrom"),
		"notTo":   names(&t.NotTo, "notTo"),
		"expect": func(n *yaml.Node) error {
			switch want = n.Value; want {
			case "allowed":
				t.Want = network.Allowed
			case "denied":
				t.Want = network.Denied
			default:
				return fmt.Errorf("line %d: expect is %q, want allowed or denied", max(n.Line, 1), want)
			}
			return nil
		},
		"ports": func(n *yaml.Node) error {
			list, err := texts(n, "ports")
			if err != nil {
				return err
			}
			ports = list
			if t.Ports, err = segment.ParsePorts(list); err != nil {
				return fmt.Errorf("line %d: ports: %w", n.Line, err)
			}
			return nil
		},
	})
	switch {
	case err != nil:
		return err
	case len(t.From) == 0 || len(t.To) == 0:
		return fmt.Errorf("line %d: want from and to", n.Line)
	case want == "":
		return fmt.Errorf("line %d: want expect: allowed or denied", n.Line)
	}
	on := "on all ports"
	if len(ports) == 0 {
		t.Ports = network.AllPorts
	} else {
		on = "on " + strings.Join(ports, ", ")
	}
	side := func(key, not string) string {
		s := strings.Join(text[key], ", ")
		if len(text[not]) > 0 {
			s += " but " + strings.Join(text[not], ", ")
		}
		return s
	}
	t.title = fmt.Sprintf("%s to %s %s is %s", side("from", "notFrom"), side("to", "notTo"), on, want)
	return nil
}

// fields calls the function of each key of a mapping, and refuses every other key.
func fields(n *yaml.Node, what string, of map[string]func(*yaml.Node) error) error {
	if n.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: %s: want fields with values", max(n.Line, 1), what)
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		read, ok := of[key.Value]
		switch {
		case !ok:
			return fmt.Errorf("line %d: %s: unknown key %q, want %s", key.Line, what, key.Value, strings.Join(slices.Sorted(maps.Keys(of)), ", "))
		case seen[key.Value]:
			return fmt.Errorf("line %d: %s: key %q stands twice", key.Line, what, key.Value)
		}
		seen[key.Value] = true
		if err := read(value); err != nil {
			return err
		}
	}
	return nil
}

func into(field *string, what string) func(*yaml.Node) error {
	return func(n *yaml.Node) error {
		if n.Kind != yaml.ScalarNode || n.Tag == "!!null" || strings.TrimSpace(n.Value) == "" {
			return fmt.Errorf("line %d: %s: want a text", max(n.Line, 1), what)
		}
		*field = n.Value
		return nil
	}
}

// texts reads a text or a list of them.
func texts(n *yaml.Node, what string) ([]string, error) {
	list := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		list = n.Content
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("line %d: %s: the list is empty", max(n.Line, 1), what)
	}
	out := make([]string, len(list))
	for i, item := range list {
		if err := into(&out[i], what)(item); err != nil {
			return nil, err
		}
	}
	return out, nil
}
