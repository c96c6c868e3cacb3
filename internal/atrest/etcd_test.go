package atrest

import (
	"bufio"
	"bytes"
	"context"
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

func (f *fakeEtcd) serve(t *testing.T) *Etcd {
	t.Helper()
	server := httptest.NewUnstartedServer(f)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	return &Etcd{Endpoint: server.URL, Client: server.Client()}
}

// Values are counted over pages, and of each only the first bytes are kept.
func TestCount(t *testing.T) {
	f := &fakeEtcd{values: map[string][]byte{}}
	put := func(key, value string) {
		f.keys = append(f.keys, key)
		f.values[key] = []byte(value)
	}
	for i := range 2*pageSize + 1 {
		put(fmt.Sprintf("/registry/secrets/ns/s%06d", i), "k8s:enc:secretbox:v1:key1:"+strings.Repeat("x", 1000))
	}
	put("/registry/secrets/ns/z-plain", "k8s\x00plain")
	put("/registry/secrets/ns/z-big", "k8s:enc:aesgcm:v1:key2:"+strings.Repeat("y", 3<<20))
	put("/registry/secretsandmore/x", "k8s\x00")
	put("/registry/configmaps/a/b", "")
	slices.Sort(f.keys)
	got, err := f.serve(t).Count(t.Context(), DefaultRegistry, []string{"secrets", "configmaps", "leases"})
	if err != nil {
		t.Fatal(err)
	}
	want := "[{secrets 1003 [{{aesgcm key2} 1} {{identity } 1} {{secretbox key1} 1001}]} {configmaps 1 [{{identity } 1}]} {leases 0 []}]"
	if text := fmt.Sprint(got); text != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	if got[0].Plain() != 1 || got[0].Elsewhere("key1") != 2 {
		t.Errorf("plain %d, elsewhere %d; want 1 and 2", got[0].Plain(), got[0].Elsewhere("key1"))
	}
	if f.calls != 5 {
		t.Errorf("%d calls, want 5", f.calls)
	}
}

func TestRefusalIsReported(t *testing.T) {
	f := &fakeEtcd{fail: &StatusError{Code: 7, Message: "etcdserver: permission denied"}}
	_, err := f.serve(t).Count(t.Context(), DefaultRegistry, []string{"secrets"})
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
			s, err := readStored(r)
			if len(s.Prefix) > prefixBytes || len(s.Key) > maxKey {
				panic("more was kept than promised")
			}
			return err
		})
	})
}

func TestLoaded(t *testing.T) {
	const hash = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	answer := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answer) }))
	defer server.Close()
	s := Server{Name: "a", URL: server.URL, Client: server.Client()}
	ask := func(want string) []string { return waiting(context.Background(), []Server{s}, want) }
	answer = "# HELP x\napiserver_encryption_config_controller_last_config_info{apiserver_id_hash=\"sha256:ff\",hash=\"" + hash + "\"} 1\n"
	if left := ask(hash); len(left) > 0 {
		t.Errorf("loaded, but: %v", left)
	}
	if left := ask("sha256:other"); len(left) != 1 || left[0] != "apiserver a: has not loaded the file yet" {
		t.Errorf("got %v", left)
	}
	answer = "# nothing\n"
	if left := ask(hash); len(left) != 1 || !strings.Contains(left[0], "automatic-reload") {
		t.Errorf("got %v", left)
	}
}
