package probe

import (
	"context"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var dial = new(net.Dialer).DialContext

func TestWhatAProbeSays(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/sick", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "[+]ping ok\n[-]etcd failed: reason withheld\nreadyz check failed", http.StatusInternalServerError)
	})
	server := httptest.NewTLSServer(mux)
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.crt")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	closed, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for name, tc := range map[string]struct {
		probe Probe
		want  string // part of the error; empty: it holds
	}{
		"well":                   {Probe{URL: server.URL + "/ok", CA: ca}, ""},
		"well, unverified":       {Probe{URL: server.URL + "/ok", SkipVerify: true}, ""},
		"an unknown authority":   {Probe{URL: server.URL + "/ok"}, "certificate signed by unknown authority"},
		"sick":                   {Probe{URL: server.URL + "/sick", CA: ca}, "/sick answers 500: etcd failed: reason withheld"},
		"nobody":                 {Probe{URL: "http://" + closed.Addr().String()}, "connection refused"},
		"no authority file":      {Probe{URL: server.URL, CA: "/no/such"}, "reading the authority"},
		"no client certificate":  {Probe{URL: server.URL, CA: ca, Cert: "/no/such"}, "reading the client certificate"},
		"no kubeconfig":          {Probe{URL: server.URL, Kubeconfig: "/no/such"}, "reading /no/such"},
		"a socket without owner": {Probe{URL: "unix:///no/such"}, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			err := tc.probe.Check(t.Context(), dial)
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("got %v", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if (Probe{URL: server.URL + "/ok", CA: ca}).Check(ctx, dial) == nil {
		t.Error("it held although nobody could ask")
	}
}

func TestAPlainSocketHolds(t *testing.T) {
	file := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", file)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := (Probe{URL: "unix://" + file}).Check(t.Context(), dial); err != nil {
		t.Error(err)
	}
}
