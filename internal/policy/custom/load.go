// Package custom reads a team's own controls from folders: ValidatingAdmissionPolicies,
// with what a control needs besides in annotations, and their cases. It is an adapter: the
// policies are evaluated in internal/policy.
package custom

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v3"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kjson "sigs.k8s.io/json"

	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/policy"
)

// MaxFileSize is the largest file that is read, in bytes. A policy is stored in etcd,
// which takes no more.
const MaxFileSize = 1 << 20

// Since stands where a control of the catalogue names its release.
const Since = "a control of your own"

// The annotations of a control.
const (
	Title      = "bulwark.dev/title"      // the fault, in a few words
	Severity   = "bulwark.dev/severity"   // critical, high, medium or low
	Why        = "bulwark.dev/why"        // what an attacker gains
	Fix        = "bulwark.dev/fix"        // what to do about it
	References = "bulwark.dev/references" // one a line
	Templates  = "bulwark.dev/pod-templates"
)

var annotations = []string{Title, Severity, Why, Fix, References, Templates}

// A Control is one control of a folder.
type Control struct {
	*control.Control
	// File and Line are where it stands.
	File string
	Line int
}

// A Fault is something wrong in a file, with its place.
type Fault struct {
	File         string
	Line, Column int
	Err          error
}

func (f *Fault) Error() string {
	switch {
	case f.Line == 0:
		return fmt.Sprintf("%s: %v", f.File, f.Err)
	case f.Column == 0:
		return fmt.Sprintf("%s:%d: %v", f.File, f.Line, f.Err)
	}
	return fmt.Sprintf("%s:%d:%d: %v", f.File, f.Line, f.Column, f.Err)
}

func (f *Fault) Unwrap() error { return f.Err }

// Load reads every control of a folder and of those below it, ordered by ID, leaving out
// testdata and what begins with a dot. It returns all faults that it meets, each a Fault.
func Load(folder string, l policy.Language) ([]*Control, []error) {
	var out []*Control
	var faults []error
	root := folder
	if info, err := os.Stat(root); err == nil && info.IsDir() {
		root += string(filepath.Separator) // so that a folder that is a link is walked
	}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".")):
			return filepath.SkipDir
		case !slices.Contains([]string{".yaml", ".yml"}, filepath.Ext(path)) || !isFile(path):
			return nil
		}
		found, bad := parseFile(path, l)
		out, faults = append(out, found...), append(faults, bad...)
		return nil
	})
	if err != nil {
		var pathErr *fs.PathError
		if errors.As(err, &pathErr) {
			err = pathErr.Err
		}
		return nil, []error{&Fault{File: folder, Err: err}}
	}
	slices.SortStableFunc(out, func(a, b *Control) int { return strings.Compare(a.ID, b.ID) })
	for i := 1; i < len(out); i++ {
		if a, b := out[i-1], out[i]; a.ID == b.ID {
			faults = append(faults, &Fault{File: b.File, Line: b.Line, Err: fmt.Errorf("control %s stands in %s:%d as well", b.ID, a.File, a.Line)})
		}
	}
	return out, faults
}

// isFile reports whether a path is a file or a link to one, as in a mounted ConfigMap. A
// link that leads nowhere is one that cannot be read.
func isFile(path string) bool {
	info, err := os.Stat(path)
	return err != nil || info.Mode().IsRegular()
}

func parseFile(path string, l policy.Language) ([]*Control, []error) {
	data, err := readFile(path)
	if err != nil {
		return nil, []error{&Fault{File: path, Err: err}}
	}
	return Parse(path, data, l)
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxFileSize+1))
	if err == nil && len(data) > MaxFileSize {
		return nil, fmt.Errorf("the file has more than %d KB: split it", MaxFileSize>>10)
	}
	return data, err
}

// A document is one of a file: its YAML, for places, and as JSON.
type document struct {
	node *yaml.Node
	json []byte
	// lines are those of the whole file.
	lines [][]byte
	metav1.TypeMeta
}

// Parse reads the controls of one file. The bindings and parameters that a control needs
// stand in the same file.
func Parse(file string, data []byte, l policy.Language) ([]*Control, []error) {
	documents, err := split(data)
	if err != nil {
		return nil, []error{place(file, err)}
	}
	var faults []error
	var bindings []*admissionv1.ValidatingAdmissionPolicyBinding
	var parameters []*unstructured.Unstructured
	policies := 0
	for _, d := range documents {
		switch {
		case d.APIVersion == "" || d.Kind == "":
			faults = append(faults, &Fault{file, d.node.Line, d.node.Column, errors.New("it has no apiVersion and kind, so it is no Kubernetes object")})
		case d.is("ValidatingAdmissionPolicy"):
			policies++
		case d.is("ValidatingAdmissionPolicyBinding"):
			b := new(admissionv1.ValidatingAdmissionPolicyBinding)
			if err := strict(d.json, b); err != nil {
				faults = append(faults, &Fault{file, d.node.Line, d.node.Column, err})
			}
			bindings = append(bindings, b)
		case d.Kind == "Secret":
			faults = append(faults, &Fault{file, d.node.Line, d.node.Column, errors.New("a Secret is no parameter of a control: its values would be read")})
		default:
			u := new(unstructured.Unstructured)
			if err := u.UnmarshalJSON(d.json); err != nil {
				faults = append(faults, &Fault{file, d.node.Line, d.node.Column, err})
				continue
			}
			parameters = append(parameters, u)
		}
	}
	if policies == 0 && len(faults) == 0 {
		faults = append(faults, &Fault{File: file, Err: errors.New("there is no ValidatingAdmissionPolicy in it")})
	}
	var out []*Control
	for _, d := range documents {
		if !d.is("ValidatingAdmissionPolicy") {
			continue
		}
		c, bad := d.control(file, l, bindings, parameters)
		if faults = append(faults, bad...); len(bad) == 0 {
			out = append(out, c)
		}
	}
	return out, faults
}

func (d *document) is(kind string) bool {
	return d.Kind == kind && d.APIVersion == admissionv1.SchemeGroupVersion.String()
}

// split reads the documents of a file, keeping the places of their nodes.
func split(data []byte) ([]*document, error) {
	var out []*document
	lines := bytes.Split(data, []byte("\n"))
	for decoder := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var node yaml.Node
		err := decoder.Decode(&node)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		var v any
		if err := node.Decode(&v); err != nil {
			return nil, err
		}
		if v == nil {
			continue
		}
		d := &document{node: node.Content[0], lines: lines}
		if d.json, err = json.Marshal(v); err != nil {
			return nil, &Fault{Line: d.node.Line, Err: err}
		}
		// What is no object has no type, and that is reported.
		_ = json.Unmarshal(d.json, &d.TypeMeta)
		out = append(out, d)
	}
}

var yamlLine = regexp.MustCompile(`(?s)^(?:yaml: )?(?:unmarshal errors:\n\s*)?line (\d+): (.*)$`)

// place finds the line in an error of the YAML parser.
func place(file string, err error) error {
	var fault *Fault
	if errors.As(err, &fault) {
		fault.File = file
		return fault
	}
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 0
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = m[2]
	}
	return &Fault{File: file, Line: line, Err: errors.New(strings.Join(strings.Fields(text), " "))}
}

// strict decodes as the API server does for a request that asks for no unknown fields.
func strict(data []byte, into any) error {
	unknown, err := kjson.UnmarshalStrict(data, into)
	return errors.Join(append(unknown, err)...)
}

var idPattern = regexp.MustCompile(`^[a-z][a-z0-9]*\.[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)

// control makes the control of a policy, or says all that is wrong with it.
func (d *document) control(file string, l policy.Language, bindings []*admissionv1.ValidatingAdmissionPolicyBinding, parameters []*unstructured.Unstructured) (*Control, []error) {
	var faults []error
	bad := func(path []string, format string, args ...any) {
		n := find(d.node, path)
		faults = append(faults, &Fault{file, n.Line, n.Column, fmt.Errorf(format, args...)})
	}
	definition := new(admissionv1.ValidatingAdmissionPolicy)
	if err := strict(d.json, definition); err != nil {
		for message := range strings.Lines(err.Error()) {
			bad(nil, "%s", strings.TrimSpace(message))
		}
		return nil, faults
	}
	name := []string{"metadata", "name"}
	switch family, _, _ := strings.Cut(definition.Name, "."); {
	case !idPattern.MatchString(definition.Name):
		bad(name, "metadata.name is %q, want the control's ID: family.name in lower case", definition.Name)
	case family == "policy":
		bad(name, "metadata.name is %q: the family policy is for the cluster's own policies", definition.Name)
	}
	for key := range definition.Annotations {
		if strings.HasPrefix(key, "bulwark.dev/") && !slices.Contains(annotations, key) {
			bad([]string{"metadata", "annotations", key}, "annotation %s is not known, want one of %s", key, strings.Join(annotations, ", "))
		}
	}
	at := func(key string) []string { return []string{"metadata", "annotations", key} }
	title := definition.Annotations[Title]
	if title == "" || strings.HasSuffix(title, ".") {
		bad(at(Title), "annotation %s is %q, want the fault in a few words without a full stop", Title, title)
	}
	severity, err := control.ParseSeverity(definition.Annotations[Severity])
	if err != nil {
		bad(at(Severity), "annotation %s: %v", Severity, err)
	}
	templates := false
	if text, ok := definition.Annotations[Templates]; ok {
		if templates, err = strconv.ParseBool(text); err != nil {
			bad(at(Templates), "annotation %s is %q, want true or false", Templates, text)
		}
	}
	spec := []string{"spec"}
	if m := definition.Spec.MatchConstraints; m == nil || len(m.ResourceRules) == 0 {
		bad(spec, "spec.matchConstraints.resourceRules is empty, want what the control judges")
	}
	if len(definition.Spec.Validations) == 0 {
		bad(spec, "spec.validations is empty, want at least one expression")
	}
	if len(faults) > 0 {
		return nil, faults
	}

	own := slices.DeleteFunc(slices.Clone(bindings), func(b *admissionv1.ValidatingAdmissionPolicyBinding) bool {
		return b.Spec.PolicyName != definition.Name
	})
	if len(own) == 0 {
		own = append(own, &admissionv1.ValidatingAdmissionPolicyBinding{}) // everything, without parameters
	}
	p, err := policy.New(l, definition, own)
	if err != nil {
		bad(spec, "%v", err)
		return nil, faults
	}
	p.Parameters = parameters
	for _, fault := range p.Faults() {
		faults = append(faults, d.locate(file, fault))
	}
	over, with := p.Needs(templates)
	if len(over) == 0 {
		bad(spec, "spec.matchConstraints.resourceRules names no resource that is read, only subresources")
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return &Control{
		Control: &control.Control{
			ID: definition.Name, Title: title, Severity: severity, Since: Since,
			Over: over, With: with, Check: p.Check(templates), Doc: doc(definition, file),
		},
		File: file, Line: d.node.Line,
	}, nil
}

// doc is the control's page, in the catalogue's order.
func doc(p *admissionv1.ValidatingAdmissionPolicy, file string) string {
	var expressions, references strings.Builder
	for _, v := range p.Spec.Validations {
		fmt.Fprintf(&expressions, "    %s\n", strings.ReplaceAll(strings.TrimSpace(v.Expression), "\n", "\n    "))
	}
	for line := range strings.Lines(p.Annotations[References]) {
		fmt.Fprintf(&references, "- %s\n", strings.TrimSpace(line))
	}
	return fmt.Sprintf("## Why\n\n%s\n\n## Evidence\n\nThese expressions must all be true:\n\n%s\n## Fix\n\n%s\n\n## Prove\n\nThe control is a ValidatingAdmissionPolicy: bound in a cluster, it refuses the object.\n\n## References\n\n- %s\n%s",
		cmp.Or(strings.TrimSpace(p.Annotations[Why]), p.Annotations[Title]+"."), expressions.String(),
		cmp.Or(strings.TrimSpace(p.Annotations[Fix]), "Change the object so that the expressions are true."), filepath.ToSlash(file), references.String())
}

// find returns the node at a path, or the nearest above it that exists.
func find(n *yaml.Node, path []string) *yaml.Node {
	for _, step := range path {
		next := child(n, step)
		if next == nil {
			return n
		}
		n = next
	}
	return n
}

func child(n *yaml.Node, step string) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch n.Kind { //nolint:exhaustive // only these have children with a name or a number
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == step {
				return n.Content[i+1]
			}
		}
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(step); err == nil && i < len(n.Content) {
			return n.Content[i]
		}
	}
	return nil
}

// locate finds the place of a fault in an expression. In a literal block and in text on
// one line it is exact; text that YAML folds begins there.
func (d *document) locate(file string, fault error) error {
	var e *policy.ExpressionError
	if !errors.As(fault, &e) {
		return &Fault{File: file, Line: d.node.Line, Err: fault}
	}
	n := find(d.node, strings.FieldsFunc(e.Field, func(r rune) bool { return r == '.' || r == '[' || r == ']' }))
	out := &Fault{file, n.Line, n.Column, errors.New(e.Field + ": " + e.Message)}
	if e.Line == 0 {
		return out
	}
	switch {
	case n.Style&yaml.LiteralStyle != 0:
		out.Line, out.Column = n.Line+e.Line, d.indent(n)+e.Column
	case n.Style&yaml.FoldedStyle == 0 && e.Line == 1 && !strings.Contains(n.Value, "\n"):
		if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
			out.Column++
		}
		out.Column += e.Column - 1
	}
	return out
}

// indent is how far a literal block is indented, which the parser does not tell.
func (d *document) indent(block *yaml.Node) int {
	for _, line := range d.lines[min(block.Line, len(d.lines)):] {
		if text := bytes.TrimLeft(line, " "); len(bytes.TrimSpace(text)) > 0 {
			return len(line) - len(text)
		}
	}
	return 0
}
