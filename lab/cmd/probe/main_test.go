package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// startServer runs probe serve and answers its address.
func startServer(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	read, write := io.Pipe()
	ended := make(chan error, 1)
	// TCP and UDP must get the same port, so it is chosen here.
	port := 20000 + os.Getpid()%10000
	go func() { ended <- run(ctx, []string{"serve", fmt.Sprintf("127.0.0.1:%d", port)}, write) }()
	var addr string
	if _, err := fmt.Fscanf(read, "listening on %s\n", &addr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return addr
}

func TestSubcommands(t *testing.T) {
	addr := startServer(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		args []string
		want string // in the output; empty: the command must fail
	}{
		{"get", []string{"get", "http://" + addr + "/x"}, "path /x"},
		{"get with the flag last", []string{"get", "http://" + addr, "--timeout", "1s"}, "200 OK"},
		{"get from nobody", []string{"get", "http://127.0.0.1:1"}, ""},
		{"dial", []string{"dial", addr}, "connected"},
		{"dial by UDP", []string{"dial", "--udp", addr}, "connected"},
		{"dial nobody by UDP", []string{"dial", "--udp", "--timeout=100ms", "127.0.0.1:1"}, ""},
		{"sweep", []string{"sweep", "--timeout=300ms", "TCP/" + addr + ",UDP/127.0.0.1:1,UDP/" + addr}, "yes TCP/" + addr + "\nno UDP/127.0.0.1:1\nyes UDP/" + addr},
		{"sweep of what is no target", []string{"sweep", addr}, ""},
		{"id", []string{"id"}, "CapEff"},
		{"cat", []string{"cat", file}, "content"},
		{"cat nothing", []string{"cat", file + "x"}, ""},
		{"two operands", []string{"dial", addr, addr}, ""},
		{"unknown flag", []string{"dial", "--fast", addr}, ""},
		{"unknown subcommand", []string{"ping"}, ""},
		{"nothing", nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			err := run(t.Context(), test.args, &out)
			if test.want == "" {
				if err == nil {
					t.Errorf("succeeds with %q", out.String())
				}
				return
			}
			if err != nil || !strings.Contains(out.String(), test.want) {
				t.Errorf("output is %q and error %v, want %q in it", out.String(), err, test.want)
			}
		})
	}
}

func TestSleep(t *testing.T) {
	start := time.Now()
	if err := run(t.Context(), []string{"sleep", "20ms"}, io.Discard); err != nil || time.Since(start) < 20*time.Millisecond {
		t.Errorf("slept %s with error %v", time.Since(start), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, []string{"sleep"}, io.Discard); err != nil {
		t.Errorf("a sleep that is ended: %v", err)
	}
}
