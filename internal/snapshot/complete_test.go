package snapshot

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// fill sets every field of a value, so that one that is not carried is missed.
func fill(v reflect.Value) {
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Date(2027, 3, 31, 12, 0, 0, 0, time.UTC)))
		return
	case metav1.Time:
		v.Set(reflect.ValueOf(metav1.NewTime(time.Date(2027, 3, 31, 12, 0, 0, 0, time.UTC))))
		return
	case metav1.FieldsV1, runtime.RawExtension:
		return // managedFields are left out, and the kubelet's are free
	}
	switch v.Kind() { //nolint:exhaustive // the others are in no fact
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(1)
	case reflect.Float32, reflect.Float64:
		v.SetFloat(0.5)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key)
		fill(value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i))
			}
		}
	}
}

func filled[T any]() *T {
	out := new(T)
	fill(reflect.ValueOf(out).Elem())
	return out
}

// everyConfig is a configuration file of each kind.
func everyConfig(t *testing.T) []*cluster.Config {
	t.Helper()
	var out []*cluster.Config
	typ := reflect.TypeFor[cluster.Config]()
	for i := range typ.NumField() {
		if typ.Field(i).Type.Kind() != reflect.Pointer {
			continue
		}
		c := filled[cluster.Config]()
		c.Name = typ.Field(i).Name
		for j := range typ.NumField() {
			if j != i && typ.Field(j).Type.Kind() == reflect.Pointer {
				reflect.ValueOf(c).Elem().Field(j).SetZero()
			}
		}
		out = append(out, c)
	}
	if len(out) < 5 {
		t.Fatalf("%d kinds of configuration files", len(out))
	}
	return out
}

// TestNothingIsLost: every field of every fact is carried. It fails when one is added to
// a Snapshot's facts and not to the file.
func TestNothingIsLost(t *testing.T) {
	custom := filled[cluster.Custom]()
	custom.TypeMeta = metav1.TypeMeta{APIVersion: "argoproj.io/v1alpha1", Kind: "Rollout"}
	custom.Templates[0].Path = "spec.template"
	custom.Templates[0].Template.Spec = corev1.PodSpec{NodeName: "n", Containers: []corev1.Container{{Name: "c"}}}
	custom.ManagedFields, custom.Templates[0].Template.ManagedFields = nil, nil
	custom.Content = map[string]any{"a": []any{"b", true}}
	pod := &corev1.Pod{ObjectMeta: *filled[metav1.ObjectMeta](), Spec: corev1.PodSpec{NodeName: "n", HostPID: true}}
	pod.ManagedFields = nil
	secret := &cluster.SecretFacts{}
	fill(reflect.ValueOf(secret).Elem())
	configMap := &cluster.ConfigMapFacts{}
	fill(reflect.ValueOf(configMap).Elem())
	object := func(apiVersion, kind string, meta *metav1.ObjectMeta, value any) *cluster.Object {
		o := &cluster.Object{APIVersion: apiVersion, Meta: meta, Value: value}
		fill(reflect.ValueOf(&o.Source).Elem())
		o.Source.Rendered = "" // lines of files are not carried
		o.Ref = cluster.Ref{Kind: kind, Namespace: meta.Namespace, Name: meta.Name}
		return o
	}
	facts := filled[cluster.Facts]()
	facts.Configs = everyConfig(t)
	facts.Objects = []*cluster.Object{
		object("v1", "ConfigMap", &pod.ObjectMeta, configMap), object("v1", "Pod", &pod.ObjectMeta, pod),
		object("argoproj.io/v1alpha1", "Rollout", &custom.ObjectMeta, custom), object("v1", "Secret", &pod.ObjectMeta, secret),
	}
	facts.Kubelets[0].Config.TypeMeta = metav1.TypeMeta{}
	for _, s := range []*cluster.Source{&facts.Machines[0].Source, &facts.Kubelets[0].Source, &facts.Images[0].Source, &facts.Flagz[0].Source} {
		s.Rendered = ""
	}
	for _, c := range facts.Configs {
		c.Source.Rendered = ""
	}
	facts.Flagz[0].Component = "kube-apiserver"
	facts.Machines[0].Processes[0].Component = "containerd" // or its flags go before those of /flagz

	want := cluster.Restore(*facts).Facts()
	if diff := cmp.Diff(*facts, want, options...); diff != "" {
		t.Fatalf("a Snapshot itself loses facts (-facts +kept):\n%s", diff)
	}
	var file bytes.Buffer
	none := Options{Pod: func(*corev1.PodSpec) {}, Args: func([]string) {}, Settings: func(map[string]string) {}}
	if err := Write(&file, cluster.Restore(*facts), none); err != nil {
		t.Fatal(err)
	}
	got, _, err := Read(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.Facts(), options...); diff != "" {
		t.Errorf("the file loses facts (-written +read):\n%s", diff)
	}
}

var options = []cmp.Option{
	cmpopts.EquateEmpty(),
	cmpopts.IgnoreUnexported(),
	cmp.Comparer(func(a, b metav1.Time) bool { return a.Equal(&b) }),
	cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) }),
}
