package netpol

import (
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
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

func TestAll(t *testing.T) {
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
			if got := All(networkingv1.NetworkPolicyPeer{IPBlock: tt.block}); got != tt.want {
				t.Errorf("got %t", got)
			}
		})
	}
}
