package snapshot

import (
	"bytes"
	"compress/gzip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

func sample() *cluster.Snapshot {
	b := cluster.NewBuilder("prod", true)
	b.SetVersion("v1.36.3")
	b.Looked(cluster.Pods, cluster.Nodes)
	b.Add("v1", "Node", &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}, cluster.Source{Origin: "/api/v1/nodes"})
	b.Add("v1", "Pod", &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop", ResourceVersion: "7"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Env: []corev1.EnvVar{{Name: "A", Value: "hunter2"}}}}},
	}, cluster.Source{Origin: "/api/v1/pods"})
	b.Add("storage.k8s.io/v1", "StorageClass", &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{Name: "fast"}, Parameters: map[string]string{"key": "hunter2"},
	}, cluster.Source{Origin: "/apis/storage.k8s.io/v1/storageclasses"})
	b.Add("v1", "PersistentVolume", &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "disk"},
		Spec: corev1.PersistentVolumeSpec{PersistentVolumeSource: corev1.PersistentVolumeSource{
			CSI: &corev1.CSIPersistentVolumeSource{VolumeAttributes: map[string]string{"key": "hunter2"}},
		}},
	}, cluster.Source{Origin: "/api/v1/persistentvolumes"})
	repeated := map[string]string{}
	for _, name := range []string{
		"kubectl.kubernetes.io/last-applied-configuration", "kapp.k14s.io/original", "objectset.rio.cattle.io/applied",
		"banzaicloud.com/last-applied", "kopf.zalando.org/last-handled-configuration", "openshift.io/token-secret.value",
	} {
		repeated[name] = "hunter2"
	}
	b.Add("v1", "Secret", &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "db", Namespace: "shop", Annotations: repeated}, StringData: map[string]string{"a": "hunter2"},
	}, cluster.Source{Origin: "/api/v1/secrets"})
	b.AddMachine(&cluster.Machine{Name: "n2", Processes: []cluster.Process{{Component: "etcd", Args: []string{"etcd", "hunter2"}}}})
	b.AddFlagz("kube-apiserver", map[string]string{"anonymous-auth": "false"}, cluster.Source{Origin: "/flagz"})
	return b.Snapshot()
}

func write(tb testing.TB, s *cluster.Snapshot) []byte {
	tb.Helper()
	var b bytes.Buffer
	err := Write(&b, s, Options{
		Bulwark: "test", Taken: time.Unix(1e9, 0),
		Pod: func(p *corev1.PodSpec) {
			for i := range p.Containers {
				p.Containers[i].Env = nil
			}
		},
		Args:     func(args []string) { clear(args[1:]) },
		Settings: func(m map[string]string) { clear(m) },
	})
	if err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func pack(text string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text))
	_ = z.Close()
	return b.Bytes()
}

func TestThereAndBack(t *testing.T) {
	s := sample()
	file := write(t, s)
	if !Is(file[:100]) {
		t.Error("its beginning is not recognised")
	}
	got, h, err := Read(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	if h.Cluster != "prod" || h.Version != "v1.36.3" || h.Counts["Pod"] != 1 || h.Counts["Machine"] != 1 || !h.Taken.Equal(time.Unix(1e9, 0)) {
		t.Errorf("header: %+v", h)
	}
	if want, have := s.AllGaps(), got.AllGaps(); len(want) == 0 || len(want) != len(have) {
		t.Errorf("gaps: %v, want %v", have, want)
	}
	if o := got.Get(cluster.Ref{Kind: "Pod", Namespace: "shop", Name: "web"}); o == nil || o.Source.ResourceVersion != "7" {
		t.Errorf("the pod: %+v", o)
	}
	if c := got.Components("kube-apiserver"); len(c) != 1 || c[0].Flags.Get("anonymous-auth", "") != "false" || !c[0].Flags.Complete {
		t.Errorf("flags: %+v", c)
	}
	if !bytes.Equal(file, write(t, got)) {
		t.Error("written again, it differs")
	}
	z, err := gzip.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if _, err := text.ReadFrom(z); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text.String(), "hunter2") {
		t.Errorf("a value is in the file:\n%s", text.String())
	}
	if spec := s.Get(cluster.Ref{Kind: "Pod", Namespace: "shop", Name: "web"}).Value.(*corev1.Pod).Spec; spec.Containers[0].Env[0].Value != "hunter2" {
		t.Error("writing changed the snapshot")
	}
}

func TestForeignFiles(t *testing.T) {
	const head = `{"format":"bulwark.snapshot/v1","cluster":"c"}` + "\n"
	good := write(t, sample())
	for name, tt := range map[string]struct {
		file []byte
		want string
	}{
		"text":                 {[]byte("hello"), "it is no snapshot: not in gzip"},
		"another gzip":         {pack("hello\n"), "it is no snapshot: it has no header"},
		"a later format":       {pack(`{"format":"bulwark.snapshot/v9"}` + "\n"), `its format is "bulwark.snapshot/v9", want bulwark.snapshot/v1: use the version of bulwark that wrote it`},
		"cut off":              {good[:len(good)-20], "it is cut off"},
		"without its end":      {pack(head), "it is cut off"},
		"records missing":      {pack(head + `{"end":5}` + "\n"), "it ends with record 1 of 5"},
		"an empty record":      {pack(head + "{}\n"), "record 1: it holds nothing that is known: use a newer version of bulwark"},
		"an unknown kind":      {pack(head + `{"object":{"apiVersion":"v1","kind":"Widget","value":{}}}` + "\n"), `record 1: kind "Widget" of "v1" is not known`},
		"a Secret with values": {pack(head + `{"object":{"apiVersion":"v1","kind":"Secret","value":{"data":{"a":"aHVudGVyMg=="}}}}` + "\n"), `record 1: an object of kind "Secret" without what it should hold`},
		"a list":               {pack(head + `{"object":{"apiVersion":"v1","kind":"PodList","value":{}}}` + "\n"), "record 1: kind PodList is no stored object"},
		"a bomb":               {pack(head + strings.Repeat(" ", 30<<20)), "it grows to more than a snapshot of its size would hold"},
		"a bomb of lines":      {pack(head + strings.Repeat(`{"machine":{"name":"a"}}`+"\n", 1<<20)), "it grows to more than a snapshot of its size would hold"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := Read(bytes.NewReader(tt.file), int64(len(tt.file)))
			if err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// FuzzRead states of any text in the place of a file's: it ends, and what is read can be
// written and read again, to the same bytes.
func FuzzRead(f *testing.F) {
	z, err := gzip.NewReader(bytes.NewReader(write(f, sample())))
	if err != nil {
		f.Fatal(err)
	}
	var text bytes.Buffer
	if _, err := text.ReadFrom(z); err != nil {
		f.Fatal(err)
	}
	f.Add(text.String())
	f.Add(`{"format":"bulwark.snapshot/v1"}` + "\n" + `{"config":{"hasAdmission":true,"admission":[{"name":"a"}]}}` + "\n" + `{"end":2}` + "\n")
	f.Add(`{"format":"bulwark.snapshot/v1"}` + "\n" + `{"object":{"apiVersion":"argoproj.io/v1alpha1","kind":"Rollout","meta":{"name":"a"},"custom":{"template":{"spec":{"containers":[{"name":"c"}]}}}}}` + "\n" + `{"end":2}` + "\n")
	f.Fuzz(func(t *testing.T, text string) {
		file := pack(text)
		s, _, err := Read(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			return
		}
		again := write(t, s)
		back, _, err := Read(bytes.NewReader(again), int64(len(again)))
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if !bytes.Equal(again, write(t, back)) {
			t.Error("written again, it differs")
		}
	})
}
