package manifest

import (
	"encoding"
	"encoding/json"
	"hash/maphash"
	"reflect"
	"strconv"
	"strings"
	"sync"

	yaml "go.yaml.in/yaml/v3"
)

// A decoder fills structs of the API from plain trees, as decoding their JSON would,
// case-sensitively and ignoring unknown fields (sigs.k8s.io/json). It reports false for
// what does not fit or is rare; the way through JSON then says what is wrong.
type decoder struct {
	// words are strings that many objects share; each is kept once. Nothing of Secrets
	// and ConfigMaps comes here.
	words [4096]string
	fresh bool // no words: the values may be secret
}

// maxWord is the longest string that is looked for among words.
const maxWord = 64

var (
	unmarshaler     = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// A shape is what is known of a type before any value.
type shape struct {
	custom bool             // it decodes its own JSON
	fields map[string][]int // of a struct, by name
	odd    bool             // not decoded here
}

var shapes sync.Map // of reflect.Type

func shapeOf(t reflect.Type) *shape {
	if s, ok := shapes.Load(t); ok {
		return s.(*shape)
	}
	s := &shape{custom: reflect.PointerTo(t).Implements(unmarshaler)}
	s.odd = !s.custom && reflect.PointerTo(t).Implements(textUnmarshaler)
	if t.Kind() == reflect.Struct && !s.custom {
		s.fields = map[string][]int{}
		s.add(t, nil)
	}
	shapes.Store(t, s)
	return s
}

// add finds the fields of a struct and of those it embeds.
func (s *shape) add(t reflect.Type, index []int) {
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		at := append(append([]int{}, index...), f.Index...)
		switch {
		case name == "-" || !f.IsExported() && !f.Anonymous:
		case f.Anonymous && name == "":
			if f.Type.Kind() != reflect.Struct {
				s.odd = true
				return
			}
			s.add(f.Type, at)
		default:
			if name == "" {
				name = f.Name
			}
			if s.fields[name] != nil || strings.Contains(options, "string") {
				s.odd = true
			}
			s.fields[name] = at
		}
	}
}

// into decodes a tree into a zero value.
func (d *decoder) into(n *yaml.Node, v reflect.Value) bool {
	t := v.Type()
	null := n.Tag == "!!null"
	if t.Kind() == reflect.Pointer {
		if null {
			return true
		}
		v.Set(reflect.New(t.Elem()))
		return d.into(n, v.Elem())
	}
	s := shapeOf(t)
	switch {
	case s.odd:
		return false
	case s.custom:
		return custom(n, v)
	case null:
		return true
	}
	switch t.Kind() {
	case reflect.String:
		if n.Tag != "!!str" {
			return false
		}
		v.SetString(d.word(n.Value))
	case reflect.Bool:
		if n.Tag != "!!bool" {
			return false
		}
		v.SetBool(n.Value[0] == 't' || n.Value[0] == 'T')
	case reflect.Int, reflect.Int32, reflect.Int64:
		i, err := strconv.ParseInt(n.Value, 10, t.Bits())
		if err != nil || n.Tag != "!!int" {
			return false
		}
		v.SetInt(i)
	case reflect.Struct:
		return d.structure(n, v, s)
	case reflect.Slice:
		return d.list(n, v)
	case reflect.Map:
		return d.mapping(n, v)
	default:
		return false
	}
	return true
}

func (d *decoder) structure(n *yaml.Node, v reflect.Value, s *shape) bool {
	if n.Kind != yaml.MappingNode {
		return false
	}
	for i := 0; i < len(n.Content); i += 2 {
		if at := s.fields[n.Content[i].Value]; at != nil && !d.into(n.Content[i+1], v.FieldByIndex(at)) {
			return false
		}
	}
	return true
}

func (d *decoder) list(n *yaml.Node, v reflect.Value) bool {
	t := v.Type()
	if n.Kind != yaml.SequenceNode || t.Elem().Kind() == reflect.Uint8 {
		return false
	}
	v.Set(reflect.MakeSlice(t, len(n.Content), len(n.Content)))
	for i, one := range n.Content {
		if !d.into(one, v.Index(i)) {
			return false
		}
	}
	return true
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value) bool {
	t := v.Type()
	if n.Kind != yaml.MappingNode || t.Key().Kind() != reflect.String || reflect.PointerTo(t.Key()).Implements(textUnmarshaler) {
		return false
	}
	if m, ok := reflect.TypeAssert[*map[string]string](v.Addr()); ok {
		return d.texts(n, m)
	}
	v.Set(reflect.MakeMapWithSize(t, len(n.Content)/2))
	for i := 0; i < len(n.Content); i += 2 {
		key, value := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
		key.SetString(d.word(n.Content[i].Value))
		if !d.into(n.Content[i+1], value) {
			return false
		}
		v.SetMapIndex(key, value)
	}
	return true
}

// texts is mapping for labels and annotations, which are everywhere.
func (d *decoder) texts(n *yaml.Node, m *map[string]string) bool {
	*m = make(map[string]string, len(n.Content)/2)
	for i := 0; i < len(n.Content); i += 2 {
		switch value := n.Content[i+1]; value.Tag {
		case "!!str":
			(*m)[d.word(n.Content[i].Value)] = d.word(value.Value)
		case "!!null":
			(*m)[d.word(n.Content[i].Value)] = ""
		default:
			return false
		}
	}
	return true
}

// custom hands the JSON of a tree to a type that decodes its own.
func custom(n *yaml.Node, v reflect.Value) bool {
	var value any = n.Value
	if n.Tag != "!!str" && n.Decode(&value) != nil {
		return false
	}
	data, err := json.Marshal(value)
	return err == nil && v.Addr().Interface().(json.Unmarshaler).UnmarshalJSON(data) == nil
}

// word returns a copy of s that does not keep the document's text in memory.
func (d *decoder) word(s string) string {
	if d.fresh || len(s) > maxWord {
		return strings.Clone(s)
	}
	known := &d.words[maphash.String(seed, s)%uint64(len(d.words))]
	if *known != s {
		*known = strings.Clone(s)
	}
	return *known
}
