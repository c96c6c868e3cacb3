// Package manifest reads facts from files: Kubernetes objects in YAML or JSON, lists
// of them, configurations of kubelets and API servers, and fact documents. One bad document does not
// spoil the rest: it becomes a Problem and reading goes on.
//
// It reads what strangers wrote, so everything has a limit: a file's size, a
// document's depth (the YAML library's own) and the expansion of aliases (likewise).
package manifest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"
	kubeletv1beta1 "k8s.io/kubelet/config/v1beta1"
	kjson "sigs.k8s.io/json"

	yaml "go.yaml.in/yaml/v3"
	kubectlyaml "sigs.k8s.io/yaml"

	"github.com/bulwark-k8s/bulwark/internal/apiconfig"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// MaxFileSize is the largest file that is read, in bytes.
const MaxFileSize = 64 << 20

// A Problem is a file or document that could not be read. The rest was.
type Problem struct {
	File string
	Line int // first line of the document, 0 for the whole file
	Err  error
}

func (p Problem) Error() string { return fmt.Sprintf("%s: %v", p.Place(), p.Err) }

// Place is the file, with the line where there is one.
func (p Problem) Place() string { return place(p.File, p.Line) }

func place(file string, line int) string {
	if line > 0 {
		return fmt.Sprintf("%s:%d", file, line)
	}
	return file
}

func (p Problem) Unwrap() error { return p.Err }

// A Skipped is a document that is well formed and not ours to judge.
type Skipped struct {
	File string
	Line int
	Why  string // "kind Widget of example.com/v1 is not known"
}

// An Outcome says how reading went.
type Outcome struct {
	Documents int
	Problems  []Problem
	Skipped   []Skipped
}

// SkippedByReason iterates over the reasons in alphabetical order, with the places.
func (o Outcome) SkippedByReason() iter.Seq2[string, []string] {
	byReason := map[string][]string{}
	for _, s := range o.Skipped {
		byReason[s.Why] = append(byReason[s.Why], place(s.File, s.Line))
	}
	return func(yield func(string, []string) bool) {
		for _, why := range slices.Sorted(maps.Keys(byReason)) {
			if !yield(why, byReason[why]) {
				return
			}
		}
	}
}

// A Reader adds what it reads to a Builder.
type Reader struct {
	b         *cluster.Builder
	namespace string
	assumed   bool // nobody said the namespace
	out       Outcome
	inputs    map[string]input // by name
	generated int              // names given to objects whose name is generated
	opened    *opened
	// keep collects, of the document that is being read, what may stay in memory.
	keep retained
	// plain and decoder read most documents; their memory serves one after the other.
	plain   plain
	decoder decoder
	// rendering is what is being read, where it is what a template was rendered to.
	rendering  *Rendering
	renderings map[string]*Rendering
	// Folder, if set, is asked at every folder below a path, and reports whether it
	// took care of it and of all that is below. File is asked at every file.
	Folder, File func(path string) (done bool)
}

// NewReader returns a Reader that fills b. Manifests can hold any kind of object, so
// every object need counts as looked at. Objects that name no namespace are put into
// the given one, as kubectl apply -n would; empty means "default".
func NewReader(b *cluster.Builder, namespace string) *Reader {
	b.Looked(cluster.Workloads...)
	b.Looked(cluster.RBAC...)
	b.Looked(cluster.Namespaces, cluster.Nodes, cluster.Services, cluster.Secrets, cluster.ConfigMaps,
		cluster.ServiceAccounts, cluster.NetworkPolicies, cluster.Ingresses, cluster.PersistentVolumes,
		cluster.ValidatingWebhooks, cluster.MutatingWebhooks, cluster.ValidatingPolicies, cluster.ValidatingPolicyBindings,
		cluster.MutatingPolicies, cluster.MutatingPolicyBindings, cluster.StorageClasses, cluster.ResourceQuotas,
		cluster.LimitRanges, cluster.DisruptionBudgets, cluster.Autoscalers, cluster.DeviceClaims, cluster.DeviceClaimTemplates,
		cluster.DeviceSlices, cluster.VolumeAttachments, cluster.PodCertificates)
	for _, k := range cluster.CustomKinds {
		b.Looked(k.Need)
	}
	return &Reader{b: b, namespace: cmp.Or(namespace, metav1.NamespaceDefault), assumed: namespace == ""}
}

// Outcome returns what happened so far.
func (r *Reader) Outcome() Outcome { return r.out }

// ReadPath reads a file, or every .yaml, .yml and .json file below a folder. A link to a
// file is read as kubectl apply -f does, once, where it stays in the folder: what leads
// out of it may be anybody's file, and is a problem. Links to folders are not followed.
// Only a path that does not exist is an error; what is wrong inside is in Outcome.
func (r *Reader) ReadPath(ctx context.Context, root string) error {
	info, err := os.Stat(root)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		r.readFile(root, true)
		return nil
	}
	top, err := filepath.EvalSymlinks(root)
	if err != nil {
		return err
	}
	if top, err = filepath.Abs(top); err != nil {
		return err
	}
	read := map[string]bool{} // by where they are
	var links []string
	// With a separator at its end a root that is a link is walked.
	err = filepath.WalkDir(root+string(filepath.Separator), func(path string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		path = filepath.Clean(path)
		if err != nil {
			r.problem(path, 0, err)
			return nil
		}
		name := d.Name()
		if d.IsDir() {
			if path != filepath.Clean(root) && strings.HasPrefix(name, ".") || r.Folder != nil && r.Folder(path) {
				return filepath.SkipDir // .git, .terraform
			}
			return nil
		}
		if name == ".bulwark.yaml" || r.File != nil && r.File(path) {
			return nil // what may stand, and what was rendered
		}
		if !slices.Contains([]string{".yaml", ".yml", ".json"}, strings.ToLower(filepath.Ext(name))) {
			return nil
		}
		switch d.Type() {
		case 0:
			if rel, err := filepath.Rel(root, path); err == nil {
				read[filepath.Join(top, rel)] = true
			}
			r.readFile(path, false)
		case fs.ModeSymlink:
			links = append(links, path)
		default:
			r.skip(path, 0, "it is no file")
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, path := range links {
		r.follow(path, top, read)
	}
	return nil
}

// follow reads the file below the folder top that a link leads to.
func (r *Reader) follow(path, top string, read map[string]bool) {
	target, err := filepath.EvalSymlinks(path)
	if err == nil {
		target, err = filepath.Abs(target)
	}
	if err != nil {
		r.problem(path, 0, fmt.Errorf("it is a link: %w", err))
		return
	}
	info, err := os.Stat(target)
	inside, away := filepath.Rel(top, target)
	switch {
	case err != nil:
		r.problem(path, 0, err)
	case away != nil || !filepath.IsLocal(inside):
		r.problem(path, 0, errors.New("it is a link that leads out of the folder: give the file itself"))
	case info.IsDir():
		r.skip(path, 0, "it is a link to a folder, which is not followed")
	case !info.Mode().IsRegular():
		r.skip(path, 0, "it is no file")
	case !read[target]:
		read[target] = true
		r.readFile(path, false)
	}
}

func (r *Reader) readFile(path string, asked bool) {
	f, err := os.Open(path)
	if err != nil {
		r.problem(path, 0, err)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	regular := err == nil && info.Mode().IsRegular()
	if regular && info.Size() > MaxFileSize {
		r.problem(path, 0, fmt.Errorf("the file has %d MB, want at most %d: split it", info.Size()>>20, MaxFileSize>>20))
		return
	}
	r.read(path, f, asked, regular)
}

// Read reads one stream, calling it name.
func (r *Reader) Read(name string, in io.Reader) { r.read(name, in, true, false) }

// read takes one file. With asked, a document that is no Kubernetes object is a
// problem; found in a folder, it is somebody's values file and skipped. With again,
// the name is a file that can be read a second time.
func (r *Reader) read(name string, in io.Reader, asked, again bool) {
	data, err := io.ReadAll(io.LimitReader(in, MaxFileSize+1))
	switch {
	case err != nil:
		r.problem(name, 0, err)
		return
	case len(data) > MaxFileSize:
		r.problem(name, 0, fmt.Errorf("the input has more than %d MB: split it", MaxFileSize>>20))
		return
	}
	data = asUTF8(data)
	if bytes.IndexByte(data[:min(len(data), 8000)], 0) >= 0 {
		r.problem(name, 0, errors.New("the file is binary, want YAML or JSON"))
		return
	}
	if apiconfig.IsABAC(data) {
		r.abac(name, data, again)
		return
	}
	found, told := 0, len(r.out.Problems)+len(r.out.Skipped)
	for line, doc := range documents(data) {
		r.keep = retained{}
		n, err := r.document(name, line, doc)
		if !again {
			forget(doc, line, r.keep)
		}
		found += n
		var not *notObjectError
		var at *lineError
		if errors.As(err, &at) {
			line, err = at.line, at.err
		}
		switch {
		case errors.As(err, &not) && !asked:
			r.skip(name, line, not.Error())
		case err != nil:
			r.problem(name, line, err)
		}
	}
	r.plain.forget()
	if r.rendering != nil {
		r.rendering.text = data
	} else {
		r.remember(name, data, again)
	}
	if found == 0 && asked && len(r.out.Problems)+len(r.out.Skipped) == told {
		r.problem(name, 0, errors.New("there is no Kubernetes object in it"))
	}
}

// asUTF8 is the text without a byte order mark, from UTF-16 where the mark says so:
// what PowerShell's > makes of the output of kubectl.
func asUTF8(data []byte) []byte {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return data[3:]
	case bytes.HasPrefix(data, []byte("\xff\xfe")):
		order = binary.LittleEndian
	case bytes.HasPrefix(data, []byte("\xfe\xff")):
		order = binary.BigEndian
	default:
		return data
	}
	units := make([]uint16, len(data)/2-1)
	for i := range units {
		units[i] = order.Uint16(data[2*i+2:])
	}
	return []byte(string(utf16.Decode(units)))
}

func (r *Reader) problem(file string, line int, err error) {
	line = r.rendering.line(line)
	// The path is in the Problem already.
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	r.out.Problems = append(r.out.Problems, Problem{file, line, err})
}

func (r *Reader) skip(file string, line int, why string) {
	line = r.rendering.line(line)
	r.out.Skipped = append(r.out.Skipped, Skipped{file, line, why})
}

// documents cuts a stream at its "---" lines, so that a document with a mistake does
// not take the following ones with it. It yields the line each one starts at.
func documents(data []byte) func(func(int, []byte) bool) {
	return func(yield func(int, []byte) bool) {
		if objects := jsonObjects(data); objects != nil { // they know no separators
			for _, o := range objects {
				if !yield(o.line, o.data) {
					return
				}
			}
			return
		}
		start, line, first := 0, 0, 1
		emit := func(end int) bool {
			doc := data[start:end]
			if len(bytes.TrimSpace(doc)) == 0 {
				return true
			}
			return yield(first, doc)
		}
		for pos := 0; pos < len(data); {
			end := bytes.IndexByte(data[pos:], '\n')
			if end < 0 {
				end = len(data) - pos
			} else {
				end++
			}
			line++
			if text := data[pos : pos+end]; isSeparator(text) {
				if !emit(pos) {
					return
				}
				start, first = pos+end, line+1
				// "--- # comment" is fine; "--- {a: b}" carries content.
				if rest := bytes.TrimSpace(text[3:]); len(rest) > 0 && rest[0] != '#' {
					start, first = pos, line
				}
			}
			pos += end
		}
		emit(len(data))
	}
}

func isSeparator(line []byte) bool {
	return bytes.HasPrefix(line, []byte("---")) && (len(line) == 3 || bytes.IndexByte([]byte(" \t\r\n"), line[3]) >= 0)
}

// A notObjectError is a document without kind or apiVersion.
type notObjectError struct{ why string }

func (e *notObjectError) Error() string { return e.why }

// document reads one document and returns how many objects it held.
func (r *Reader) document(file string, line int, doc []byte) (int, error) {
	if root := r.plain.parse(doc); root != nil {
		if n, ok := r.typed(file, root, spots(doc, line)); ok {
			return n, nil
		}
	}
	data, lay, err := toJSON(doc, line)
	if err != nil {
		return 0, err
	}
	if data == nil {
		return 0, nil // only comments
	}
	at, _ := lay(-1)
	return r.object(cluster.Source{Origin: file, Line: at.line, Column: at.column}, data, lay)
}

// typed reads one object of a plain document. It reports false, and has done nothing,
// for whatever is not one of the kinds of Kubernetes' own API, and well formed.
func (r *Reader) typed(file string, root *yaml.Node, at func(*yaml.Node) spot) (int, bool) {
	if root.Kind != yaml.MappingNode {
		return 0, false
	}
	r.decoder.fresh = false
	var apiVersion, kind string
	for i := 0; i < len(root.Content); i += 2 {
		switch value := root.Content[i+1]; {
		case value.Tag != "!!str":
		case root.Content[i].Value == "apiVersion":
			apiVersion = r.decoder.word(value.Value)
		case root.Content[i].Value == "kind":
			kind = r.decoder.word(value.Value)
		}
	}
	gvk := schema.FromAPIVersionAndKind(apiVersion, kind)
	version := r.decoder.word(gvk.GroupVersion().String())
	if _, custom := r.b.FindCustom(apiVersion, kind); custom || apiconfig.Known(apiVersion, kind) || !kinds.Recognizes(gvk) {
		return 0, false
	}
	obj, err := kinds.New(schema.FromAPIVersionAndKind(cluster.ReadAs(apiVersion, kind), kind))
	if err != nil {
		return 0, false
	}
	o, ok := obj.(metav1.Object)
	if !ok {
		return 0, false
	}
	r.decoder.fresh = kind == "Secret" || kind == "ConfigMap"
	if !r.decoder.into(root, reflect.ValueOf(obj).Elem()) {
		return 0, false
	}
	place := at(root)
	r.add(o, version, kind, cluster.Source{Origin: file, Line: place.line, Column: place.column})
	return 1, true
}

// toJSON turns a YAML document into JSON, refusing duplicate keys as the API server's
// strict decoding does. The document starts at line first of its file.
func toJSON(doc []byte, first int) ([]byte, layout, error) {
	if isJSON(doc) {
		t := bytes.TrimSpace(doc)
		var v any
		strict, err := kjson.UnmarshalStrict(t, &v)
		if err = errors.Join(append(strict, err)...); err != nil {
			return nil, nil, oneLine(err)
		}
		return t, jsonLayout(doc, first), nil
	}
	var node yaml.Node
	if err := yaml.Unmarshal(doc, &node); err != nil {
		return nil, nil, orTemplate(doc, first, atLine(err, first, doc))
	}
	if node.Kind == 0 || len(node.Content) == 0 {
		return nil, nil, nil
	}
	if err := likeKubectl(&node); err != nil {
		return nil, nil, orTemplate(doc, first, atLine(err, first, doc))
	}
	out, err := kubectlyaml.YAMLToJSON(doc)
	if err != nil {
		return nil, nil, orTemplate(doc, first, atLine(err, first, doc))
	}
	if string(out) == "null" {
		return nil, nil, nil
	}
	return out, yamlLayout(node.Content[0], spots(doc, first)), nil
}

// likeKubectl gives scalars the types that they have for kubectl, whose YAML is older
// (go.yaml.in/yaml/v2, resolve.go): yes and on are true, a date is a string. It refuses
// what kubectl takes and a reader takes otherwise: a mapping that has a key twice, of
// which the last one counts. The library would compare each key with each.
func likeKubectl(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode && n.Style == 0 {
		if n.Tag == "!!timestamp" {
			n.Tag = "!!str"
		} else if b, ok := oldBools[n.Value]; ok {
			n.Tag, n.Value = "!!bool", strconv.FormatBool(b)
		}
	}
	for _, child := range n.Content {
		if err := likeKubectl(child); err != nil {
			return err
		}
	}
	if n.Kind != yaml.MappingNode {
		return nil
	}
	lines := make(map[string]int, len(n.Content)/2)
	for i := 0; i < len(n.Content); i += 2 {
		key := n.Content[i]
		name, err := keyName(resolve(key))
		if err != nil {
			return fmt.Errorf("line %d: %w", key.Line, err)
		}
		if before, twice := lines[name]; twice {
			return fmt.Errorf("line %d: mapping key %q already defined at line %d", key.Line, name, before)
		}
		lines[name] = key.Line
	}
	return nil
}

// keyName is a key as kubectl writes it in JSON: 0x10 is "16" (sigs.k8s.io/yaml,
// convertToJSONableObject).
func keyName(key *yaml.Node) (string, error) {
	if key.Kind == yaml.ScalarNode && key.Tag == "!!str" {
		return key.Value, nil
	}
	var v any
	if err := key.Decode(&v); err != nil {
		return "", errors.New("a key is not what its tag says")
	}
	switch v.(type) {
	case string, bool, int, int64, uint64, float64:
		return fmt.Sprint(v), nil
	}
	return "", errors.New("a key is not a string")
}

// oldBools are the words that stopped to be booleans with YAML 1.2.
var oldBools = map[string]bool{
	"y": true, "Y": true, "yes": true, "Yes": true, "YES": true, "on": true, "On": true, "ON": true,
	"n": false, "N": false, "no": false, "No": false, "NO": false, "off": false, "Off": false, "OFF": false,
}

// orTemplate says what is most likely wrong with a document that is no YAML. One with
// actions of a template between its lines is somebody's source, as are the files of a
// chart. Where only values are to be filled in, it may be meant as a manifest.
func orTemplate(doc []byte, first int, err error) error {
	if isTemplate(doc) {
		return &notObjectError{"it is a template: give the folder of its chart, with Chart.yaml"}
	}
	if at := templateValue.FindIndex(doc); at != nil {
		return &lineError{first + bytes.Count(doc[:at[0]], []byte("\n")), errors.New("it is a template, which is no YAML before it is filled in")}
	}
	return err
}

// templateValue is a value that begins with a Go template action and is not in quotes.
var templateValue = regexp.MustCompile(`(?m)^ *(- +)*([\w./-]+: +)?\{\{`)

// isTemplate reports whether a line of the document begins with a Go template action,
// which no YAML value that means something else does.
func isTemplate(doc []byte) bool {
	for line := range bytes.Lines(doc) {
		if bytes.HasPrefix(bytes.TrimSpace(line), []byte("{{")) {
			return true
		}
	}
	return false
}

// oneLine makes a parser's message fit the rule of one clear line per fault.
func oneLine(err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	text = strings.TrimPrefix(text, "unmarshal errors:\n  ")
	return errors.New(strings.Join(strings.Fields(strings.ReplaceAll(text, "\n", "; ")), " "))
}

// A lineError is a fault whose line in the file is known.
type lineError struct {
	line int
	err  error
}

func (e *lineError) Error() string { return e.err.Error() }

func (e *lineError) Unwrap() error { return e.err }

var yamlLine = regexp.MustCompile(`\bline (\d+)`)

// atLine turns the line numbers of the YAML parser, which count from the document's
// first line, into the file's, and takes the one it begins with as the fault's place.
// YAML breaks lines at more characters than editors do, so a number may lie beyond
// the document's end.
func atLine(err error, first int, doc []byte) error {
	last := first + bytes.Count(doc, []byte("\n"))
	text := yamlLine.ReplaceAllStringFunc(oneLine(err).Error(), func(m string) string {
		n, _ := strconv.Atoi(strings.TrimPrefix(m, "line "))
		return fmt.Sprintf("line %d", min(n+first-1, last))
	})
	var line int
	if n, _ := fmt.Sscanf(text, "line %d:", &line); n == 1 {
		_, rest, _ := strings.Cut(text, ": ")
		return &lineError{line, errors.New(rest)}
	}
	return errors.New(text)
}

// kinds are those of Kubernetes' own API. They are apart from client-go's, to which
// other packages add kinds.
var kinds = func() *runtime.Scheme {
	s := runtime.NewScheme()
	if err := scheme.AddToScheme(s); err != nil {
		panic(err) // the same for every input: the packages do not fit each other
	}
	return s
}()

var codecs = serializer.NewCodecFactory(kinds)

type header struct {
	APIVersion string            `json:"apiVersion" yaml:"-"`
	Kind       string            `json:"kind" yaml:"kind"`
	Items      []json.RawMessage `json:"items" yaml:"-"`
	Metadata   struct {
		Name string `json:"name" yaml:"name"`
	} `json:"metadata" yaml:"metadata"`
}

// object reads one object, or a list of them.
func (r *Reader) object(src cluster.Source, data []byte, lay layout) (int, error) {
	var h header
	var odd *json.UnmarshalTypeError // such as a name that is a number
	if err := json.Unmarshal(data, &h); err != nil && !errors.As(err, &odd) || h.Kind == "" || h.APIVersion == "" {
		return 0, &notObjectError{"it has no apiVersion and kind, so it is no Kubernetes object"}
	}
	if h.Items != nil && strings.HasSuffix(h.Kind, "List") {
		n := 0
		var errs []error
		for i, item := range h.Items {
			s := src
			at, inner := lay(i)
			s.Line, s.Column = at.line, at.column
			item, err := withType(item, h.APIVersion, strings.TrimSuffix(h.Kind, "List"))
			if err == nil {
				var m int
				m, err = r.object(s, item, inner)
				n += m
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("items[%d]: %w", i, err))
			}
		}
		return n, errors.Join(errs...)
	}

	switch {
	case h.APIVersion == cluster.FactsVersion && h.Kind == "Machine":
		m := &cluster.Machine{Source: src}
		if err := json.Unmarshal(data, m); err != nil {
			return 0, fmt.Errorf("kind Machine: %w", err)
		}
		if m.Name == "" {
			return 0, errors.New("kind Machine: name is empty")
		}
		r.b.AddMachine(m)
		r.keep.note(spot{src.Line, src.Column}, true)
		r.b.Looked(cluster.HostFiles, cluster.Listeners)
		if len(m.Stored) > 0 {
			r.b.Looked(cluster.StoredObjects)
		}
		r.lookedFlags()
		r.out.Documents++
		return 1, nil
	case h.APIVersion == cluster.FactsVersion && h.Kind == "Image":
		i := &cluster.Image{Source: src}
		if err := json.Unmarshal(data, i); err != nil {
			return 0, fmt.Errorf("kind Image: %w", err)
		}
		if i.Name == "" {
			return 0, errors.New("kind Image: name is empty")
		}
		if !r.b.AddImage(i) {
			r.skip(src.Origin, src.Line, fmt.Sprintf("image %s stands in the input twice", i.Name))
			return 0, nil
		}
		r.keep.note(spot{src.Line, src.Column}, true)
		r.out.Documents++
		return 1, nil
	case h.Kind == "KubeletConfiguration" && h.APIVersion == kubeletv1beta1.SchemeGroupVersion.String():
		c := new(kubeletv1beta1.KubeletConfiguration)
		if err := json.Unmarshal(data, c); err != nil {
			return 0, fmt.Errorf("kind KubeletConfiguration: %w", err)
		}
		r.keep.note(spot{src.Line, src.Column}, c.StaticPodURLHeader == nil)
		r.b.AddKubelet(&cluster.Kubelet{Node: filepath.Base(src.Origin), Config: c, Source: src})
		r.b.Looked(cluster.KubeletConfig)
		r.out.Documents++
		return 1, nil
	}

	if apiconfig.Known(h.APIVersion, h.Kind) {
		return r.config(src, data)
	}
	if k, ok := r.b.FindCustom(h.APIVersion, h.Kind); ok {
		return r.custom(k, h.APIVersion, src, data)
	}

	if now := cluster.ReadAs(h.APIVersion, h.Kind); now != h.APIVersion {
		var err error
		if data, err = retyped(data, now, h.Kind); err != nil {
			return 0, err
		}
	}
	obj, _, err := codecs.UniversalDeserializer().Decode(data, nil, nil)
	if runtime.IsNotRegisteredError(err) {
		r.b.Foreign(h.APIVersion, h.Kind, 1)
		r.skip(src.Origin, src.Line, fmt.Sprintf("kind %s of %s is not known", h.Kind, h.APIVersion))
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("%s %s: %w", strings.ToLower(h.Kind), h.Metadata.Name, oneLine(err))
	}
	o, ok := obj.(metav1.Object)
	if !ok {
		r.skip(src.Origin, src.Line, fmt.Sprintf("kind %s of %s is no stored object", h.Kind, h.APIVersion))
		return 0, nil
	}
	r.add(o, h.APIVersion, h.Kind, src)
	return 1, nil
}

// config reads a configuration file of the API server.
func (r *Reader) config(src cluster.Source, data []byte) (int, error) {
	c, err := apiconfig.Parse(data, nil)
	if err != nil {
		return 0, err
	}
	c.Name, c.File, c.Source = filepath.Base(src.Origin), src.Origin, src
	r.b.AddConfig(c)
	r.keep.note(spot{src.Line, src.Column}, c.Encryption == nil)
	r.out.Documents++
	return 1, nil
}

// abac reads a file of rights, which has an object a line.
func (r *Reader) abac(name string, data []byte, again bool) {
	c, err := apiconfig.ParseABAC(data)
	if err != nil {
		r.problem(name, 0, err)
		return
	}
	c.Name, c.File, c.Source = filepath.Base(name), name, cluster.Source{Origin: name, Line: 1}
	r.b.AddConfig(c)
	r.out.Documents++
	r.remember(name, data, again)
}

// custom reads an object whose kind is no part of Kubernetes.
func (r *Reader) custom(k cluster.CustomKind, apiVersion string, src cluster.Source, data []byte) (int, error) {
	c, err := k.ParseCustom(data)
	if err != nil {
		return 0, fmt.Errorf("kind %s of %s: not what it should be", k.Kind, apiVersion)
	}
	r.place(c, k.Namespaced)
	r.keep.note(spot{src.Line, src.Column}, true)
	r.put(apiVersion, k.Name(), c, src)
	return 1, nil
}

func (r *Reader) add(o metav1.Object, apiVersion, kind string, src cluster.Source) {
	r.place(o, namespaced(kind))
	if pod, ok := o.(*corev1.Pod); ok && isControlPlane(pod) {
		r.lookedFlags()
	}
	r.keep.note(spot{src.Line, src.Column}, kind != "Secret" && kind != "ConfigMap")
	r.put(apiVersion, kind, o, src)
}

// place puts an object where the API server would: a namespace that stands in an object
// of the cluster is ignored (k8s.io/apiserver/pkg/registry/rest/meta.go).
func (r *Reader) place(o metav1.Object, namespaced bool) {
	switch {
	case !namespaced:
		o.SetNamespace("")
	case o.GetNamespace() == "":
		o.SetNamespace(r.namespace)
	}
}

// put hands an object to the Builder. An object without a name is called after what its
// name is generated from. Of two that differ only one can be judged, so the other one is
// a problem.
func (r *Reader) put(apiVersion, kind string, o metav1.Object, src cluster.Source) {
	at := r.rendering.source(src)
	at.Unplaced = r.rendering != nil && r.assumed && o.GetNamespace() == metav1.NamespaceDefault
	generated := o.GetName() == "" && o.GetGenerateName() != ""
	if generated {
		o.SetName(o.GetGenerateName())
	}
	added := r.b.Add(apiVersion, kind, o, at)
	differs := !added && r.b.Differs(kind, o)
	if differs && generated {
		r.generated++
		o.SetName(o.GetGenerateName() + strconv.Itoa(r.generated))
		added = r.b.Add(apiVersion, kind, o, at)
	}
	if added {
		r.out.Documents++
		return
	}
	name := fmt.Sprintf("%s %s/%s", strings.ToLower(kind), o.GetNamespace(), o.GetName())
	if differs {
		r.problem(src.Origin, src.Line, fmt.Errorf("%s stands in the input twice and differs; the first one counts: scan this one by itself", name))
		return
	}
	r.skip(src.Origin, src.Line, name+" stands in the input twice")
}

func (r *Reader) lookedFlags() {
	r.b.Looked(cluster.APIServerFlags, cluster.ControllerManagerFlags, cluster.SchedulerFlags, cluster.EtcdFlags, cluster.ProxyFlags)
}

// isControlPlane reports whether a pod is one of kubeadm's static pods.
func isControlPlane(pod *corev1.Pod) bool {
	return pod.Namespace == metav1.NamespaceSystem && pod.Labels["tier"] == "control-plane"
}

// withType gives an item of a typed list ("PodList") its kind, which the API server leaves out.
func withType(item json.RawMessage, apiVersion, kind string) (json.RawMessage, error) {
	var h header
	if err := json.Unmarshal(item, &h); err != nil {
		return nil, err
	}
	if h.Kind != "" || kind == "" {
		return item, nil
	}
	return retyped(item, apiVersion, kind)
}

// retyped is an object's JSON with another type.
func retyped(data []byte, apiVersion, kind string) ([]byte, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, err
	}
	m["apiVersion"], _ = json.Marshal(apiVersion)
	m["kind"], _ = json.Marshal(kind)
	return json.Marshal(m)
}

// clusterScoped are the built-in kinds that live in no namespace.
var clusterScoped = map[string]bool{
	"Namespace": true, "Node": true, "PersistentVolume": true, "ClusterRole": true, "ClusterRoleBinding": true,
	"StorageClass": true, "PriorityClass": true, "RuntimeClass": true, "IngressClass": true, "CSIDriver": true,
	"CSINode": true, "VolumeAttachment": true, "CertificateSigningRequest": true, "ValidatingWebhookConfiguration": true,
	"MutatingWebhookConfiguration": true, "ValidatingAdmissionPolicy": true, "ValidatingAdmissionPolicyBinding": true,
	"MutatingAdmissionPolicy": true, "MutatingAdmissionPolicyBinding": true, "FlowSchema": true,
	"PriorityLevelConfiguration": true, "ComponentStatus": true, "VolumeAttributesClass": true, "ServiceCIDR": true,
	"IPAddress": true, "ClusterTrustBundle": true, "DeviceClass": true, "ResourceSlice": true, "StorageVersion": true,
	"StorageVersionMigration": true, "CustomResourceDefinition": true, "DeviceTaintRule": true,
}

func namespaced(kind string) bool { return !clusterScoped[kind] }
