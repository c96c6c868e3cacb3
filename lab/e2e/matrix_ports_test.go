//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bulwark-k8s/bulwark/internal/host/handshake"
)

// A listener is a port that a component listens on, and how it treats strangers.
type listener struct {
	// on is the kind of machine: control-plane, node, balancer or host.
	on, component string
	// port is 0 where the system chooses it.
	port int
	// bound is loopback, machine (its own address) or all.
	bound string
	// speaks is TLS with its versions, or plain text.
	speaks string
	// client is what becomes of a client certificate: required, requested, none.
	client string
	// answers are the paths that anyone is answered who reaches the port.
	answers string
	// why is the reason for what answers without asking who it is.
	why string
}

func (l listener) String() string {
	return fmt.Sprintf("%s: %s on port %d (%s) speaks %s, client certificate %s, answers anyone: %s", l.on, l.component, l.port, l.bound, l.speaks, l.client, l.answers)
}

// strangers is what every port is asked for, without a certificate.
var strangers = []string{"/", "/metrics", "/debug/pprof/", "/configz", "/pods", "/healthz", "/livez", "/readyz", "/version", "/flagz", "/statusz", "/proxyMode", "/health", "/members"}

// A socket is one that listens.
type socket struct {
	address netip.AddrPort
	inode   string
}

// ports compares what listens on every machine, by the kernel's tables, with what is
// written down.
func (m *matrix) ports(t *testing.T) {
	want := listeners[m.cluster.profile]
	for _, p := range append(slices.Clone(m.machines), m.host) {
		t.Run(p.name, func(t *testing.T) {
			var got, written []string
			for _, l := range m.listeners(t, p) {
				got = append(got, l.String())
			}
			for _, l := range want {
				if l.on == p.kind() {
					written = append(written, l.String())
				}
			}
			slices.Sort(got)
			slices.Sort(written)
			if diff := cmp.Diff(written, got); diff != "" {
				t.Errorf("what listens on %s is not what is written down (-written +found):\n%s", p.name, diff)
			}
			if udp := unconnected(t, p); len(udp) > 0 && p != m.host {
				t.Errorf("%s takes datagrams on %v, want none", p.name, udp)
			}
		})
	}
}

func (p place) kind() string {
	if i := strings.LastIndex(p.name, "-"); i > 0 {
		return p.name[:i]
	}
	return p.name
}

// tables is the folder with the kernel's tables of a place's network.
func (p place) tables() string { return strings.TrimSuffix(p.net, "ns/net") + "net" }

// listeners finds what listens in a place and asks it.
func (m *matrix) listeners(t *testing.T, p place) []listener {
	t.Helper()
	owners := m.owners(t, p)
	var out []listener
	for _, s := range sockets(t, p, "0A", "tcp", "tcp6") {
		component, known := owners[s.inode]
		if !known && p == m.host {
			continue // not of this cluster
		}
		if !known {
			component = "unknown"
		}
		l := listener{on: p.kind(), component: component, port: int(s.address.Port()), bound: "machine"}
		dial := s.address
		switch {
		case s.address.Addr().IsLoopback():
			l.bound = "loopback"
		case s.address.Addr().IsUnspecified():
			l.bound = "all"
			dial = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), dial.Port())
		}
		if m.chosen(l) {
			l.port = 0
		}
		m.interrogate(t, p, dial.String(), &l)
		out = append(out, l)
	}
	return out
}

// chosen is whether a component's port is one that the system chooses: only where that
// is written down, and no entry names the port.
func (m *matrix) chosen(l listener) bool {
	free := false
	for _, written := range listeners[m.cluster.profile] {
		if written.on == l.on && written.component == l.component {
			if written.port == l.port {
				return false
			}
			free = free || written.port == 0
		}
	}
	return free
}

// interrogate asks a port how it speaks TLS, and in TLS and in plain text for what no
// stranger should be told.
func (m *matrix) interrogate(t *testing.T, p place, address string, l *listener) {
	t.Helper()
	facts, err := handshake.Ask(t.Context(), handshake.Options{
		Dial: func(ctx context.Context) (net.Conn, error) { return m.dial(ctx, p.name, address) },
	})
	l.client = "none"
	switch {
	case err == nil:
		l.speaks, l.client = strings.Join(facts.Versions, ", "), facts.ClientCert
		if len(facts.WeakCiphers) > 0 {
			l.speaks += " with weak suites"
		}
	case errors.Is(err, handshake.ErrPlain):
		l.speaks = "plain text"
	default:
		t.Errorf("%s: %s on %s: %v", p.name, l.component, address, err)
	}
	answers := map[string]bool{}
	for _, scheme := range []string{"http", "https"} {
		transport := &http.Transport{
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // whoever it is: what it tells is of interest
			DialContext:     func(ctx context.Context, _, _ string) (net.Conn, error) { return m.dial(ctx, p.name, address) },
		}
		for _, path := range strangers {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			r, err := send(ctx, transport, scheme+"://"+address, request{path: path})
			cancel()
			if err != nil {
				if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, syscall.ECONNREFUSED) {
					t.Errorf("%s: %s on %s: %s: %v", p.name, l.component, address, path, err)
				}
				continue
			}
			switch r.code {
			case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
				continue
			}
			answers[path] = true
			if scheme == "http" && l.speaks != "plain text" {
				t.Errorf("%s: %s on %s speaks TLS and answers %s in plain text", p.name, l.component, address, path)
			}
		}
		transport.CloseIdleConnections()
	}
	l.answers = "nothing"
	if len(answers) > 0 {
		l.answers = strings.Join(slices.DeleteFunc(slices.Clone(strangers), func(path string) bool { return !answers[path] }), " ")
	}
}

// owners names the programs that hold the sockets of a place, by inode.
func (m *matrix) owners(t *testing.T, p place) map[string]string {
	t.Helper()
	id, err := os.Readlink(p.net)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, proc := range processes {
		if proc != fmt.Sprintf("/proc/%d", p.pid) {
			if its, err := os.Readlink(proc + "/ns/net"); err != nil || its != id || p == m.host {
				continue // elsewhere, or ended
			}
		}
		program, err := os.Readlink(proc + "/exe")
		if err != nil {
			continue
		}
		descriptors, _ := filepath.Glob(proc + "/fd/*")
		for _, fd := range descriptors {
			target, _ := os.Readlink(fd)
			if inode, ok := strings.CutPrefix(target, "socket:["); ok {
				out[strings.TrimSuffix(inode, "]")] = filepath.Base(program)
			}
		}
	}
	return out
}

// unconnected are the addresses that take datagrams from anyone.
func unconnected(t *testing.T, p place) []netip.AddrPort {
	t.Helper()
	var out []netip.AddrPort
	for _, s := range sockets(t, p, "07", "udp", "udp6") {
		out = append(out, s.address)
	}
	return out
}

// sockets reads the kernel's tables of a place's network: those in one state.
func sockets(t *testing.T, p place, state string, tables ...string) []socket {
	t.Helper()
	var out []socket
	for _, table := range tables {
		raw, err := os.ReadFile(filepath.Join(p.tables(), table))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(raw)) {
			f := strings.Fields(line)
			if len(f) < 10 || f[3] != state {
				continue
			}
			host, port, _ := strings.Cut(f[1], ":")
			address, err := hex.DecodeString(host)
			if err != nil {
				t.Fatal(err)
			}
			// Words of 32 bits in the machine's own byte order.
			for i := 0; i < len(address); i += 4 {
				binary.NativeEndian.PutUint32(address[i:], binary.BigEndian.Uint32(address[i:]))
			}
			number, err := strconv.ParseUint(port, 16, 16)
			if err != nil {
				t.Fatal(err)
			}
			ip, _ := netip.AddrFromSlice(address)
			out = append(out, socket{netip.AddrPortFrom(ip.Unmap(), uint16(number)), f[9]})
		}
	}
	return out
}

const (
	strongTLS = "TLS 1.2, TLS 1.3"
	weakTLS   = "TLS 1.0, TLS 1.1, TLS 1.2, TLS 1.3 with weak suites"

	openAPI = "/ /metrics /debug/pprof/ /healthz /livez /readyz /version /flagz /statusz"

	whyProxyMetrics = "kube-proxy knows neither TLS nor who asks for its metrics, and cannot be told to serve none; local users and pods on the host's network see its counters and its configuration, which hold no credential"
	whyProxyHealth  = "for load balancers, which have no certificate: up or not"
	whyStreaming    = "the kubelet fetches exec, attach and port-forward streams here; containerd answers only a random token of one use and a minute, which it gives to whoever may use its socket"
	whyHealth       = "up or not, and nothing else"
	whyThrough      = "passes ciphertext on to the apiservers"
)

// listeners are what may listen, by profile: no port more, and none less.
var listeners = map[string][]listener{
	"hardened": {
		{"control-plane", "etcd", 2379, "loopback", strongTLS, "required", "nothing", ""},
		{"control-plane", "etcd", 2379, "machine", strongTLS, "required", "nothing", ""},
		{"control-plane", "etcd", 2380, "machine", strongTLS, "required", "nothing", ""},
		{"control-plane", "kube-apiserver", 6443, "all", strongTLS, "requested", "nothing", "tokens are the other way to log in"},
		{"control-plane", "kube-controller-manager", 10257, "loopback", strongTLS, "requested", "/healthz", whyHealth},
		{"control-plane", "kube-scheduler", 10259, "loopback", strongTLS, "requested", "/healthz /livez /readyz", whyHealth},
		{"node", "kubelet", 10250, "all", strongTLS, "requested", "nothing", "tokens are the other way to log in"},
		{"node", "kube-proxy", 10249, "loopback", "plain text", "none", "/metrics /configz /healthz /flagz /statusz /proxyMode", whyProxyMetrics},
		{"node", "kube-proxy", 10256, "loopback", "plain text", "none", "/healthz /livez", whyProxyHealth},
		{"node", "containerd", 0, "loopback", "plain text", "none", "nothing", whyStreaming},
		{"balancer", "bulwark", 6443, "machine", strongTLS, "requested", "nothing", whyThrough},
		{"host", "bulwark", 0, "loopback", strongTLS, "requested", "nothing", whyThrough},
	},
	"weak": {
		{"control-plane", "etcd", 2379, "loopback", "plain text", "none", "/metrics /livez /readyz /version /health", "weak 1"},
		{"control-plane", "etcd", 2379, "machine", "plain text", "none", "/metrics /livez /readyz /version /health", "weak 1"},
		{"control-plane", "etcd", 2380, "machine", "plain text", "none", "/version /members", "weak 1"},
		{"control-plane", "etcd", 2381, "loopback", "plain text", "none", "/metrics /livez /readyz /health", "weak 16"},
		{"control-plane", "kube-apiserver", 6443, "all", weakTLS, "requested", openAPI, "weak 2, 8, 9"},
		{"control-plane", "kube-controller-manager", 10257, "all", weakTLS, "requested", "/metrics /debug/pprof/ /configz /healthz /flagz /statusz", "weak 2, 8, 9"},
		{"control-plane", "kube-scheduler", 10259, "all", weakTLS, "requested", "/metrics /debug/pprof/ /configz /healthz /livez /readyz /flagz /statusz", "weak 2, 8, 9"},
		{"node", "kubelet", 10250, "all", weakTLS, "requested", "/metrics /configz /pods /healthz /flagz /statusz", "weak 3, 8"},
		{"node", "kubelet", 10255, "all", "plain text", "none", "/metrics /debug/pprof/ /pods /healthz", "weak 4"},
		{"node", "kubelet", 10248, "loopback", "plain text", "none", "/healthz", "the kubelet's default"},
		{"node", "kube-proxy", 10249, "loopback", "plain text", "none", "/metrics /configz /healthz /flagz /statusz /proxyMode", "as on hardened"},
		{"node", "kube-proxy", 10256, "all", "plain text", "none", "/healthz /livez", "as kubeadm has it"},
		{"node", "containerd", 0, "loopback", "plain text", "none", "nothing", "as on hardened"},
		{"balancer", "bulwark", 6443, "machine", weakTLS, "requested", openAPI, whyThrough},
		{"host", "bulwark", 0, "loopback", weakTLS, "requested", openAPI, whyThrough},
	},
}
