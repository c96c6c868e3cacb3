package report

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bulwark-k8s/bulwark/internal/network"
	"github.com/bulwark-k8s/bulwark/internal/scan"
	"github.com/bulwark-k8s/bulwark/internal/segment"
	"github.com/bulwark-k8s/bulwark/internal/segment/show"
)

// TestThePageDrawsTheNetwork: with its style allowed by the page's policy, alike namespaces
// once, and small also where there are a thousand of them. Without a network there is none.
func TestThePageDrawsTheNetwork(t *testing.T) {
	units := make([]segment.Unit, 1000)
	for i := range units {
		units[i] = segment.Unit{Kind: "Namespace", Name: fmt.Sprintf("team-%03d", i), Pods: 2}
	}
	g := segment.NewGrid(units)
	for i := range units {
		for j := range units {
			*g.At(i, j) = segment.Cell{State: segment.Closed, Pairs: 4}
			if i%2 == 0 && j%2 == 1 {
				*g.At(i, j) = segment.Cell{State: segment.Part, Ports: network.OnePort("TCP", 80), Pairs: 4, Reach: 1}
			}
		}
	}
	page := func(o Options) string {
		var b strings.Builder
		if err := writeHTML(&b, &scan.Result{}, o); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	plain := page(Options{})
	drawn := page(Options{Networks: []Network{{Cluster: "prod <b>", Grid: g}}})
	for _, want := range []string{`id="network"`, "sha256-" + digest(show.Style), "team-000 +499", "prod &lt;b&gt;", "team-000 +499 to team-001 +499: TCP 80"} {
		if !strings.Contains(strings.ReplaceAll(drawn, "&#43;", "+"), want) {
			t.Errorf("the page has no %s", want)
		}
		if strings.Contains(plain, want) {
			t.Errorf("without a network the page has %s", want)
		}
	}
	if grown := len(drawn) - len(plain); grown > 40<<10 {
		t.Errorf("a network of a thousand namespaces takes %d bytes", grown)
	}
}
