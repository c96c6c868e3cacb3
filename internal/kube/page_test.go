package kube

import (
	"bytes"
	"fmt"
	"net/http"
	"reflect"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

func newPod() item { return new(corev1.Pod) }

// inProtobuf is how clients of the API read and write it.
func inProtobuf(t testing.TB) runtime.Serializer {
	t.Helper()
	info, ok := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), runtime.ContentTypeProtobuf)
	if !ok {
		t.Fatal("client-go knows no protobuf")
	}
	return info.Serializer
}

// somePods is the answer to a LIST, as an API server gives it.
func somePods(t testing.TB) []byte {
	t.Helper()
	list := &corev1.PodList{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"},
		ListMeta: metav1.ListMeta{ResourceVersion: "7", Continue: "there is more"},
	}
	for i := range 3 {
		list.Items = append(list.Items, corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Name: fmt.Sprint("cart-", i), Namespace: "shop", Labels: map[string]string{"app": "cart"},
				Finalizers:    []string{"example.com/keep"},
				ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl", FieldsV1: metav1.NewFieldsV1(`{"f:spec":{}}`)}},
			},
			Spec:   corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "registry.example/cart:1"}}, HostNetwork: i == 1},
			Status: corev1.PodStatus{Phase: corev1.PodRunning},
		})
	}
	var text bytes.Buffer
	if err := inProtobuf(t).Encode(list, &text); err != nil {
		t.Fatal(err)
	}
	return text.Bytes()
}

func TestPageInProtobuf(t *testing.T) {
	text := somePods(t)
	items, next, err := parsePage(text, newPod)
	if err != nil || len(items) != 3 || next != "there is more" {
		t.Fatalf("%d items and then %q, err %v; want 3", len(items), next, err)
	}
	clear(text) // the next page takes its space
	pod := items[1].(*corev1.Pod)
	got := []any{pod.Name, pod.Labels["app"], pod.Finalizers, pod.Spec.HostNetwork, pod.Spec.Containers[0].Image, pod.Status.Phase, len(pod.ManagedFields)}
	want := []any{"cart-1", "cart", []string{"example.com/keep"}, true, "registry.example/cart:1", corev1.PodRunning, 0}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the second pod (-want +got):\n%s", diff)
	}
}

// FuzzPage: no text brings parsePage down, and of every list in protobuf that client-go's
// own decoder reads it reads the same items, but for managedFields.
func FuzzPage(f *testing.F) {
	f.Add(somePods(f))
	f.Add([]byte(`{"metadata":{"continue":"x"},"items":[{"metadata":{"name":"cart"}}]}`))
	f.Add([]byte("k8s\x00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var list corev1.PodList
		_, _, wantErr := inProtobuf(t).Decode(bytes.Clone(text), nil, &list)
		items, next, err := parsePage(text, newPod)
		if wantErr != nil {
			return
		}
		if err != nil {
			t.Fatalf("client-go reads it: %v", err)
		}
		if next != list.Continue || len(items) != len(list.Items) {
			t.Fatalf("%d items and then %q, want %d and %q", len(items), next, len(list.Items), list.Continue)
		}
		for i := range items {
			want := &list.Items[i]
			want.ManagedFields = nil
			if got := items[i].(*corev1.Pod); !reflect.DeepEqual(got, want) {
				t.Fatalf("item %d: client-go reads\n%v\nand parsePage\n%v", i, want, got)
			}
		}
	})
}

// TestALostConnectionIsTriedAgain: what a load balancer cuts off is asked for again, and
// what is cut off each time is a gap.
func TestALostConnectionIsTriedAgain(t *testing.T) {
	var asked, always atomic.Int32
	cut := func(w http.ResponseWriter, before bool) {
		if !before {
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, `{"items":[`)
			w.(http.Flusher).Flush()
		}
		panic(http.ErrAbortHandler)
	}
	s, _, err := read(t, map[string]http.HandlerFunc{
		"/api/v1/pods": func(w http.ResponseWriter, r *http.Request) {
			if n := asked.Add(1); n < connections {
				cut(w, n == 1)
			}
			object(`{"items":[{"metadata":{"name":"cart","namespace":"shop"}}]}`)(w, r)
		},
		"/api/v1/services": func(w http.ResponseWriter, _ *http.Request) {
			always.Add(1)
			cut(w, true)
		},
	}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Kind("Pod")) != 1 || !s.Looked(cluster.Pods) {
		t.Errorf("%d pods, gaps %v", len(s.Kind("Pod")), gaps(s, cluster.Pods))
	}
	if n := always.Load(); n < connections || len(s.Gaps(cluster.Services)) != 1 {
		t.Errorf("services were asked for %d times, want %d at least; gaps %v, want one", n, connections, gaps(s, cluster.Services))
	}
}

func TestWhatIsNoListIsAGap(t *testing.T) {
	s, _, err := read(t, map[string]http.HandlerFunc{
		"/api/v1/pods":     object(`<html>Sign in</html>`),
		"/api/v1/services": object("k8s\x00\x12\x05\x12\xff"),
	}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, need := range []cluster.Need{cluster.Pods, cluster.Services} {
		if len(s.Gaps(need)) != 1 {
			t.Errorf("%s: gaps %v, want one", need, gaps(s, need))
		}
	}
}
