package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
)

// An item is what a list holds. The generated code of k8s.io/api reads it from protobuf.
type item interface {
	metav1.Object
	Unmarshal(data []byte) error
}

// envelope is what an answer in protobuf begins with
// (k8s.io/apimachinery/pkg/runtime/serializer/protobuf).
var envelope = []byte("k8s\x00")

// The numbers of fields that every list has, and its items
// (generated.proto of k8s.io/apimachinery's runtime and meta/v1, and of k8s.io/api).
const (
	unknownRaw    = 2 // runtime.Unknown.raw: the message itself
	listMeta      = 1
	listItems     = 2
	listContinue  = 3 // ListMeta.continue
	itemMeta      = 1
	managedFields = 17 // ObjectMeta.managedFields
)

// connections is how often a page is asked for whose connection is lost. client-go does
// so by itself only where it reads the answer, too.
const connections = 3

// page asks for one page of a list. The answer's text is in text, which is overwritten, so
// that a long list takes the space of one page.
func page(ctx context.Context, req *rest.Request, text *bytes.Buffer) error {
	for try := 1; ; try++ {
		err := receive(ctx, req, text)
		lost := utilnet.IsConnectionReset(err) || utilnet.IsProbableEOF(err) || utilnet.IsHTTP2ConnectionLost(err)
		if err == nil || !lost || try == connections || ctx.Err() != nil {
			return err
		}
	}
}

func receive(ctx context.Context, req *rest.Request, text *bytes.Buffer) error {
	text.Reset()
	body, err := req.Stream(ctx)
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = text.ReadFrom(body)
	return err
}

// parsePage returns the items of a page in protobuf or JSON and the token of the page
// after it. Nothing in them keeps the text, which is changed.
func parsePage(text []byte, newItem func() item) (items []item, next string, err error) {
	if !bytes.HasPrefix(text, envelope) {
		return parseJSONPage(text, newItem)
	}
	var raw []byte
	if err := fields(text[len(envelope):], func(n protowire.Number, value []byte) error {
		if n == unknownRaw {
			raw = value
		}
		return nil
	}); err != nil {
		return nil, "", err
	}
	err = fields(raw, func(n protowire.Number, value []byte) error {
		if n == listMeta {
			return fields(value, func(n protowire.Number, value []byte) error {
				if n == listContinue {
					next = string(value)
				}
				return nil
			})
		}
		if n != listItems {
			return nil
		}
		forget(value)
		o := newItem()
		items = append(items, o)
		return o.Unmarshal(value)
	})
	return items, next, err
}

func parseJSONPage(text []byte, newItem func() item) (items []item, next string, err error) {
	var list struct {
		Metadata metav1.ListMeta   `json:"metadata"`
		Items    []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, "", err
	}
	for _, raw := range list.Items {
		o := newItem()
		if err := json.Unmarshal(raw, o); err != nil {
			return nil, "", err
		}
		items = append(items, o)
	}
	return items, list.Metadata.Continue, nil
}

// fields calls f with each field of a message that holds bytes.
func fields(message []byte, f func(n protowire.Number, value []byte) error) error {
	for len(message) > 0 {
		n, typ, size := protowire.ConsumeTag(message)
		if size < 0 {
			return protowire.ParseError(size)
		}
		message = message[size:]
		if typ != protowire.BytesType {
			if size = protowire.ConsumeFieldValue(n, typ, message); size < 0 {
				return protowire.ParseError(size)
			}
			message = message[size:]
			continue
		}
		value, size := protowire.ConsumeBytes(message)
		if size < 0 {
			return protowire.ParseError(size)
		}
		message = message[size:]
		if err := f(n, value); err != nil {
			return err
		}
	}
	return nil
}

// forget makes an unknown field of managedFields, which are half of what many objects
// hold: cluster.Builder drops them, so they need not be decoded.
func forget(object []byte) {
	_ = fields(object, func(n protowire.Number, meta []byte) error { // Unmarshal tells what is wrong
		if n != itemMeta {
			return nil
		}
		for left := meta; len(left) > 0; {
			n, typ, tag := protowire.ConsumeTag(left)
			if tag < 0 {
				return nil
			}
			size := protowire.ConsumeFieldValue(n, typ, left[tag:])
			if size < 0 {
				return nil
			}
			if n == managedFields && tag == len(unused) {
				copy(left, unused)
			}
			left = left[tag+size:]
		}
		return nil
	})
}

// unused is the tag of a field that ObjectMeta does not have, as long as managedFields' own.
var unused = protowire.AppendTag(nil, 2047, protowire.BytesType)

// malformed is the fault of a page that is no list of a kind.
func malformed(gv schema.GroupVersion, resource string, err error) error {
	return fmt.Errorf("the list of %s in %s cannot be read: %w", resource, gv, err)
}
