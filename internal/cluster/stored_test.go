package cluster

import "testing"

// TestStoredObjects: one machine answers for all; where none did although something is to
// be encrypted, that is a gap with the way to fill it.
func TestStoredObjects(t *testing.T) {
	server := []Process{{Component: "kube-apiserver", Args: []string{"kube-apiserver", "--encryption-provider-config=/e.yaml"}}}
	denied := Gap{Need: StoredObjects, Scope: "cp-2", Reason: "no"}
	for _, tt := range []struct {
		name     string
		machines []*Machine
		gaps     []Gap
		want     string
	}{
		{"nobody asked", []*Machine{{Name: "cp-1", Processes: server}}, nil, "etcd:stored: etcd was not asked; run `bulwark scan --host` on its machine"},
		{"one answered", []*Machine{{Name: "cp-1", Processes: server, Stored: []Stored{{Resource: "secrets"}}}, {Name: "cp-2", Processes: server}}, []Gap{denied}, ""},
		{"none answered", []*Machine{{Name: "cp-2", Processes: server}}, []Gap{denied}, "etcd:stored of cp-2: no"},
		{"nothing is encrypted", []*Machine{{Name: "cp-1", Processes: []Process{{Component: "kube-apiserver", Args: []string{"kube-apiserver"}}}}}, nil, ""},
	} {
		b := NewBuilder("test", true)
		for _, m := range tt.machines {
			b.AddMachine(m)
		}
		for _, g := range tt.gaps {
			b.Gap(g)
		}
		s := b.Snapshot()
		got := ""
		for _, g := range s.Gaps(StoredObjects) {
			got += g.String()
		}
		if got != tt.want || !s.Looked(StoredObjects) {
			t.Errorf("%s: gaps %q, want %q; looked: %t", tt.name, got, tt.want, s.Looked(StoredObjects))
		}
	}
}
