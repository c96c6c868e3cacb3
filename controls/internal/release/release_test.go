package release

import (
	"testing"

	"k8s.io/apimachinery/pkg/util/version"
)

func TestFaults(t *testing.T) {
	list := []Fault{{ID: "X", Since: "1.2.0", Fixed: []string{"1.2.5", "1.4.2", "2.0.1"}}}
	for v, want := range map[string]string{
		"1.1.9": "", "1.2.0": "1.2.5", "1.2.4": "1.2.5", "1.2.5": "", "1.2.9": "",
		"1.3.7": "1.4.2", "1.4.1": "1.4.2", "1.4.2": "", "1.9.0": "2.0.1",
		"2.0.0": "2.0.1", "2.0.1": "", "2.1.0": "", "3.0.0": "",
	} {
		open, fix := Faults(version.MustParseGeneric(v), list)
		if got := append(fix, "")[0]; got != want || len(open) != len(fix) {
			t.Errorf("%s is mended by %q, want %q", v, got, want)
		}
	}
}

// TestTables: a range that is not in order would be read wrongly.
func TestTables(t *testing.T) {
	for _, list := range [][]Fault{Kubelet, APIServer, Containerd} {
		for _, f := range list {
			last := version.MustParseGeneric("0.0")
			for _, text := range f.Fixed {
				v := version.MustParseGeneric(text)
				if !last.LessThan(v) || last.Minor() == v.Minor() && last.Major() == v.Major() {
					t.Errorf("%s: %s comes after %s", f.ID, text, last)
				}
				last = v
			}
			if f.What == "" || len(f.Fixed) == 0 {
				t.Errorf("%s: it says nothing", f.ID)
			}
		}
	}
}

func TestRebuilt(t *testing.T) {
	for v, want := range map[string]bool{
		"v1.29.3": false, "v1.29.3+k3s1": false, "v1.29.3+rke2r1": false,
		"v1.29.3-eks-adc7111": true, "v1.29.3-gke.1282000": true, "v1.29.3-gke.1+x": true,
	} {
		if got := Rebuilt(v); got != want {
			t.Errorf("Rebuilt(%s) is %v", v, got)
		}
	}
}
