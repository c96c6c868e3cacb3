//go:build e2e

package e2e

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// servingRequest is a manifest of what a kubelet asks for, or somebody who
// would like to be one.
func servingRequest(t *testing.T, name, node string, usages string, names []string, addresses ...string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.CertificateRequest{
		Subject:  pkix.Name{CommonName: "system:node:" + node, Organization: []string{"system:nodes"}},
		DNSNames: names,
	}
	for _, a := range addresses {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(a))
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, crypto.Signer(key))
	if err != nil {
		t.Fatal(err)
	}
	request := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	return fmt.Sprintf(`
apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata: {name: %s}
spec:
  signerName: kubernetes.io/kubelet-serving
  usages: [%s]
  request: %s
`, name, usages, base64.StdEncoding.EncodeToString(request))
}

// TestKubeletServingRequests: kubelets have serving certificates that they
// asked for through the API, and what is not a kubelet's own is denied with the
// reason.
func TestKubeletServingRequests(t *testing.T) {
	c := hardened.get(t)
	for _, node := range []string{"node-1", "node-2"} {
		r := c.enter(t, node, "cat", "/var/lib/kubelet/pki/kubelet-server-current.pem")
		block, _ := pem.Decode([]byte(r.stdout))
		if block == nil {
			t.Fatalf("%s has no serving certificate: %s", node, r.all())
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if cert.Issuer.CommonName != "kubernetes" || cert.Subject.CommonName != "system:node:"+node {
			t.Errorf("%s: certificate of %s by %s", node, cert.Subject.CommonName, cert.Issuer.CommonName)
		}
	}
	const own = `"digital signature", "server auth"`
	for _, tt := range []struct{ name, as, node, usages, san, ip, reason string }{
		{"honest", "node-1", "node-1", own, "node-1", "10.200.0.101", ""},
		{"anothers-address", "node-1", "node-1", own, "node-1", "10.200.0.102", "IP address 10.200.0.102 is not among"},
		{"extra-name", "node-1", "node-1", own, "kubernetes.default.svc", "10.200.0.101", "DNS name"},
		{"client", "node-1", "node-1", `"digital signature", "client auth"`, "node-1", "10.200.0.101", "usages are"},
		{"person", "", "node-1", own, "node-1", "10.200.0.101", "requester is user"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name := "e2e-" + tt.name
			args := []string{"create", "-f", "-"}
			if tt.as != "" {
				args = append(args, "--as=system:node:"+tt.as, "--as-group=system:nodes", "--as-group=system:authenticated")
			}
			c.apply(t, servingRequest(t, name, tt.node, tt.usages, []string{tt.san}, tt.ip), args...)
			t.Cleanup(func() {
				c.kubectl(t, "delete", "csr", name)
			})
			var csr struct {
				Status struct {
					Certificate []byte
					Conditions  []struct{ Type, Message string }
				}
			}
			eventually(t, 20*time.Second, func() string {
				out := c.must(t, "get", "csr", name, "-o", "json")
				if err := json.Unmarshal([]byte(out), &csr); err != nil {
					t.Fatal(err)
				}
				if len(csr.Status.Conditions) == 0 || tt.reason == "" && len(csr.Status.Certificate) == 0 {
					return "no verdict: " + out
				}
				return ""
			})
			condition, want := csr.Status.Conditions[0], "Approved"
			if tt.reason != "" {
				want = "Denied"
			}
			if condition.Type != want || !strings.Contains(condition.Message, tt.reason) {
				t.Errorf("%s: %s, want %s: %s", condition.Type, condition.Message, want, tt.reason)
			}
			if tt.reason != "" && len(csr.Status.Certificate) > 0 {
				t.Error("a certificate was issued")
			}
		})
	}
	// As another node, a node does not even get so far.
	forged := servingRequest(t, "e2e-another-node", "node-2", own, []string{"node-2"}, "10.200.0.102")
	if r := c.kubectlWith(t, forged, "create", "-f", "-", "--as=system:node:node-1", "--as-group=system:nodes", "--as-group=system:authenticated"); r.code == 0 {
		t.Error("node-1 could ask for a certificate of node-2")
	}
	// What the judge may do ends here.
	client := strings.ReplaceAll(servingRequest(t, "e2e-client-request", "x", `"client auth"`, nil), "kubelet-serving", "kube-apiserver-client")
	c.apply(t, client, "create", "-f", "-")
	if r := c.kubectl(t, "certificate", "approve", "e2e-client-request", "--as=bulwark:kubelet-serving-approver"); r.code == 0 {
		t.Error("the approver could approve for another signer")
	}
	c.must(t, "delete", "csr", "e2e-client-request")
	may := func(want bool, args ...string) {
		t.Helper()
		r := c.kubectl(t, append([]string{"auth", "can-i", "--as=bulwark:kubelet-serving-approver"}, args...)...)
		if got := r.code == 0; got != want {
			t.Errorf("the approver may %v: %t, want %t", args, got, want)
		}
	}
	may(true, "update", "certificatesigningrequests", "--subresource=approval")
	may(true, "get", "nodes")
	may(false, "create", "certificatesigningrequests")
	may(false, "update", "certificatesigningrequests", "--subresource=status")
	may(false, "list", "nodes")
	may(false, "get", "secrets")
}

// encryption runs `pki encryption` on a cluster of the lab.
func encryption(t *testing.T, cluster, verb string, args ...string) result {
	t.Helper()
	return bulwark(t, append([]string{"pki", "encryption", verb, "--lab", cluster, "--state-dir", stateDir}, args...)...)
}

// tallies is what `pki encryption status` counts: resource, key or "identity", objects.
func tallies(t *testing.T, cluster string) map[string]map[string]int {
	t.Helper()
	r := encryption(t, cluster, "status", "-o", "json")
	var out struct {
		Resources []struct {
			Resource string
			Counts   []struct {
				Provider, Key string
				Objects       int
			}
		}
	}
	if err := json.Unmarshal([]byte(r.stdout), &out); err != nil {
		t.Fatalf("status: %v\n%s", err, r.all())
	}
	all := map[string]map[string]int{}
	for _, resource := range out.Resources {
		all[resource.Resource] = map[string]int{}
		for _, c := range resource.Counts {
			key := c.Key
			if c.Provider == "identity" {
				key = c.Provider
			}
			all[resource.Resource][key] += c.Objects
		}
	}
	return all
}

// onlyKey is the one key that all counted objects are under.
func onlyKey(t *testing.T, cluster string) string {
	t.Helper()
	found := ""
	for resource, counts := range tallies(t, cluster) {
		for key := range counts {
			if found != "" && key != found {
				t.Errorf("%s: %s under %s, and others under %s", cluster, resource, key, found)
			}
			found = key
		}
	}
	return found
}

// A load is somebody who works with secrets all the while.
type load struct {
	stop     context.CancelFunc
	done     sync.WaitGroup
	mu       sync.Mutex
	requests int
	failures []error
}

func startLoad(t *testing.T, kubeconfig, namespace string) *load {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS, config.Burst = 1000, 1000
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{stop: cancel}
	secrets := client.CoreV1().Secrets(namespace)
	count := func(err error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.requests++; err != nil && ctx.Err() == nil {
			l.failures = append(l.failures, err)
		}
	}
	for worker := range 2 {
		l.done.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				name, value := fmt.Sprintf("load-%d-%d", worker, n), fmt.Sprint(n)
				s, err := secrets.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string][]byte{"k": []byte("0")}}, metav1.CreateOptions{})
				count(err)
				if err != nil {
					continue
				}
				s.Data["k"] = []byte(value)
				_, err = secrets.Update(ctx, s, metav1.UpdateOptions{})
				// The rotation rewrites it too: whoever updates reads again then.
				for tries := 0; err != nil && tries < 5; tries++ {
					if s, err = secrets.Get(ctx, name, metav1.GetOptions{}); err == nil {
						s.Data["k"] = []byte(value)
						_, err = secrets.Update(ctx, s, metav1.UpdateOptions{})
					}
				}
				count(err)
				got, err := secrets.Get(ctx, name, metav1.GetOptions{})
				if err == nil && string(got.Data["k"]) != value {
					err = fmt.Errorf("secret %s is %q, want %q", name, got.Data["k"], value)
				}
				count(err)
				_, err = secrets.List(ctx, metav1.ListOptions{Limit: 50})
				count(err)
				if n%4 != 0 {
					count(secrets.Delete(ctx, name, metav1.DeleteOptions{}))
				}
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
	return l
}

// end stops the load and reports what went wrong.
func (l *load) end(t *testing.T) {
	t.Helper()
	l.stop()
	l.done.Wait()
	for i, err := range l.failures {
		if i == 5 {
			break
		}
		t.Errorf("under load: %v", err)
	}
	t.Logf("%d requests under load, %d failures", l.requests, len(l.failures))
}

// TestEncryptionRotation: the key is changed under load, and the process that
// does it is killed at every boundary and in the middle; nothing is lost, and
// the old key is gone.
func TestEncryptionRotation(t *testing.T) {
	t.Parallel()
	c := hardened.get(t)
	const ns = "e2e-rotation"
	c.namespace(t, ns)
	var list strings.Builder
	for i := range 200 {
		fmt.Fprintf(&list, "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s%03d, namespace: %s}\nstringData: {k: value-%d}\n", i, ns, i*i)
	}
	c.apply(t, list.String(), "create", "-f", "-")
	values := func() string {
		return c.must(t, "-n", ns, "get", "secrets", "-l", "!load", "-o", `jsonpath={range .items[?(@.data.k)]}{.metadata.name}={.data.k}{"\n"}{end}`)
	}
	ours := func() []string {
		return slices.DeleteFunc(strings.Split(values(), "\n"), func(line string) bool { return strings.HasPrefix(line, "load-") })
	}
	before, old := ours(), onlyKey(t, c.name)
	if len(before) != 200 {
		t.Fatalf("%d secrets, want 200", len(before))
	}
	l := startLoad(t, c.kubeconfig, ns)
	killed := func(after time.Duration) {
		ctx, cancel := context.WithTimeout(t.Context(), after)
		defer cancel()
		command(ctx, "", nil, filepath.Join(bin, "bulwark"), "pki", "encryption", "rotate", "--lab", c.name, "--state-dir", stateDir)
	}
	for _, place := range []string{
		"planned", "put", "unrecorded added", "added",
		"put", "unrecorded switched", "switched",
		"rewrote secrets", "unrecorded rewritten", "rewritten",
		"put", "unrecorded retired", "retired",
	} {
		// Anywhere, before the place that is meant.
		if place == "unrecorded added" || place == "rewrote secrets" {
			for _, after := range []time.Duration{300 * time.Millisecond, 500 * time.Millisecond, 900 * time.Millisecond} {
				killed(after)
			}
		}
		r := encryption(t, c.name, "rotate", "--die-at", place)
		if place == "rewrote secrets" && r.code == 0 {
			t.Fatal("one of the killed runs had come to the end")
		}
		if r.code != -1 {
			t.Fatalf("%s: exit code %d, want a killed process\n%s", place, r.code, r.all())
		}
	}
	l.end(t)
	now := onlyKey(t, c.name)
	if now == old || !strings.HasPrefix(now, "key-") {
		t.Errorf("objects are under %s, and were under %s", now, old)
	}
	if after := ours(); !slices.Equal(before, after) {
		t.Errorf("the secrets have changed: %d before, %d after", len(before), len(after))
	}
	file := c.enter(t, "control-plane-1", "cat", "/etc/kubernetes/encryption.yaml").stdout
	if strings.Contains(file, "name: "+old+"\n") || !strings.Contains(file, "name: "+now+"\n") {
		t.Error("the apiserver's configuration still has the old key, or lacks the new one")
	}
	record, err := os.ReadFile(filepath.Join(stateDir, c.name, "encryption-rotation.json"))
	if err != nil || strings.Contains(string(record), "secret:") {
		t.Errorf("the record: %v, with a key in it: %t", err, strings.Contains(string(record), "secret:"))
	}
	// A new apiserver reads with what is left.
	c.enter(t, "control-plane-1", "pkill", "-x", "kube-apiserver")
	eventually(t, 60*time.Second, func() string {
		if r := c.kubectl(t, "-n", ns, "get", "secret", "s014", "-o", "jsonpath={.data.k}"); r.stdout != base64.StdEncoding.EncodeToString([]byte("value-196")) {
			return "after a restart: " + r.all()
		}
		return ""
	})
}

// TestEncryptionStatusOfWeak: where nothing is encrypted, status says so, and
// there is no key to change.
func TestEncryptionStatusOfWeak(t *testing.T) {
	c := weak.get(t)
	c.namespace(t, "e2e-plain")
	c.must(t, "-n", "e2e-plain", "create", "secret", "generic", "s", "--from-literal=k=v")
	for resource, counts := range tallies(t, c.name) {
		if len(counts) != 1 || counts["identity"] == 0 {
			t.Errorf("%s: %v, want all plain", resource, counts)
		}
	}
	if r := encryption(t, c.name, "rotate"); r.code != 1 || !strings.Contains(r.stderr, "does not encrypt") {
		t.Errorf("rotate: exit code %d\n%s", r.code, r.all())
	}
}

// etcdctl speaks to etcd with one of a control plane's client certificates.
func etcdctl(t *testing.T, c *cluster, identity string, args ...string) result {
	t.Helper()
	const pki = "/etc/kubernetes/pki/"
	return c.enter(t, "control-plane-1", append([]string{
		"etcdctl", "--endpoints=https://127.0.0.1:2379", "--cacert=" + pki + "etcd/ca.crt",
		"--cert=" + pki + identity + ".crt", "--key=" + pki + identity + ".key",
	}, args...)...)
}

// TestEtcdAccess: each identity has its own keys, and is refused everything
// else; also after etcd was started anew.
func TestEtcdAccess(t *testing.T) {
	c := hardened.get(t)
	const apiserver, flannel, health, root = "apiserver-etcd-client", "etcd/flannel-client", "etcd/healthcheck-client", "etcd/root-client"
	check := func() {
		t.Helper()
		for _, tt := range []struct {
			identity, command string
			allowed           bool
		}{
			{apiserver, "get /registry/namespaces/ --prefix --keys-only", true},
			{apiserver, "put /registry/e2e x", true},
			{apiserver, "del /registry/e2e", true},
			{apiserver, "get compact_rev_key", true},
			{apiserver, "put compact_rev_key 1", false},
			{apiserver, "get / --prefix --keys-only", false},
			{apiserver, "get /coreos.com/network/ --prefix", false},
			{apiserver, "put /coreos.com/network/config x", false},
			{apiserver, "put /registryx x", false},
			{apiserver, "user add mallory --no-password", false},
			{apiserver, "auth disable", false},
			{apiserver, "snapshot save /tmp/e2e.db", false},
			{apiserver, "compaction 1", false},
			{flannel, "put /coreos.com/network/config x", true},
			{flannel, "get /coreos.com/network/ --prefix", true},
			{flannel, "get /registry/secrets/ --prefix --keys-only", false},
			{flannel, "put /registry/clusterrolebindings/e2e x", false},
			{flannel, "del /registry/ --prefix", false},
			{flannel, "snapshot save /tmp/e2e.db", false},
			{health, "endpoint health", true},
			{health, "get /registry/ --prefix --keys-only", false},
			{health, "put /registry/e2e x", false},
			{"etcd/server", "get /registry/ --prefix --keys-only", false}, // a member's own, and no user
			{"etcd/peer", "put /registry/e2e x", false},
			{root, "get / --prefix --keys-only --limit 1", true},
			{root, "user list", true},
		} {
			r := etcdctl(t, c, tt.identity, strings.Fields(tt.command)...)
			if allowed := r.code == 0; allowed != tt.allowed {
				t.Errorf("%s: %s: allowed: %t, want %t\n%s", tt.identity, tt.command, allowed, tt.allowed, r.all())
			} else if !allowed && !strings.Contains(r.all(), "permission denied") && !strings.Contains(r.all(), "PermissionDenied") {
				t.Errorf("%s: %s: refused for another reason: %s", tt.identity, tt.command, r.all())
			}
		}
	}
	check()
	c.enter(t, "control-plane-1", "pkill", "-x", "etcd")
	eventually(t, 60*time.Second, func() string {
		if r := c.kubectl(t, "get", "--raw", "/readyz/etcd"); r.code != 0 {
			return r.all()
		}
		if r := etcdctl(t, c, health, "endpoint", "health"); r.code != 0 {
			return r.all()
		}
		return ""
	})
	check()
	if r := c.enter(t, "control-plane-1", "grep", "-c", "permission denied", "/var/log/kubernetes/kube-apiserver.log"); r.code == 0 {
		t.Errorf("the apiserver was refused something %s times", strings.TrimSpace(r.stdout))
	}
}
