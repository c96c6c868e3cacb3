package host

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	kubeletv1beta1 "k8s.io/kubelet/config/v1beta1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

func sampleFacts() *Facts {
	return &Facts{
		Machines: []*cluster.Machine{{
			Name:      "node-1",
			Processes: []cluster.Process{{Component: "kubelet", PID: 7, Args: []string{"--v=2"}}},
			Files:     []cluster.File{{Path: "/etc/kubernetes/kubelet.conf", Role: cluster.Kubeconfig, Mode: 0o600}},
			Listeners: []cluster.Listener{{Component: "kubelet", Address: "::", Port: 10250, TLS: &cluster.TLS{Versions: []string{"TLS 1.3"}, ClientCert: "requested"}}},
		}},
		Kubelets: []*cluster.Kubelet{{Node: "node-1", Config: &kubeletv1beta1.KubeletConfiguration{ReadOnlyPort: 10255}}},
		Configs:  []*cluster.Config{{Machine: "node-1", File: "/a", Audit: &cluster.AuditPolicy{}}},
		Gaps:     []cluster.Gap{{Need: cluster.HostFiles, Scope: "node-1", Reason: "no"}},
	}
}

// TestDocument: what travels arrives, under the name of the one that was asked.
func TestDocument(t *testing.T) {
	var b bytes.Buffer
	if err := sampleFacts().Encode(&b); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"node-1", "node-2"} {
		got, err := Decode(bytes.NewReader(b.Bytes()), name)
		if err != nil {
			t.Fatal(err)
		}
		want := sampleFacts()
		source := cluster.Source{Origin: "node " + name}
		want.Machines[0].Name, want.Machines[0].Source = name, source
		want.Kubelets[0].Node, want.Kubelets[0].Source = name, source
		want.Configs[0].Machine, want.Configs[0].Source = name, source
		want.Gaps[0].Scope = name
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestDocumentIsRefused(t *testing.T) {
	for in, want := range map[string]string{
		"":                                 "facts of n: no valid JSON: EOF",
		"bulwark: error":                   "facts of n: no valid JSON: invalid character 'b' looking for beginning of value",
		`{"apiVersion":"v1","kind":"Pod"}`: `facts of n: they are "Pod" of "v1", want HostFacts of ` + cluster.FactsVersion,
		`{"apiVersion":"` + cluster.FactsVersion + `","kind":"HostFacts","Machines":[{"name":"a"},{"name":"b"}]}`: "facts of n: they are of 2 machines, want 1",
		`{"apiVersion":"` + cluster.FactsVersion + `","kind":"HostFacts","Machines":[null]}`:                      "facts of n: they are of 1 machines, want 1",
	} {
		if _, err := Decode(strings.NewReader(in), "n"); err == nil || err.Error() != want {
			t.Errorf("%s: error is %v, want %s", in, err, want)
		}
	}
}

// FuzzDecode states that whatever a node says, it is refused, or is of that node alone.
func FuzzDecode(f *testing.F) {
	var b bytes.Buffer
	if err := sampleFacts().Encode(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte(`{"apiVersion":"` + cluster.FactsVersion + `","kind":"HostFacts","Machines":[{}],"Kubelets":[null,{}],"Configs":[null,{}],"Gaps":[{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		facts, err := Decode(bytes.NewReader(data), "n")
		if err != nil {
			return
		}
		builder := cluster.NewBuilder("fuzz", true)
		for _, m := range facts.Machines {
			if m.Name != "n" {
				t.Errorf("machine %q", m.Name)
			}
			builder.AddMachine(m)
		}
		for _, k := range facts.Kubelets {
			if k.Node != "n" || k.Config == nil {
				t.Errorf("kubelet %q", k.Node)
			}
			builder.AddKubelet(k)
		}
		for _, c := range facts.Configs {
			if c.Machine != "n" {
				t.Errorf("configuration of %q", c.Machine)
			}
			builder.AddConfig(c)
		}
		for _, g := range facts.Gaps {
			if g.Scope != "n" {
				t.Errorf("gap of %q", g.Scope)
			}
			builder.Gap(g)
		}
		builder.Snapshot()
	})
}
