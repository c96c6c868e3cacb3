package etcd

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// fakeEtcd answers Range as etcd does, from sorted keys.
type fakeEtcd struct {
	keys   []string
	values map[string][]byte
	fail   *StatusError
	calls  int
}

func (f *fakeEtcd) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.calls++
	w.Header().Set("Trailer", "Grpc-Status, Grpc-Message")
	w.Header().Set("Content-Type", "application/grpc")
	if f.fail != nil {
		w.Header().Set("Grpc-Status", fmt.Sprint(f.fail.Code))
		w.Header().Set("Grpc-Message", f.fail.Message)
		return
	}
	body, _ := io.ReadAll(r.Body)
	var from, end string
	request := &wire{from: bufio.NewReader(bytes.NewReader(body[5:])), left: int64(len(body) - 5)}
	_ = request.fields(func(field int, r *wire) error {
		data, err := r.head(1 << 10)
		switch field {
		case rangeKey:
			from = string(data)
		case rangeEnd:
			end = string(data)
		}
		return err
	})
	var message []byte
	n, more := 0, false
	for _, k := range f.keys {
		if k < from || k >= end {
			continue
		}
		if n == pageSize {
			more = true
			break
		}
		n++
		kv := appendBytes(nil, kvKey, []byte(k))
		kv = binary.AppendUvarint(binary.AppendUvarint(kv, 2<<3), 7) // a revision
		kv = appendBytes(kv, kvValue, f.values[k])
		message = appendBytes(message, responseKVs, kv)
	}
	if more {
		message = binary.AppendUvarint(binary.AppendUvarint(message, responseMore<<3), 1)
	}
	_, _ = w.Write(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))))
	_, _ = w.Write(message)
	w.Header().Set("Grpc-Status", "0")
}

func (f *fakeEtcd) serve(t *testing.T) *Client {
	t.Helper()
	server := httptest.NewUnstartedServer(f)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	return &Client{Endpoint: server.URL, HTTP: server.Client()}
}

// Values are read over pages, and of each only the first bytes are kept, if it bears the mark.
func TestEach(t *testing.T) {
	f := &fakeEtcd{values: map[string][]byte{}}
	put := func(key, value string) {
		f.keys = append(f.keys, key)
		f.values[key] = []byte(value)
	}
	for i := range 2*pageSize + 1 {
		put(fmt.Sprintf("/registry/secrets/ns/s%06d", i), "k8s:enc:secretbox:v1:key1:"+strings.Repeat("x", 1000))
	}
	put("/registry/secrets/ns/z-big", "k8s:enc:aesgcm:v1:key2:"+strings.Repeat("y", 3<<20))
	put("/registry/secretsandmore/x", "k8s")
	put("/registry/secrets/ns/plain", "k8s\x00\n\x0c\n\x02v1\x12\x06Secret hunter2")
	put("/registry/secrets/ns/short", "k8s:")
	put("/registry/configmaps/a/b", "")
	slices.Sort(f.keys)
	seen := map[string]bool{}
	err := f.serve(t).Each(t.Context(), "/registry/secrets/", "k8s:enc:", func(s Stored) {
		seen[s.Key] = true
		if strings.HasSuffix(s.Key, "plain") || strings.HasSuffix(s.Key, "short") {
			if s.Prefix != nil {
				t.Errorf("%s: %q of a value without the mark was kept", s.Key, s.Prefix)
			}
			return
		}
		if len(s.Prefix) != prefixBytes || !bytes.HasPrefix(s.Prefix, []byte("k8s:enc:")) {
			t.Errorf("%s: %d bytes, %q", s.Key, len(s.Prefix), s.Prefix[:8])
		}
	})
	if err != nil || len(seen) != 2*pageSize+4 || f.calls != 3 {
		t.Errorf("%d keys in %d calls, %v; want %d in 3", len(seen), f.calls, err, 2*pageSize+4)
	}
}

func TestRefusalIsReported(t *testing.T) {
	f := &fakeEtcd{fail: &StatusError{Code: 7, Message: "etcdserver: permission denied"}}
	err := f.serve(t).Each(t.Context(), "/registry/", "", func(Stored) {})
	var status *StatusError
	if !errors.As(err, &status) || status.Code != 7 {
		t.Errorf("got %v, want a status with code 7", err)
	}
}

// FuzzAnswer: whatever etcd's bytes, reading them ends, and what is kept of a
// value is as short as promised.
func FuzzAnswer(f *testing.F) {
	kv := appendBytes(appendBytes(nil, kvKey, []byte("/registry/x")), kvValue, bytes.Repeat([]byte("v"), 300))
	f.Add(appendBytes(nil, responseKVs, kv))
	f.Add([]byte{0xff, 0xff, 0xff})
	f.Add([]byte{responseKVs<<3 | wireBytes, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(_ *testing.T, data []byte) {
		r := &wire{from: bufio.NewReader(bytes.NewReader(data)), left: int64(len(data))}
		_ = r.fields(func(field int, r *wire) error {
			if field != responseKVs {
				return nil
			}
			s, err := readStored(r, "vv")
			if len(s.Prefix) > prefixBytes || len(s.Key) > maxKey {
				panic("more was kept than promised")
			}
			return err
		})
	})
}
