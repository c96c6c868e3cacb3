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
	"path/filepath"
	"strings"
	"testing"
	"time"
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
				command(context.Background(), "", []string{"KUBECONFIG=" + c.kubeconfig}, filepath.Join(bin, "lab", "kubectl"), "delete", "csr", name)
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
