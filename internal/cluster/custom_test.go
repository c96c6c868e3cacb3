package cluster

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const rollout = `{"apiVersion":"argoproj.io/v1alpha1","kind":"Rollout","metadata":{"name":"cart","namespace":"shop","uid":"1"},
"spec":{"template":{"metadata":{"labels":{"app":"cart"}},"spec":{"hostNetwork":true,"containers":[{"name":"c","image":"a:1"}]}}}}`

// TestCustomTemplate: a kind beside Kubernetes' own is judged as its own workloads are.
func TestCustomTemplate(t *testing.T) {
	k, ok := findCustom(nil, "argoproj.io/v1alpha1", "Rollout")
	if !ok {
		t.Fatal("Rollout is not known")
	}
	c, err := k.ParseCustom([]byte(rollout))
	if err != nil {
		t.Fatal(err)
	}
	b := NewBuilder("test", true)
	b.Add("argoproj.io/v1alpha1", k.Name(), c, Source{})
	pods := b.Snapshot().Pods()
	if len(pods) != 1 || !pods[0].Spec.HostNetwork || pods[0].Path != "spec.template.spec" || pods[0].Meta.Labels["app"] != "cart" {
		t.Fatalf("pods are %+v", pods)
	}
	if got := pods[0].Containers[0].Path; got != "spec.template.spec.containers[c]" {
		t.Errorf("the container is at %s", got)
	}
	if _, ok := findCustom(nil, "apps/v1", "Rollout"); ok {
		t.Error("a kind of another group is taken for it")
	}
}

func ownKind(t *testing.T, templates ...string) CustomKind {
	t.Helper()
	k, err := OwnWorkload("batch.volcano.sh", "Job", "jobs", "", templates)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestOwnTemplates: a path leads to one template or to many, which are called by name
// where that is clear.
func TestOwnTemplates(t *testing.T) {
	const pod = `{"spec":{"containers":[{"name":"c","image":"a:1"}]}}`
	for _, tt := range []struct{ spec, templates, want string }{
		{`{"template":POD}`, "spec.template", "spec.template"},
		{`{"tasks":[{"name":"a","template":POD},{"name":"b","template":POD}]}`, "spec.tasks[*].template", "spec.tasks[a].template spec.tasks[b].template"},
		{`{"tasks":[{"name":"a","template":POD},{"name":"a","template":POD}]}`, "spec.tasks[*].template", "spec.tasks[0].template spec.tasks[1].template"},
		{`{"tasks":[{"template":POD},{"name":"b"}]}`, "spec.tasks[*].template", "spec.tasks[0].template"},
		{`{"replicas":{"Worker":{"template":POD},"Master":{"template":POD}}}`, "spec.replicas[*].template", "spec.replicas[Master].template spec.replicas[Worker].template"},
		{`{"pods":[POD]}`, "spec.pods[*]", "spec.pods[0]"},
		{`{"head":POD,"groups":[{"template":POD}]}`, "spec.head spec.groups[*].template", "spec.head spec.groups[0].template"},
		{`{"template":{"spec":{"containers":[]}}}`, "spec.template", ""},
		{`{"template":"none"}`, "spec.template", ""},
		{`{"tasks":"none"}`, "spec.tasks[*].template", ""},
		{`{"tasks":[1,null]}`, "spec.tasks[*].template", ""},
		{`{}`, "spec.template", ""},
	} {
		c, err := ownKind(t, strings.Fields(tt.templates)...).ParseCustom([]byte(`{"spec":` + strings.ReplaceAll(tt.spec, "POD", pod) + `}`))
		if err != nil {
			t.Errorf("%s: %v", tt.spec, err)
			continue
		}
		var got []string
		for _, one := range c.Templates {
			got = append(got, one.Path)
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s at %s: templates at %s, want %s", tt.spec, tt.templates, got, tt.want)
		}
	}
}

// TestOwnWorkloadIsChecked: what a server would not take as a kind is refused, since parts
// of it go into paths of requests; and so is what is known already.
func TestOwnWorkloadIsChecked(t *testing.T) {
	for _, tt := range []struct{ group, kind, resource, version, template, want string }{
		{"batch.volcano.sh", "Job", "jobs", "v1alpha1", "spec.tasks[*].template", ""},
		{"batch", "Job", "jobs", "", "spec.template", "group"},
		{"a.b/../c", "Job", "jobs", "", "spec.template", "group"},
		{"a.b", "job", "jobs", "", "spec.template", "kind"},
		{"a.b", "Job", "jobs/status", "", "spec.template", "resource"},
		{"a.b", "Job", "jobs", "../v1", "spec.template", "version"},
		{"a.b", "Job", "jobs", "", "", "template"},
		{"a.b", "Job", "jobs", "", "spec..template", "template"},
		{"a.b", "Job", "jobs", "", "spec.tasks[0].template", "template"},
		{"argoproj.io", "Rollout", "rollouts", "", "spec.template", "kind Rollout of argoproj.io is known already"},
	} {
		_, err := OwnWorkload(tt.group, tt.kind, tt.resource, tt.version, []string{tt.template})
		got := ""
		if err != nil {
			got = err.Error()
		}
		if (tt.want == "") != (got == "") || !strings.HasPrefix(got, tt.want) {
			t.Errorf("%+v: %q", tt, got)
		}
	}
}

// TestOwnVersion: of a kind in one version, objects in others are not it.
func TestOwnVersion(t *testing.T) {
	k, err := OwnWorkload("batch.volcano.sh", "Job", "jobs", "v1", []string{"spec.template"})
	if err != nil {
		t.Fatal(err)
	}
	b := NewBuilder("test", true, k)
	for apiVersion, want := range map[string]bool{"batch.volcano.sh/v1": true, "batch.volcano.sh/v2": false, "batch/v1": false} {
		if _, got := b.FindCustom(apiVersion, "Job"); got != want {
			t.Errorf("Job of %s: %t, want %t", apiVersion, got, want)
		}
	}
}

// TestRunningPodsOfOwnKinds: of several templates, a pod belongs to the one that made it.
func TestRunningPodsOfOwnKinds(t *testing.T) {
	k := ownKind(t, "spec.tasks[*].template")
	c, err := k.ParseCustom([]byte(`{"apiVersion":"batch.volcano.sh/v1alpha1","kind":"Job","metadata":{"name":"train","namespace":"ml","uid":"1"},"spec":{"tasks":[
		{"name":"master","template":{"spec":{"containers":[{"name":"c","image":"a:1"}]}}},
		{"name":"worker","template":{"spec":{"containers":[{"name":"c","image":"b:1"}]}}}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	b := NewBuilder("test", true, k)
	b.Add("batch.volcano.sh/v1alpha1", k.Name(), c, Source{})
	for i, image := range []string{"a:1", "b:1", "c:1"} {
		is := true
		b.Add("v1", "Pod", &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: fmt.Sprint("p", i), OwnerReferences: []metav1.OwnerReference{{UID: "1", Controller: &is}}},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: image}}},
		}, Source{})
	}
	var got []string
	for _, p := range b.Snapshot().Pods() {
		of := ""
		if p.Of != nil {
			of = " of " + p.Of.Path
		}
		got = append(got, p.Object.Ref.String()+" "+p.Path+of)
	}
	want := []string{
		"job.batch.volcano.sh ml/train spec.tasks[master].template.spec", "job.batch.volcano.sh ml/train spec.tasks[worker].template.spec",
		"pod ml/p0 spec of spec.tasks[master].template.spec", "pod ml/p1 spec of spec.tasks[worker].template.spec", "pod ml/p2 spec",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pods (-want +got):\n%s", diff)
	}
}

// TestOwnWithoutTemplate: a template that is elsewhere than the user said is a gap; one
// object without it is not.
func TestOwnWithoutTemplate(t *testing.T) {
	for template, want := range map[string]int{"spec.template": 0, "spec.podTemplate": 1} {
		k := ownKind(t, template)
		b := NewBuilder("test", true, k)
		for name, spec := range map[string]string{"full": `{"template":{"spec":{"containers":[{"name":"c"}]}}}`, "empty": `{}`} {
			c, err := k.ParseCustom([]byte(`{"metadata":{"name":"` + name + `"},"spec":` + spec + `}`))
			if err != nil {
				t.Fatal(err)
			}
			b.Add("batch.volcano.sh/v1", k.Name(), c, Source{})
		}
		if gaps := b.Snapshot().Gaps(OwnWorkloads); len(gaps) != want {
			t.Errorf("%s: gaps are %v, want %d", template, gaps, want)
		}
	}
}

// TestOwnerWithoutTemplate: a Gateway owns the Deployment of its proxies, and says nothing
// of its pods: the Deployment's template is judged.
func TestOwnerWithoutTemplate(t *testing.T) {
	is := true
	b := NewBuilder("test", true)
	gateway := new(Custom)
	if err := json.Unmarshal([]byte(`{"metadata":{"name":"front","namespace":"shop","uid":"1"}}`), gateway); err != nil {
		t.Fatal(err)
	}
	b.Add("gateway.networking.k8s.io/v1", "Gateway", gateway, Source{})
	b.Add("apps/v1", "Deployment", &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{
		Name: "front", Namespace: "shop", UID: "2", OwnerReferences: []metav1.OwnerReference{{UID: "1", Controller: &is}},
	}}, Source{})
	if pods := b.Snapshot().Pods(); len(pods) != 1 || pods[0].Object.Kind != "Deployment" {
		t.Errorf("pods are %+v", pods)
	}
}

// TestKeep: of a definition, the schemas are left out.
func TestKeep(t *testing.T) {
	k, ok := findCustom(nil, "apiextensions.k8s.io/v1", "CustomResourceDefinition")
	if !ok {
		t.Fatal("CustomResourceDefinition is not known")
	}
	c, err := k.ParseCustom([]byte(`{"metadata":{"name":"a"},"spec":{"group":"g","conversion":{"strategy":"None"},"versions":[{"schema":{}}]},"status":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"spec": map[string]any{"group": "g", "conversion": map[string]any{"strategy": "None"}}}
	if diff := cmp.Diff(want, c.Content); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
}

// FuzzParseCustom states that what is parsed has templates with containers or none.
func FuzzParseCustom(f *testing.F) {
	f.Add([]byte(rollout))
	f.Add([]byte(`{"spec":{"template":[]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		own, err := OwnWorkload("batch.volcano.sh", "Job", "jobs", "", []string{"spec.tasks[*].template", "spec[*]"})
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range append([]CustomKind{own}, CustomKinds...) {
			c, err := k.ParseCustom(data)
			if err != nil {
				continue
			}
			for _, one := range c.Templates {
				if len(one.Template.Spec.Containers) == 0 {
					t.Errorf("a template without containers: %+v", c)
				}
			}
		}
	})
}

// TestConfigOf: a file that an API server was told to use and nobody read is a gap.
func TestConfigOf(t *testing.T) {
	b := NewBuilder("test", true)
	b.AddMachine(&Machine{Name: "cp-1", Processes: []Process{{Component: "kube-apiserver", Args: []string{"kube-apiserver", "--audit-policy-file=/p.yaml"}}}})
	b.AddMachine(&Machine{Name: "cp-2", Processes: []Process{{Component: "kube-apiserver", Args: []string{"kube-apiserver", "--audit-policy-file=/p.yaml"}}}})
	b.AddConfig(&Config{Machine: "cp-1", File: "/p.yaml", Audit: &AuditPolicy{}})
	s := b.Snapshot()
	gaps := s.Gaps(AuditFile)
	if len(gaps) != 1 || gaps[0].Scope != "cp-2" {
		t.Errorf("gaps are %v, want one of cp-2", gaps)
	}
	if gaps := s.Gaps(EncryptionFile); len(gaps) != 0 || !s.Looked(EncryptionFile) {
		t.Errorf("a flag that is not set leaves %v", gaps)
	}
}
