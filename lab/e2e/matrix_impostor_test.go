//go:build e2e

package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// impostor: a server that says it is a kubelet, with a certificate of an authority that
// only has the right name, gets no request from the apiserver of the hardened cluster.
// The weak one's sends it what was meant for a kubelet.
func (m *matrix) impostor(t *testing.T) {
	place := m.machine("balancer")
	authority, key, err := anotherAuthority(pkix.Name{CommonName: "kubernetes"})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := issue(authority, key, &x509.Certificate{
		Subject:     pkix.Name{CommonName: "system:node:impostor", Organization: []string{"system:nodes"}},
		IPAddresses: []net.IP{net.ParseIP(place.ip)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		t.Fatal(err)
	}
	var listening net.Listener
	runtime.LockOSThread()
	err = inNetwork(place.net, func() (err error) {
		listening, err = net.Listen("tcp", place.ip+":0")
		return err
	})
	if err != nil {
		t.Fatal(err) // and the thread, wherever it is, goes with the test
	}
	runtime.UnlockOSThread()
	const answer = "answered by the impostor"
	var asked atomic.Int32
	server := &http.Server{
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{*pair}, ClientAuth: tls.RequestClientCert},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			fmt.Fprint(w, answer)
		}),
		ReadHeaderTimeout: 5 * time.Second,
	}
	go func() { _ = server.ServeTLS(listening, "", "") }()
	t.Cleanup(func() { server.Close() })

	c := m.cluster
	c.apply(t, `{apiVersion: v1, kind: Node, metadata: {name: impostor}}`, "apply", "-f", "-")
	defer c.kubectl(t, "delete", "node", "impostor")
	port := listening.Addr().(*net.TCPAddr).Port
	c.must(t, "patch", "node", "impostor", "--subresource=status", "--type=merge", "-p",
		fmt.Sprintf(`{"status": {"addresses": [{"type": "InternalIP", "address": %q}], "daemonEndpoints": {"kubeletEndpoint": {"Port": %d}}}}`, place.ip, port))
	r := c.kubectl(t, "get", "--raw", "/api/v1/nodes/impostor/proxy/pods")
	switch {
	case m.weak && (asked.Load() == 0 || r.stdout != answer):
		t.Errorf("the weak apiserver does not talk to a kubelet whose certificate is another authority's: %s", r.all())
	case !m.weak && asked.Load() > 0:
		t.Errorf("the apiserver talks to a kubelet whose certificate is another authority's: %s", r.all())
	case !m.weak && !strings.Contains(r.stderr, "x509"):
		t.Errorf("the apiserver does not say that it cannot verify the impostor: %s", r.all())
	}
}
