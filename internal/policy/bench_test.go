package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/manifest"
	"github.com/bulwark-k8s/bulwark/internal/policy"
	"github.com/bulwark-k8s/bulwark/internal/scan"
)

// BenchmarkPolicy is one policy on 1,000 pods that it is for.
func BenchmarkPolicy(b *testing.B) {
	var in strings.Builder
	in.WriteString(shop + head + "  validations: [{expression: '!has(object.spec.hostNetwork)', message: no host network}]\n" + bound)
	for i := range 1000 {
		fmt.Fprintf(&in, "---\napiVersion: v1\nkind: Pod\nmetadata: {name: p%d, labels: {app: p}}\nspec: {containers: [{name: a, image: a, env: [{name: a, value: b}]}, {name: b, image: b}]}\n", i)
	}
	builder := cluster.NewBuilder("bench", false)
	manifest.NewReader(builder, "").Read("in.yaml", strings.NewReader(in.String()))
	s := builder.Snapshot()
	controls := policy.Controls(s)
	b.ReportAllocs()
	for b.Loop() {
		scan.Run(s, controls)
	}
}
