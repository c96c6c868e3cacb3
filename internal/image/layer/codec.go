package layer

import (
	"encoding"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"reflect"
	"slices"
	"strings"
	"time"
)

// The codec writes plain values as bytes and reads them back a few times faster than the
// general encodings do, without copying strings: reading a layer that is cached is to
// take milliseconds. It knows booleans, numbers, strings, slices, string-keyed maps,
// structs, pointers, times, and what writes itself as text. Pointers that were the same
// are the same again. There is no schema in the bytes: whoever keeps them keeps
// fingerprint beside them.

var (
	timeType   = reflect.TypeFor[time.Time]()
	marshaler  = reflect.TypeFor[encoding.TextMarshaler]()
	unmarshals = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// writesItself reports whether values of a type that t points to are kept as text.
func writesItself(t reflect.Type) bool {
	return t != timeType && reflect.PointerTo(t).Implements(marshaler) && reflect.PointerTo(t).Implements(unmarshals)
}

// fingerprint changes when the type, or any type within it, does.
func fingerprint(t reflect.Type) uint64 {
	h := fnv.New64a()
	seen := map[reflect.Type]bool{}
	var describe func(reflect.Type)
	describe = func(t reflect.Type) {
		fmt.Fprintf(h, "%s %s;", t, t.Kind())
		if seen[t] || t == timeType || writesItself(t) {
			return
		}
		seen[t] = true
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			describe(t.Elem())
		case reflect.Struct:
			for f := range t.Fields() {
				fmt.Fprintf(h, "%s ", f.Name)
				describe(f.Type)
			}
		default:
		}
	}
	describe(t)
	return h.Sum64()
}

type writer struct {
	b        []byte
	pointers map[any]int
}

// encode writes what v points to. It fails only on a type that it does not know.
func encode(v any) ([]byte, error) {
	w := writer{pointers: map[any]int{}}
	err := w.value(reflect.ValueOf(v).Elem())
	return w.b, err
}

func (w *writer) value(v reflect.Value) error {
	switch t := v.Type(); {
	case t == timeType:
		at := v.Interface().(time.Time) // where it was that time is lost
		w.b = binary.AppendVarint(w.b, at.Unix())
		w.b = binary.AppendUvarint(w.b, uint64(at.Nanosecond()))
		return nil
	case t.Kind() != reflect.Pointer && writesItself(t):
		b, err := v.Addr().Interface().(encoding.TextMarshaler).MarshalText()
		w.b = appendString(w.b, string(b))
		return err
	}
	switch v.Kind() {
	case reflect.Bool:
		b := byte(0)
		if v.Bool() {
			b = 1
		}
		w.b = append(w.b, b)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		w.b = binary.AppendVarint(w.b, v.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		w.b = binary.AppendUvarint(w.b, v.Uint())
	case reflect.String:
		w.b = appendString(w.b, v.String())
	case reflect.Slice:
		w.count(v)
		for i := range v.Len() {
			if err := w.value(v.Index(i)); err != nil {
				return err
			}
		}
	case reflect.Map:
		w.count(v)
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, k := range keys {
			w.b = appendString(w.b, k.String())
			e := reflect.New(v.Type().Elem()).Elem()
			e.Set(v.MapIndex(k))
			if err := w.value(e); err != nil {
				return err
			}
		}
	case reflect.Struct:
		for i := range v.NumField() { //nolint:modernize // Fields describes each, which takes longer than writing it
			if err := w.value(v.Field(i)); err != nil {
				return err
			}
		}
	case reflect.Pointer:
		// 0: nil; 1: one that follows; more: one that went before.
		if v.IsNil() {
			w.b = append(w.b, 0)
			return nil
		}
		if n, ok := w.pointers[v.Interface()]; ok {
			w.b = binary.AppendUvarint(w.b, uint64(n))
			return nil
		}
		w.pointers[v.Interface()] = len(w.pointers) + 2
		w.b = append(w.b, 1)
		return w.value(v.Elem())
	default:
		return fmt.Errorf("encoding a %s: its kind is not known", v.Type())
	}
	return nil
}

// count writes a length, and nil as what it is.
func (w *writer) count(v reflect.Value) {
	if v.IsNil() {
		w.b = append(w.b, 0)
		return
	}
	w.b = binary.AppendUvarint(w.b, uint64(v.Len())+1)
}

type reader struct {
	decoder
	pointers []reflect.Value
}

// decode reads into what v points to. The strings of it are parts of s.
func decode(s string, v any) error {
	r := reader{decoder: decoder{s: s}}
	r.value(reflect.ValueOf(v).Elem())
	if r.err == nil && r.s != "" {
		r.fail()
	}
	return r.err
}

func (r *reader) value(v reflect.Value) {
	if r.err != nil {
		return
	}
	switch t := v.Type(); {
	case t == timeType:
		sec, nsec := r.varint(), r.uvarint()
		if nsec > 999_999_999 {
			r.fail()
			return
		}
		v.Set(reflect.ValueOf(time.Unix(sec, int64(nsec)).UTC()))
		return
	case t.Kind() != reflect.Pointer && writesItself(t):
		if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(r.string())); err != nil {
			r.fail()
		}
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(r.byte() != 0)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(r.varint())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(r.uvarint())
	case reflect.String:
		v.SetString(r.string())
	case reflect.Slice:
		n := r.length()
		if n == 0 {
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), n-1, n-1))
		for i := range n - 1 {
			r.value(v.Index(i))
		}
	case reflect.Map:
		n := r.length()
		if n == 0 {
			return
		}
		v.Set(reflect.MakeMapWithSize(v.Type(), n-1))
		for range n - 1 {
			k := reflect.New(v.Type().Key()).Elem()
			k.SetString(r.string())
			e := reflect.New(v.Type().Elem()).Elem()
			r.value(e)
			v.SetMapIndex(k, e)
		}
	case reflect.Struct:
		for i := range v.NumField() { //nolint:modernize // as above
			r.value(v.Field(i))
		}
	case reflect.Pointer:
		switch n := r.uvarint(); {
		case n == 0:
		case n == 1:
			e := reflect.New(v.Type().Elem())
			r.pointers = append(r.pointers, e)
			v.Set(e)
			r.value(e.Elem())
		case n-2 < uint64(len(r.pointers)) && r.pointers[n-2].Type() == v.Type():
			v.Set(r.pointers[n-2])
		default:
			r.fail()
		}
	default:
		r.fail()
	}
}
