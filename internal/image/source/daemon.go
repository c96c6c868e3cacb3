package source

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

func openDocker(ctx context.Context, ref string, o Options) (*Source, error) {
	socket := o.DockerSocket
	if socket == "" {
		socket = "/var/run/docker.sock"
		if host := os.Getenv("DOCKER_HOST"); host != "" {
			path, ok := strings.CutPrefix(host, "unix://")
			if !ok {
				return nil, fmt.Errorf("DOCKER_HOST %s: want unix://…; of a daemon elsewhere, save the image there and scan the archive", host)
			}
			socket = path
		}
	}
	return openDaemon(ctx, Docker, socket, ref, o)
}

func openPodman(ctx context.Context, ref string, o Options) (*Source, error) {
	socket := o.PodmanSocket
	if socket == "" {
		socket = "/run/podman/podman.sock"
		if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
			if own := filepath.Join(dir, "podman/podman.sock"); exists(own) {
				socket = own
			}
		}
	}
	return openDaemon(ctx, Podman, socket, ref, o)
}

func exists(path string) bool {
	_, err := os.Stat(path) //nolint:gosec // G703: the user's own paths
	return err == nil
}

// openDaemon asks for the archive that docker save writes: podman's socket speaks the
// same language. The daemon is asked for nothing else.
func openDaemon(ctx context.Context, kind Kind, socket, ref string, o Options) (*Source, error) {
	var dialer net.Dialer
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "unix", socket)
	}}
	defer transport.CloseIdleConnections()
	// The host has no meaning on a socket. A slash in the name is one in the path:
	// neither daemon wants it escaped.
	u := url.URL{Scheme: "http", Host: "localhost", Path: "/images/" + ref + "/get"}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) {
			err = op
		}
		return nil, fmt.Errorf("%s socket %s: %w", kind, socket, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		var e struct{ Message string }
		if json.Unmarshal(said, &e) == nil && e.Message != "" {
			said = []byte(e.Message)
		}
		return nil, fmt.Errorf("%s: the %s daemon says %s: %s", ref, kind, resp.Status, strings.TrimSpace(string(said)))
	}
	f, err := spool(ctx, resp.Body, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	s, err := fromArchive(ctx, "", f, ref, "", o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	s.Kind = kind
	s.closers = append(s.closers, held(f.Name()))
	return s, nil
}
