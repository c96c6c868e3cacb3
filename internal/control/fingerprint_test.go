package control

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// ids are the fingerprints of a control's faults on one object, each as path and got.
func ids(faults ...[2]string) []string {
	var out []string
	seen := map[string]int{}
	for _, f := range faults {
		out = append(out, Fingerprint("a.b", &Finding{Outcome: Broken, Object: cluster.Ref{Kind: "Role", Name: "r"}, Path: f[0], Got: f[1]}, seen))
	}
	return out
}

// TestFingerprintsStay: each pair of scans names the same faults, whatever moved between.
func TestFingerprintsStay(t *testing.T) {
	for name, tt := range map[string]struct{ was, is [][2]string }{
		"a value changes":          {[][2]string{{"spec.hostPID", "true"}}, [][2]string{{"spec.hostPID", "yes"}}},
		"a rule comes before":      {[][2]string{{"rules[0]", "get on secrets"}}, [][2]string{{"rules[1]", "get on secrets"}}},
		"two rules swap":           {[][2]string{{"rules[0]", "a"}, {"rules[1]", "b"}}, [][2]string{{"rules[1]", "a"}, {"rules[0]", "b"}}},
		"deep in two lists":        {[][2]string{{"spec.egress[0].to[1].ipBlock", "x"}}, [][2]string{{"spec.egress[2].to[0].ipBlock", "x"}}},
		"two that are quite alike": {[][2]string{{"args[0]", "a literal"}, {"args[3]", "a literal"}}, [][2]string{{"args[1]", "a literal"}, {"args[4]", "a literal"}}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(ids(tt.was...), ids(tt.is...), cmpopts.SortSlices(func(a, b string) bool { return a < b })); diff != "" {
				t.Errorf("fingerprints (-was +is):\n%s", diff)
			}
		})
	}
	for name, two := range map[string][][2]string{
		"another container":   {{"spec.containers[a].image", "x"}, {"spec.containers[b].image", "x"}},
		"another rule":        {{"rules[0]", "a"}, {"rules[1]", "b"}},
		"alike in everything": {{"rules[0]", "a"}, {"rules[1]", "a"}},
	} {
		if got := ids(two...); got[0] == got[1] {
			t.Errorf("%s: both are %s", name, got[0])
		}
	}
}
