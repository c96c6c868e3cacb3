package firewall

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"github.com/bulwark-k8s/bulwark/lab/internal/policy"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/knftables"
	"sigs.k8s.io/yaml"
)

// namespace is a network namespace without a name: it ends with the process.
type namespace struct{ handle netns.NsHandle }

func newNamespace(t *testing.T) namespace {
	t.Helper()
	made := make(chan netns.NsHandle)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		handle, err := netns.New()
		if err != nil {
			t.Errorf("network namespace: %v", err)
		}
		made <- handle
	}()
	n := namespace{<-made}
	if t.Failed() {
		t.FailNow()
	}
	t.Cleanup(func() { n.handle.Close() })
	return n
}

// do runs f on a thread that is in the namespace. Sockets and processes that f
// makes stay there.
func (n namespace) do(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := netns.Set(n.handle); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}

// testNode is a node with pods, each in a namespace of its own behind a routed
// pair of interfaces, as the ptp plugin makes them.
type testNode struct {
	namespace
	nft  knftables.Interface
	pods map[string]namespace
}

func newTestNode(t *testing.T, pods map[string]string) *testNode {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make network namespaces")
	}
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("needs nft, from the package nftables")
	}
	n := &testNode{namespace: newNamespace(t), pods: make(map[string]namespace)}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(n.do(func() (err error) {
		if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o600); err != nil {
			return err
		}
		n.nft, err = knftables.New(knftables.IPv4Family, PolicyTable)
		return err
	}))
	gateway := &netlink.Addr{IPNet: netlink.NewIPNet(net.IPv4(169, 254, 1, 1))}
	for name, ip := range pods {
		pod := newNamespace(t)
		n.pods[name] = pod
		check(n.do(func() error {
			link := &netlink.Veth{
				LinkAttrs: netlink.LinkAttrs{Name: name},
				PeerName:  "eth0", PeerNamespace: netlink.NsFd(pod.handle),
			}
			if err := netlink.LinkAdd(link); err != nil {
				return err
			}
			if err := netlink.AddrAdd(link, gateway); err != nil {
				return err
			}
			if err := netlink.LinkSetUp(link); err != nil {
				return err
			}
			return netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: netlink.NewIPNet(net.ParseIP(ip)), Scope: netlink.SCOPE_LINK})
		}))
		check(pod.do(func() error {
			link, err := netlink.LinkByName("eth0")
			if err != nil {
				return err
			}
			if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: netlink.NewIPNet(net.ParseIP(ip))}); err != nil {
				return err
			}
			if err := netlink.LinkSetUp(link); err != nil {
				return err
			}
			if err := netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: gateway.IPNet, Scope: netlink.SCOPE_LINK}); err != nil {
				return err
			}
			return netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: gateway.IP})
		}))
	}
	return n
}

// listen echoes in the pod, on TCP and UDP.
func (n *testNode) listen(t *testing.T, pod string, port int) {
	t.Helper()
	err := n.pods[pod].do(func() error {
		var config net.ListenConfig
		listener, err := config.Listen(t.Context(), "tcp4", fmt.Sprintf(":%d", port))
		if err != nil {
			return err
		}
		packets, err := config.ListenPacket(t.Context(), "udp4", fmt.Sprintf(":%d", port))
		if err != nil {
			return err
		}
		t.Cleanup(func() { listener.Close(); packets.Close() })
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				go func() { _, _ = io.Copy(conn, conn); conn.Close() }()
			}
		}()
		go func() {
			buffer := make([]byte, 64)
			for {
				read, from, err := packets.ReadFrom(buffer)
				if err != nil {
					return
				}
				_, _ = packets.WriteTo(buffer[:read], from)
			}
		}()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// dial connects from the pod and waits for an echo. The connection is the
// caller's to close.
func (n *testNode) dial(ctx context.Context, pod, network, addr string) (conn net.Conn, err error) {
	err = n.pods[pod].do(func() error {
		dialer := net.Dialer{Timeout: 400 * time.Millisecond}
		var err error
		conn, err = dialer.DialContext(ctx, network, addr)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := echoes(conn); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func echoes(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(400 * time.Millisecond)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("x")); err != nil {
		return err
	}
	_, err := conn.Read(make([]byte, 1))
	return err
}

func (n *testNode) apply(t *testing.T, objects policy.Objects, specs ...string) {
	t.Helper()
	for i, spec := range specs {
		np := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprint("policy-", i)}}
		if err := yaml.UnmarshalStrict([]byte(spec), &np.Spec); err != nil {
			t.Fatal(err)
		}
		objects.Policies = append(objects.Policies, np)
	}
	rules, err := policy.Compile("a", objects)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.do(func() error { return SyncPolicy(t.Context(), n.nft, rules) }); err != nil {
		t.Fatal(err)
	}
}

// Real packets of three pods of one node, through real rules.
func TestPackets(t *testing.T) {
	ips := map[string]string{"front": "10.9.0.1", "cart": "10.9.0.2", "db": "10.9.1.3"}
	node := newTestNode(t, ips)
	objects := policy.Objects{Namespaces: []*corev1.Namespace{{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}}}
	for name, ip := range ips {
		objects.Pods = append(objects.Pods, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: map[string]string{"app": name}},
			Spec: corev1.PodSpec{NodeName: "a", Containers: []corev1.Container{{
				Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
			}}},
			Status: corev1.PodStatus{PodIP: ip},
		})
		node.listen(t, name, 8080)
		node.listen(t, name, 9090)
	}
	// A Service in the manner of kube-proxy: its address becomes cart's before
	// the packet is forwarded.
	services, err := inNode(node, func() (knftables.Interface, error) { return knftables.New(knftables.IPv4Family, "services") })
	if err != nil {
		t.Fatal(err)
	}
	tx := services.NewTransaction()
	tx.Add(&knftables.Table{})
	tx.Add(&knftables.Chain{
		Name: "prerouting", Type: knftables.PtrTo(knftables.NATType),
		Hook: knftables.PtrTo(knftables.PreroutingHook), Priority: knftables.PtrTo(knftables.DNATPriority),
	})
	tx.Add(&knftables.Rule{Chain: "prerouting", Rule: "ip daddr 10.96.0.5 tcp dport 80 dnat to 10.9.0.2:8080"})
	if err := node.do(func() error { return services.Run(t.Context(), tx) }); err != nil {
		t.Fatal(err)
	}
	const service = "10.96.0.5:80"

	type packet struct {
		from, network, to string
		want              bool
	}
	for _, test := range []struct {
		name     string
		policies []string
		packets  []packet
	}{
		{
			name: "no policy",
			packets: []packet{
				{"front", "tcp", "10.9.0.2:8080", true},
				{"front", "udp", "10.9.0.2:8080", true},
				{"front", "tcp", service, true},
			},
		},
		{
			name:     "deny all",
			policies: []string{`{podSelector: {}, policyTypes: [Ingress, Egress]}`},
			packets: []packet{
				{"front", "tcp", "10.9.0.2:8080", false},
				{"front", "udp", "10.9.0.2:8080", false},
				{"front", "tcp", service, false},
			},
		},
		{
			name: "front may call cart on its named port",
			policies: []string{
				`{podSelector: {matchLabels: {app: cart}}, ingress: [{from: [{podSelector: {matchLabels: {app: front}}}], ports: [{port: http}]}]}`,
			},
			packets: []packet{
				{"front", "tcp", "10.9.0.2:8080", true},
				{"front", "tcp", service, true},
				{"front", "tcp", "10.9.0.2:9090", false},
				{"front", "udp", "10.9.0.2:8080", false},
				{"db", "tcp", "10.9.0.2:8080", false},
				{"cart", "tcp", "10.9.1.3:9090", true},
			},
		},
		{
			name: "front may send to all but one network, by UDP and a range",
			policies: []string{
				`{podSelector: {matchLabels: {app: front}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.9.1.0/24, 10.9.1.0/25]}}], ports: [{port: 9000, endPort: 9100}, {protocol: UDP}]}]}`,
			},
			packets: []packet{
				{"front", "tcp", "10.9.0.2:9090", true},
				{"front", "tcp", "10.9.0.2:8080", false},
				{"front", "udp", "10.9.0.2:8080", true},
				{"front", "tcp", "10.9.1.3:9090", false},
				{"cart", "tcp", "10.9.0.1:8080", true},
			},
		},
		{
			name:    "policies removed",
			packets: []packet{{"db", "tcp", "10.9.0.2:8080", true}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			node.apply(t, objects, test.policies...)
			for _, p := range test.packets {
				conn, err := node.dial(t.Context(), p.from, p.network, p.to)
				if err == nil {
					conn.Close()
				}
				if got := err == nil; got != p.want {
					t.Errorf("%s from %s to %s: passes is %t (%v), want %t", p.network, p.from, p.to, got, err, p.want)
				}
			}
		})
	}

	t.Run("connections outlive a change, and the rules allow none anew", func(t *testing.T) {
		conn, err := node.dial(t.Context(), "front", "tcp", service)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		node.apply(t, objects, `{podSelector: {}, policyTypes: [Ingress, Egress]}`)
		if err := echoes(conn); err != nil {
			t.Errorf("the connection that was open: %v", err)
		}
		if conn, err := node.dial(t.Context(), "front", "tcp", service); err == nil {
			conn.Close()
			t.Error("a new connection passes")
		}
	})

	t.Run("the node itself reaches its pods whatever the policies say", func(t *testing.T) {
		err := node.do(func() error {
			dialer := net.Dialer{Timeout: time.Second}
			conn, err := dialer.DialContext(t.Context(), "tcp", "10.9.0.2:8080")
			if err == nil {
				conn.Close()
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// What leaves the pod networks carries the node's address; the rest its own.
func TestMasqueradedPackets(t *testing.T) {
	node := newTestNode(t, map[string]string{"pod": "10.9.0.1", "neighbour": "10.9.0.2", "outside": "192.0.2.9"})
	nft, err := inNode(node, func() (knftables.Interface, error) { return knftables.New(knftables.IPv4Family, MasqueradeTable) })
	if err != nil {
		t.Fatal(err)
	}
	own := netip.MustParsePrefix("10.9.0.0/24")
	if err := node.do(func() error { return SyncMasquerade(t.Context(), nft, own, []netip.Prefix{own}) }); err != nil {
		t.Fatal(err)
	}
	for to, want := range map[string]string{"neighbour": "10.9.0.1", "outside": "169.254.1.1"} {
		addr := map[string]string{"neighbour": "10.9.0.2:7", "outside": "192.0.2.9:7"}[to]
		seen := make(chan string, 1)
		err := node.pods[to].do(func() error {
			var config net.ListenConfig
			listener, err := config.Listen(t.Context(), "tcp4", ":7")
			if err != nil {
				return err
			}
			go func() {
				defer listener.Close()
				if conn, err := listener.Accept(); err == nil {
					host, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
					seen <- host
					_, _ = io.Copy(conn, conn)
					conn.Close()
				}
			}()
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		conn, err := node.dial(t.Context(), "pod", "tcp", addr)
		if err != nil {
			t.Fatalf("%s: %v", to, err)
		}
		conn.Close()
		if got := <-seen; got != want {
			t.Errorf("%s sees the pod as %s, want %s", to, got, want)
		}
	}
}

func inNode[T any](n *testNode, f func() (T, error)) (result T, err error) {
	err = n.do(func() error {
		var err error
		result, err = f()
		return err
	})
	return result, err
}
