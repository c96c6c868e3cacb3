package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount"

// runAdmin watches over the pods of its own namespace, which is all it does
// with the API. It takes KUBERNETES_SERVICE_HOST and _PORT; without a token, or
// if it may not list pods, it says so and keeps running.
func runAdmin(ctx context.Context, s settings, _ []string) error {
	var pods, denied atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "pods %d\ndenied_total %d\n", pods.Load(), denied.Load())
	})
	srv, err := newServer(s, mux)
	if err != nil {
		return err
	}
	go every(ctx, 15*time.Second, func(ctx context.Context) {
		n, err := countPods(ctx, s)
		if err != nil {
			denied.Add(1)
			slog.Warn("listing pods", "err", err)
			return
		}
		pods.Store(int64(n))
	})
	return srv.run(ctx)
}

func countPods(ctx context.Context, s settings) (int, error) {
	read := func(name string) (string, error) {
		data, err := os.ReadFile(filepath.Join(serviceAccount, name))
		return strings.TrimSpace(string(data)), err
	}
	token, err := read("token")
	if err != nil {
		return 0, err
	}
	namespace, err := read("namespace")
	if err != nil {
		return 0, err
	}
	ca, err := read("ca.crt")
	if err != nil {
		return 0, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(ca))
	c := newClient()
	c.token = token
	c.http.Transport = &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}
	var list struct {
		Items []struct{} `json:"items"`
	}
	url := fmt.Sprintf("https://%s:%s/api/v1/namespaces/%s/pods",
		s.text("KUBERNETES_SERVICE_HOST", "kubernetes.default.svc"), s.text("KUBERNETES_SERVICE_PORT", "443"), namespace)
	if err := c.get(ctx, url, &list); err != nil {
		return 0, err
	}
	return len(list.Items), nil
}

// runAgent reports what it can see of the node. It takes HOST_ROOT ("/host") and
// RUNTIME_SOCKET; seeing nothing is fine.
func runAgent(ctx context.Context, s settings, _ []string) error {
	root := s.text("HOST_ROOT", "/host")
	socket := s.text("RUNTIME_SOCKET", "/run/containerd/containerd.sock")
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		_, hostErr := os.Stat(filepath.Join(root, "etc"))
		_, socketErr := os.Stat(socket)
		fmt.Fprintf(w, "processes %d\nhost_visible %t\nsocket_visible %t\n", processes("/proc"), hostErr == nil, socketErr == nil)
	})
	srv, err := newServer(s, mux)
	if err != nil {
		return err
	}
	return srv.run(ctx)
}

func processes(proc string) int {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return 0
	}
	n := 0
	for _, entry := range entries {
		if _, err := strconv.Atoi(entry.Name()); err == nil {
			n++
		}
	}
	return n
}
