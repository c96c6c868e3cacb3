package network

import (
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

func TestIsolates(t *testing.T) {
	const in, out = networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress
	rule := []networkingv1.NetworkPolicyEgressRule{{}}
	for name, tt := range map[string]struct {
		types           []networkingv1.PolicyType
		egress          []networkingv1.NetworkPolicyEgressRule
		wantIn, wantOut bool
	}{
		"silence is ingress":         {nil, nil, true, false},
		"egress rules speak":         {nil, rule, true, true},
		"one type":                   {[]networkingv1.PolicyType{out}, nil, false, true},
		"types go before rules":      {[]networkingv1.PolicyType{in}, rule, true, false},
		"both, with nothing allowed": {[]networkingv1.PolicyType{in, out}, nil, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			np := &networkingv1.NetworkPolicy{Spec: networkingv1.NetworkPolicySpec{PolicyTypes: tt.types, Egress: tt.egress}}
			if gotIn, gotOut := Isolates(np); gotIn != tt.wantIn || gotOut != tt.wantOut {
				t.Errorf("ingress %t and egress %t, want %t and %t", gotIn, gotOut, tt.wantIn, tt.wantOut)
			}
		})
	}
}

func TestAllAddresses(t *testing.T) {
	for name, tt := range map[string]struct {
		block *networkingv1.IPBlock
		want  bool
	}{
		"all of IPv4":     {&networkingv1.IPBlock{CIDR: "0.0.0.0/0"}, true},
		"all of IPv6":     {&networkingv1.IPBlock{CIDR: "::/0"}, true},
		"all but some":    {&networkingv1.IPBlock{CIDR: "0.0.0.0/0", Except: []string{"10.0.0.0/8"}}, false},
		"some":            {&networkingv1.IPBlock{CIDR: "10.0.0.0/8"}, false},
		"pods, no blocks": {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := AllAddresses(networkingv1.NetworkPolicyPeer{IPBlock: tt.block}); got != tt.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

// calico tells whether a selector of Calico takes labels in, if it is followed.
func calico(t testing.TB, selector string, set labels.Set) (matched, followed bool) {
	t.Helper()
	sel, ok := calicoSelector(selector)
	if !ok {
		return false, false
	}
	parsed, err := metav1.LabelSelectorAsSelector(sel)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Matches(set), true
}

func TestCalicoSelector(t *testing.T) {
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
		"!app == 'cart'":                 {false, false},
	} {
		if matched, followed := calico(t, selector, pod); matched != want[0] || followed != want[1] {
			t.Errorf("%q: matched %t, followed %t, want %v", selector, matched, followed, want)
		}
	}
}

// FuzzCalicoSelector: a selector that is followed is one that Kubernetes' labels can have,
// and joined with what contradicts it takes nobody in.
func FuzzCalicoSelector(f *testing.F) {
	for _, s := range []string{"all()", "has(a) && b == 'c'", "!has(a)", "a in {'b'}", "&&", "=='"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, selector string) {
		set := labels.Set{"a": "b"}
		if _, followed := calico(t, selector, set); !followed {
			return
		}
		if selector == "" {
			return
		}
		if matched, followed := calico(t, selector+" && !has(a)", set); matched || !followed {
			t.Errorf("%q takes in a label that it must not have", selector)
		}
	})
}
