package fabric

import (
	"io"
	"log/slog"
	"net"
	"testing"
	"time"
)

// echo serves until its listener is closed.
func echo(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	t.Cleanup(func() { l.Close() })
	return l
}

// TestHold: what a client sends waits while its backend is held, and arrives
// when it is released; what the backend sends is not held.
func TestHold(t *testing.T) {
	backend := echo(t)
	b := &Balancer{Dial: new(net.Dialer).DialContext, Backends: []string{backend.Addr().String()}, Log: slog.New(slog.DiscardHandler)}
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { front.Close() })
	go func() { _ = b.Serve(t.Context(), front) }()
	conn, err := net.Dial("tcp", front.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ask := func(text string, within time.Duration) bool {
		if _, err := conn.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(within))
		_, err := io.ReadFull(conn, make([]byte, len(text)))
		return err == nil
	}
	if !ask("before", time.Second) {
		t.Fatal("nothing comes back")
	}
	release := b.Hold(t.Context(), backend.Addr().String())
	if ask("held", 200*time.Millisecond) {
		t.Error("it went through while held")
	}
	release()
	_ = conn.SetReadDeadline(time.Now().Add(time.Second))
	if _, err := io.ReadFull(conn, make([]byte, 4)); err != nil {
		t.Errorf("it did not arrive after the release: %v", err)
	}
}

// TestDrain: new connections go to the other backend, also if that is slow to
// come; and come back after the release.
func TestDrain(t *testing.T) {
	one, two := echo(t).Addr().String(), echo(t).Addr().String()
	b := &Balancer{Dial: new(net.Dialer).DialContext, Backends: []string{one, two}, Log: slog.New(slog.DiscardHandler)}
	chosen := func() map[string]int {
		n := map[string]int{}
		for range 10 {
			conn, name, err := b.connect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
			n[name]++
		}
		return n
	}
	release := b.Drain(one)
	if n := chosen(); n[one] != 0 {
		t.Errorf("%d connections went to the drained one", n[one])
	}
	release()
	if n := chosen(); n[one] == 0 {
		t.Error("none came back")
	}
}
