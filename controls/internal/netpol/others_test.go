package netpol

import (
	"maps"
	"testing"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

func TestCalicoMatches(t *testing.T) {
	pod := labels.Set{"app": "cart", "tier": "web"}
	for selector, want := range map[string][2]bool{
		"":                               {true, true},
		"all()":                          {true, true},
		"app == 'cart'":                  {true, true},
		`app=="cart" && has(tier)`:       {true, true},
		"app == 'mail'":                  {false, true},
		"app != 'mail' && !has(gone)":    {true, true},
		"!has(tier)":                     {false, true},
		"app in {'cart'}":                {false, false},
		"app == 'cart' || app == 'mail'": {false, false},
		"app == 'cart' &&":               {false, false},
		"app contains 'c'":               {false, false},
		"app == 'it''s'":                 {false, false},
	} {
		if matched, sure := calicoMatches(selector, pod); matched != want[0] || sure != want[1] {
			t.Errorf("%q: matched %t, sure %t, want %v", selector, matched, sure, want)
		}
	}
}

// FuzzCalicoMatches states that an answer that is not sure is never a match.
func FuzzCalicoMatches(f *testing.F) {
	for _, s := range []string{"all()", "has(a) && b == 'c'", "!has(a)", "a in {'b'}", "&&", "=='"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, selector string) {
		if matched, sure := calicoMatches(selector, labels.Set{"a": "b"}); matched && !sure {
			t.Errorf("%q is a match and not sure", selector)
		}
	})
}

func TestCilium(t *testing.T) {
	object := &cluster.Object{Ref: cluster.Ref{Kind: "CiliumNetworkPolicy", Namespace: "shop", Name: "p"}}
	rule := func(selector map[string]any, more map[string]any) *cluster.Custom {
		spec := map[string]any{"endpointSelector": selector}
		maps.Copy(spec, more)
		return &cluster.Custom{Content: map[string]any{"spec": spec}}
	}
	all, open := map[string]any{}, map[string]any{"ingress": []any{map[string]any{}}}
	for name, tt := range map[string]struct {
		c                     *cluster.Custom
		matched, sure, closed bool
	}{
		"everything":           {rule(all, open), true, true, true},
		"by label with source": {rule(map[string]any{"matchLabels": map[string]any{"k8s:app": "cart"}}, open), true, true, true},
		"by namespace":         {rule(map[string]any{"matchLabels": map[string]any{"k8s:io.kubernetes.pod.namespace": "bank"}}, open), false, true, true},
		"by what is not known": {rule(map[string]any{"matchLabels": map[string]any{"reserved:host": ""}}, open), false, false, true},
		"without rules":        {rule(all, nil), true, true, false},
		"without default deny": {rule(all, map[string]any{"ingress": []any{map[string]any{}}, "enableDefaultDeny": map[string]any{"ingress": false}}), true, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := cilium(object, tt.c)[0]
			if matched, sure := p.selects("shop", labels.Set{"app": "cart"}); matched != tt.matched || sure != tt.sure || p.ingress != tt.closed {
				t.Errorf("matched %t, sure %t, closed %t", matched, sure, p.ingress)
			}
		})
	}
}
