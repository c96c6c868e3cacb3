package host

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

func TestRedact(t *testing.T) {
	tests := map[string]struct{ component, in, want string }{
		"a value":                        {"kube-apiserver", "--some-password=x", "--some-password=(redacted)"},
		"a value of its own":             {"k3s", "--agent-token x --debug", "--agent-token (redacted) --debug"},
		"a short flag of k3s":            {"k3s", "-t x", "-t (redacted)"},
		"underscores":                    {"kube-apiserver", "--api_secret=x", "--api_secret=(redacted)"},
		"a file":                         {"kube-apiserver", "--token-auth-file=/etc/tokens.csv", "--token-auth-file=/etc/tokens.csv"},
		"a boolean":                      {"kube-apiserver", "--authentication-token-webhook=true", "--authentication-token-webhook=true"},
		"a duration":                     {"kube-apiserver", "--authentication-token-webhook-cache-ttl=10s", "--authentication-token-webhook-cache-ttl=10s"},
		"a flag without a value":         {"kube-apiserver", "--enable-bootstrap-token-auth --v=2", "--enable-bootstrap-token-auth --v=2"},
		"a password in a URL":            {"k3s", "--datastore-endpoint=postgres://u:p@db/k3s", "--datastore-endpoint=postgres://(redacted)@db/k3s"},
		"etcd's kind of token":           {"etcd", "--auth-token=jwt,priv-key=/k", "--auth-token=jwt,priv-key=/k"},
		"the same flag of another":       {"dockerd", "--auth-token=jwt,priv-key=/k", "--auth-token=(redacted)"},
		"a configuration for secrets":    {"kubelet", "--image-credential-provider-config=/c", "--image-credential-provider-config=/c"},
		"nothing that sounds of secrets": {"kubelet", "--v=2 --kubeconfig /etc/k", "--v=2 --kubeconfig /etc/k"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			argv := append([]string{tt.component}, strings.Fields(tt.in)...)
			if got := strings.Join(redact(tt.component, argv)[1:], " "); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestComponentOf(t *testing.T) {
	tests := map[string]struct{ argv, exe, want string }{
		"by its arguments":            {"/usr/bin/kubelet --v=2", "", "kubelet"},
		"by its program":              {"renamed", "/usr/local/bin/etcd", "etcd"},
		"by a program replaced since": {"renamed", "/usr/local/bin/etcd (deleted)", "etcd"},
		"containerd inside k3s":       {"containerd -c x", "/var/lib/rancher/k3s/data/1/bin/k3s", "containerd"},
		"a k3s server":                {"/usr/bin/k3s server --x", "/usr/bin/k3s", "k3s"},
		"a k3s that is kubectl":       {"k3s kubectl logs server", "/usr/bin/k3s", ""},
		"a shell that names one":      {"sh -c kubelet", "/bin/sh", ""},
		"a shim":                      {"containerd-shim-runc-v2", "/usr/bin/containerd-shim-runc-v2", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := componentOf(strings.Fields(tt.argv), tt.exe); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestParseSockets(t *testing.T) {
	const table = header +
		"   0: 0100007F:18EB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0\n" +
		"   1: 00000000000000000000000000000000:192B 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4343 1 0\n" +
		"   2: 0000000000000000FFFF00000100000A:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4444 1 0\n" +
		"   3: 0100007F:18EB 0100007F:0001 01 00000000:00000000 00:00000000 00000000     0        0 4545 1 0\n" +
		"half a line 0A\n"
	var want []string
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the table is a little-endian machine's")
	}
	want = []string{"127.0.0.1:6379 4242", "[::]:6443 4343", "10.0.0.1:80 4444"}
	var got []string
	for _, s := range parseSockets([]byte(table)) {
		got = append(got, fmt.Sprint(s.addr, " ", s.inode))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// What the kernel would print for an address is read back as that address.
func FuzzParseAddr(f *testing.F) {
	f.Add([]byte{127, 0, 0, 1}, uint16(6443))
	f.Add([]byte{0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, uint16(2379))
	f.Fuzz(func(t *testing.T, ip []byte, port uint16) {
		want, ok := netip.AddrFromSlice(ip)
		var text strings.Builder
		for i := 0; i+4 <= len(ip); i += 4 {
			fmt.Fprintf(&text, "%08X", binary.NativeEndian.Uint32(ip[i:]))
		}
		got, parsed := parseAddr(fmt.Sprintf("%s:%04X", text.String(), port))
		if !ok {
			return
		}
		if !parsed || got != netip.AddrPortFrom(want.Unmap(), port) {
			t.Errorf("got %v, want %v port %d", got, want, port)
		}
	})
}

// Every socket that is read was in a line of its own that says so.
func FuzzParseSockets(f *testing.F) {
	f.Add([]byte(header + "   0: 0100007F:18EB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0\n"))
	f.Fuzz(func(t *testing.T, table []byte) {
		lines := 0
		for line := range strings.Lines(string(table)) {
			if slices.Contains(strings.Fields(line), "0A") {
				lines++
			}
		}
		if got := len(parseSockets(table)); got > lines {
			t.Errorf("%d sockets out of %d lines", got, lines)
		}
	})
}

// Arguments survive being written as the kernel does, and redacting keeps their number,
// the program and every flag's name, and twice is once.
func FuzzCmdline(f *testing.F) {
	f.Add("kube-apiserver\x00--token=x\x00--v\x002\x00")
	f.Add("k3s server --token=hunter2")
	f.Add(" ")
	f.Fuzz(func(t *testing.T, s string) {
		argv := parseCmdline([]byte(s))
		if s != "" && s != "\x00" && strings.Join(argv, "\x00") != strings.TrimSuffix(s, "\x00") {
			t.Fatalf("%q became %q", s, argv)
		}
		if len(argv) == 0 {
			return
		}
		componentOf(argv, "/usr/local/bin/k3s")
		out := redact("k3s", argv)
		if len(out) != len(argv) || out[0] != argv[0] {
			t.Fatalf("%q became %q", argv, out)
		}
		if again := redact("k3s", out); !slices.Equal(again, out) {
			t.Errorf("%q redacted again is %q", out, again)
		}
		if slices.Contains(out, "--token=hunter2") {
			t.Errorf("a token is left in %q", out)
		}
	})
}

func TestConfigArgs(t *testing.T) {
	for name, tt := range map[string]struct {
		component, config string
		argv, want        []string
		fails             bool
	}{
		"a kube-proxy with a file heeds nothing else": {
			"kube-proxy", "metricsBindAddress: 0.0.0.0:10249\nmode: nftables\nenableProfiling: true\niptables: {localhostNodePorts: false}\n",
			[]string{"kube-proxy", "--config=/c", "--metrics-bind-address=127.0.0.1:1"},
			[]string{
				"kube-proxy", "--config=/c", "--healthz-bind-address=0.0.0.0:10256", "--metrics-bind-address=0.0.0.0:10249",
				"--proxy-mode=nftables", "--iptables-localhost-nodeports=false", "--profiling=true",
			},
			false,
		},
		"what a file leaves out is as without one": {
			"kube-proxy", "kind: KubeProxyConfiguration\n",
			[]string{"kube-proxy", "--config", "/c"},
			[]string{
				"kube-proxy", "--config=/c", "--healthz-bind-address=0.0.0.0:10256", "--metrics-bind-address=127.0.0.1:10249",
				"--proxy-mode=iptables", "--iptables-localhost-nodeports=true", "--profiling=false",
			},
			false,
		},
		"a scheduler goes on to heed its other flags": {
			"kube-scheduler", "enableProfiling: false\n",
			[]string{"kube-scheduler", "--config=/c", "--bind-address=::1", "--profiling"},
			[]string{"kube-scheduler", "--config=/c", "--bind-address=::1", "--profiling", "--profiling=false"},
			false,
		},
		"a scheduler profiles unless told": {
			"kube-scheduler", "kind: KubeSchedulerConfiguration\n",
			[]string{"kube-scheduler", "--config=/c"},
			[]string{"kube-scheduler", "--config=/c", "--profiling=true"},
			false,
		},
		"no YAML": {"kube-proxy", "a: [", []string{"kube-proxy"}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := configArgs(tt.component, tt.argv, []byte(tt.config))
			if (err != nil) != tt.fails {
				t.Fatalf("error %v", err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// FuzzConfigArgs: whatever a file says, its flags can be told apart again, and none is
// added that nobody asked for.
func FuzzConfigArgs(f *testing.F) {
	for _, seed := range []string{"", "enableProfiling: true\nmode: ipvs\n", "metricsBindAddress: \"x --y=z\"\n", "a: [", "- 1\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, config []byte) {
		got, err := configArgs("kube-proxy", []string{"kube-proxy", "--config=/c"}, config)
		if err != nil {
			return
		}
		if names := cluster.ParseFlags(got[1:]).Names(); len(got) != 7 || len(names) != 6 {
			t.Errorf("%q gives %q", config, got)
		}
	})
}
