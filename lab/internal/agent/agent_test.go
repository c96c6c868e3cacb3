package agent

import (
	"encoding/json"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func newNode(name, cidr, ip string) *corev1.Node {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{PodCIDR: cidr}}
	if ip != "" {
		node.Status.Addresses = []corev1.NodeAddress{
			{Type: corev1.NodeHostName, Address: name},
			{Type: corev1.NodeInternalIP, Address: "fd00::1"},
			{Type: corev1.NodeInternalIP, Address: ip},
		}
	}
	return node
}

func TestPlanFor(t *testing.T) {
	complete := newNode("a", "10.244.0.0/24", "192.168.7.2")
	other := newNode("b", "10.244.1.0/24", "192.168.7.3")
	cidr, addr := netip.MustParsePrefix, netip.MustParseAddr
	for _, test := range []struct {
		name  string
		nodes []*corev1.Node
		want  *Plan // nil: not yet
	}{
		{name: "no nodes"},
		{name: "only others", nodes: []*corev1.Node{other}},
		{name: "no podCIDR yet", nodes: []*corev1.Node{newNode("a", "", "192.168.7.2"), other}},
		{name: "no address yet", nodes: []*corev1.Node{newNode("a", "10.244.0.0/24", ""), other}},
		{
			name:  "alone",
			nodes: []*corev1.Node{complete},
			want: &Plan{
				PodCIDR: cidr("10.244.0.0/24"), PodCIDRs: []netip.Prefix{cidr("10.244.0.0/24")},
				Addr: addr("192.168.7.2"), Routes: map[netip.Prefix]netip.Addr{},
			},
		},
		{
			name:  "with others, one of them incomplete",
			nodes: []*corev1.Node{other, newNode("c", "", "192.168.7.4"), complete},
			want: &Plan{
				PodCIDR:  cidr("10.244.0.0/24"),
				PodCIDRs: []netip.Prefix{cidr("10.244.0.0/24"), cidr("10.244.1.0/24")},
				Addr:     addr("192.168.7.2"),
				Routes:   map[netip.Prefix]netip.Addr{cidr("10.244.1.0/24"): addr("192.168.7.3")},
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, ok := planFor("a", test.nodes)
			if ok != (test.want != nil) {
				t.Fatalf("plan is ready: %t, want %t", ok, test.want != nil)
			}
			if !ok {
				return
			}
			comparable := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
			prefixes := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
			if diff := cmp.Diff(*test.want, got, comparable, prefixes); diff != "" {
				t.Errorf("plan differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConflist(t *testing.T) {
	data, err := conflist(Plan{PodCIDR: netip.MustParsePrefix("10.244.3.0/24")}, 1400)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		CNIVersion string
		Plugins    []struct {
			Type, Backend string
			MTU           int
			IPAM          struct{ Ranges [][]struct{ Subnet string } }
		}
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Plugins) != 2 {
		t.Fatalf("there are %d plugins, want 2", len(got.Plugins))
	}
	ptp, portmap := got.Plugins[0], got.Plugins[1]
	if ptp.Type != "ptp" || ptp.MTU != 1400 || ptp.IPAM.Ranges[0][0].Subnet != "10.244.3.0/24" {
		t.Errorf("first plugin is %+v", ptp)
	}
	if portmap.Type != "portmap" || portmap.Backend != "nftables" {
		t.Errorf("second plugin is %+v", portmap)
	}
}

func TestOptions(t *testing.T) {
	for _, options := range []Options{{CNIDir: "/x"}, {Node: "a"}} {
		if err := options.validate(); err == nil {
			t.Errorf("%+v is accepted", options)
		}
	}
}
