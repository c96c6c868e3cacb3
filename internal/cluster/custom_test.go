package cluster

import "testing"

const rollout = `{"apiVersion":"argoproj.io/v1alpha1","kind":"Rollout","metadata":{"name":"cart","namespace":"shop","uid":"1"},
"spec":{"template":{"metadata":{"labels":{"app":"cart"}},"spec":{"hostNetwork":true,"containers":[{"name":"c","image":"a:1"}]}}}}`

// TestCustomTemplate: a kind beside Kubernetes' own is judged as its own workloads are.
func TestCustomTemplate(t *testing.T) {
	k, ok := FindCustom("argoproj.io/v1alpha1", "Rollout")
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
	if _, ok := FindCustom("apps/v1", "Rollout"); ok {
		t.Error("a kind of another group is taken for it")
	}
}

// FuzzParseCustom states that what is parsed has a template with containers or none.
func FuzzParseCustom(f *testing.F) {
	f.Add([]byte(rollout))
	f.Add([]byte(`{"spec":{"template":[]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, k := range CustomKinds {
			if c, err := k.ParseCustom(data); err == nil && c.Template != nil && len(c.Template.Spec.Containers) == 0 {
				t.Errorf("a template without containers: %+v", c)
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
