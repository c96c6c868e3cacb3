//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A channel is one way in which a component talks to another.
type channel struct {
	name string
	// from is the machine of the client, and to the server, MACHINE:PORT.
	from, to string
	// ca is the file below /etc/kubernetes/pki that the server is verified against.
	ca string
	as caller
	// business is what the client is there for.
	business []request
	// What becomes of the same requests with its certificate, with none, and with one of
	// another authority: first on the hardened cluster, then on the weak one.
	works, without, stranger wants
	// others are identities that the server's authority has signed, or that another
	// authority of the cluster has, and what they have no business with.
	others []other
	// hardenedOnly is a channel that other profiles do not have.
	hardenedOnly bool
	// unix is the server's socket, where it has one instead of a port: there is no
	// certificate, and the file's mode decides.
	unix  string
	paper paper
}

type other struct {
	as   caller
	ask  request
	ends wants
}

// wants is how a request is to end on the hardened cluster and on the weak one. An
// empty second is the same as the first.
type wants struct{ hardened, weak verdict }

// paper is what docs/channels.md says of a channel.
type paper struct {
	protocol, server, client, authorized, lost string
}

// A matrix is a cluster to try the channels on.
type matrix struct {
	cluster  *cluster
	weak     bool
	machines []place
	// host is this machine, as far as the cluster's owner listens on it.
	host place
}

// A place is a network to dial from.
type place struct {
	name, ip string
	// net is the file of its network namespace; pid the first process, or the owner.
	net string
	pid int
}

// startMatrix brings a cluster up and takes it down with the test.
func startMatrix(t *testing.T, c *cluster, controlPlanes int) *matrix {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("nodes need root: run as root")
	}
	t.Cleanup(func() {
		command(context.Background(), "", nil, filepath.Join(bin, "bulwark"), "down", "--name", c.name, "--state-dir", stateDir)
	})
	up := bulwark(t, "up", "--name", c.name, "--profile", c.profile, "--control-planes", fmt.Sprint(controlPlanes), "--nodes", fmt.Sprint(c.nodes), "--state-dir", stateDir)
	if up.code != 0 {
		t.Fatalf("up: %s", up.all())
	}
	t.Logf("up after %s", up.took.Round(time.Second/10))
	c.kubeconfig = filepath.Join(stateDir, c.name, "kubeconfig")
	m := &matrix{cluster: c, weak: c.profile == "weak"}
	var status struct {
		OwnerPID int
		Machines []struct {
			Name, IP string
			PID      int
		}
	}
	r := bulwark(t, "status", "--name", c.name, "--state-dir", stateDir, "-o", "json")
	if err := json.Unmarshal([]byte(r.stdout), &status); err != nil {
		t.Fatalf("status: %v\n%s", err, r.all())
	}
	for _, s := range status.Machines {
		m.machines = append(m.machines, place{name: s.Name, ip: s.IP, pid: s.PID, net: fmt.Sprintf("/proc/%d/ns/net", s.PID)})
	}
	m.machines = append(m.machines, balancer(t, status.OwnerPID))
	m.host = place{name: "host", pid: status.OwnerPID, net: "/proc/self/ns/net"}
	c.apply(t, matrixObjects, "apply", "-f", "-")
	if c.nodes < 2 {
		c.apply(t, `{apiVersion: v1, kind: Node, metadata: {name: node-2}}`, "apply", "-f", "-")
	}
	pods := []string{"pod/here", "pod/there"}[:c.nodes]
	c.must(t, append([]string{"-n", "matrix", "wait", "--for=condition=Ready", "--timeout=60s"}, pods...)...)
	return m
}

// balancer is the network with the bridge, which one thread of the owner is in.
func balancer(t *testing.T, owner int) place {
	t.Helper()
	home, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/ns/net", owner))
	for _, file := range threads {
		if id, err := os.Readlink(file); err == nil && id != home {
			return place{name: "balancer", ip: "10.200.0.1", pid: owner, net: file}
		}
	}
	t.Fatalf("owner %d: no thread in a network of its own", owner)
	return place{}
}

// machine finds a machine by name. Where the cluster has fewer, the first of its kind
// stands for it.
func (m *matrix) machine(name string) place {
	if name == m.host.name {
		return m.host
	}
	base, _, _ := strings.Cut(name, "-")
	var first *place
	for i, p := range m.machines {
		if p.name == name {
			return p
		}
		if first == nil && strings.HasPrefix(p.name, base+"-") {
			first = &m.machines[i]
		}
	}
	if first == nil {
		panic("no machine like " + name)
	}
	return *first
}

// address resolves MACHINE:PORT; localhost is the machine's own.
func (m *matrix) address(to string) string {
	host, port, err := net.SplitHostPort(to)
	if err != nil {
		panic(err)
	}
	if host == "localhost" {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return net.JoinHostPort(m.machine(host).ip, port)
}

func (m *matrix) want(w wants) verdict {
	if m.weak && w.weak != "" {
		return w.weak
	}
	return w.hardened
}

// roots are the authorities that a channel's client verifies its server against.
func (m *matrix) roots(t *testing.T, c channel) *x509.CertPool {
	t.Helper()
	data, err := os.ReadFile(m.file(c.as.from, "etc/kubernetes/pki", c.ca+".crt"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		t.Fatalf("%s: no certificate", c.ca)
	}
	return pool
}

// try runs every cell of every channel.
func (m *matrix) try(t *testing.T) {
	for _, c := range channels {
		if c.hardenedOnly && m.cluster.profile != "hardened" {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			if c.unix != "" {
				m.local(t, c)
				return
			}
			cell := func(name string, as caller, stranger bool, r request, w wants, roots *x509.CertPool) {
				t.Run(name+"/"+r.what, func(t *testing.T) {
					pair, err := m.certificate(as, stranger)
					if err != nil {
						t.Fatal(err)
					}
					if got, want := m.ends(t, c, r, pair, roots), m.want(w); got != want {
						t.Errorf("%s: %s (%s) %s: %s, want %s", c.name, as.who, name, r.what, got, want)
					}
				})
			}
			for _, r := range c.business {
				cell("with its certificate", c.as, false, r, c.works, m.roots(t, c))
				cell("without a certificate", nobody, false, r, c.without, nil)
				cell("with one of another authority", c.as, true, r, c.stranger, nil)
			}
			for _, o := range c.others {
				cell("as "+o.as.who, o.as, false, o.ask, o.ends, nil)
			}
		})
	}
}

func (m *matrix) ends(t *testing.T, c channel, r request, pair *tls.Certificate, roots *x509.CertPool) verdict {
	t.Helper()
	to := c.to
	if r.to != "" {
		to = r.to
	}
	return m.ask(t, c.from, to, r, pair, roots)
}

// local tries a socket in the file system: as root, which the client is, and as somebody
// else who is logged in on the machine.
func (m *matrix) local(t *testing.T, c channel) {
	t.Helper()
	ask := []string{"ctr", "--address", c.unix, "version"}
	for _, tt := range []struct {
		who  string
		args []string
		want verdict
	}{
		{"root", ask, m.want(c.works)},
		{"another user", append([]string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"}, ask...), m.want(c.without)},
	} {
		r := m.cluster.enter(t, c.from, tt.args...)
		got := verdict(fmt.Sprintf("exit code %d: %s", r.code, r.all()))
		switch {
		case r.code == 0 && strings.Contains(r.stdout, "Server:"):
			got = answered
		case strings.Contains(r.stderr, "permission denied"):
			got = byFileMode
		}
		if got != tt.want {
			t.Errorf("%s: %s asks for the version: %s, want %s", c.name, tt.who, got, tt.want)
		}
	}
}

// TestMatrix: on the hardened cluster every channel works with its certificate and with
// nothing else, and no port answers strangers but where docs/channels.md says so.
func TestMatrix(t *testing.T) {
	m := startMatrix(t, &cluster{name: "e2e-matrix", profile: "hardened", nodes: 2}, 3)
	t.Run("channels", m.try)
	t.Run("through the API", m.through)
	t.Run("impostor", m.impostor)
	t.Run("ports", m.ports)
}

// TestMatrixWeak: the same matrix on the weak cluster finds open what its profile opens,
// so that the matrix can fail.
func TestMatrixWeak(t *testing.T) {
	m := startMatrix(t, &cluster{name: "e2e-matrix-weak", profile: "weak", nodes: 1}, 1)
	t.Run("channels", m.try)
	t.Run("through the API", m.through)
	t.Run("impostor", m.impostor)
	t.Run("ports", m.ports)
}

// through: exec and logs go from the administrator through the apiserver to a kubelet.
func (m *matrix) through(t *testing.T) {
	pods := []string{"here", "there"}[:m.cluster.nodes]
	for _, pod := range pods {
		eventually(t, 20*time.Second, func() string {
			if out := m.cluster.kubectl(t, "-n", "matrix", "exec", pod, "--", "/probe", "id"); out.code != 0 || out.stdout == "" {
				return "exec in " + pod + ": " + out.all()
			}
			if out := m.cluster.kubectl(t, "-n", "matrix", "logs", pod); out.code != 0 {
				return "logs of " + pod + ": " + out.all()
			}
			return ""
		})
	}
}

// matrixObjects are a pod on each node with a secret and a config map of its own.
var matrixObjects = func() string {
	docs := []string{`{apiVersion: v1, kind: Namespace, metadata: {name: matrix}}`}
	for pod, node := range map[string]string{"here": "node-1", "there": "node-2"} {
		docs = append(docs, fmt.Sprintf(`{apiVersion: v1, kind: Secret, metadata: {name: of-%[1]s, namespace: matrix}, stringData: {k: v}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: of-%[1]s, namespace: matrix}, data: {k: v}}
---
`, pod)+strings.Replace(probe("matrix", pod, node, "serve", ":8080"), "  containers:\n", `  volumes:
  - {name: s, secret: {secretName: of-`+pod+`}}
  - {name: c, configMap: {name: of-`+pod+`}}
  containers:
`, 1))
	}
	return strings.Join(docs, "\n---\n")
}()
