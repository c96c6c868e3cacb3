package fabric

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"
)

// backend is a server that answers what it got with its name, and counts.
type backend struct {
	listener net.Listener
	mu       sync.Mutex
	served   int
}

func newBackend(t *testing.T, name string) *backend {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	b := &backend{listener: l}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			b.mu.Lock()
			b.served++
			b.mu.Unlock()
			go func() {
				defer conn.Close()
				// The answer comes when the question has ended, so it only
				// arrives if ends are passed on one by one.
				question, err := io.ReadAll(conn)
				if err == nil {
					_, _ = io.WriteString(conn, name+":"+string(question))
				}
			}()
		}
	}()
	return b
}

func (b *backend) address() string { return b.listener.Addr().String() }

func (b *backend) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.served
}

func serve(t *testing.T, b *Balancer) string {
	t.Helper()
	b.Dial = new(net.Dialer).DialContext
	b.Log = slog.New(slog.DiscardHandler)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		if err := b.Serve(t.Context(), l); err != nil {
			t.Error(err)
		}
	}()
	return l.Addr().String()
}

func ask(t *testing.T, address, question string) (string, error) {
	t.Helper()
	conn, err := net.Dial("tcp4", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, question); err != nil {
		return "", err
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(conn)
	return string(answer), err
}

func TestConnectionsGoRound(t *testing.T) {
	one, two := newBackend(t, "one"), newBackend(t, "two")
	address := serve(t, &Balancer{Backends: []string{one.address(), two.address()}})
	for range 10 {
		if got, err := ask(t, address, "who"); err != nil || (got != "one:who" && got != "two:who") {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	if one.count() != 5 || two.count() != 5 {
		t.Errorf("served %d and %d, want 5 and 5", one.count(), two.count())
	}
}

func TestADeadBackendIsPassedOver(t *testing.T) {
	dead, alive := newBackend(t, "dead"), newBackend(t, "alive")
	dead.listener.Close()
	address := serve(t, &Balancer{Backends: []string{dead.address(), alive.address()}})
	for range 6 {
		if got, err := ask(t, address, "who"); err != nil || got != "alive:who" {
			t.Fatalf("got %q, %v", got, err)
		}
	}
}

func TestASickBackendIsTheLastResort(t *testing.T) {
	sick, well := newBackend(t, "sick"), newBackend(t, "well")
	b := &Balancer{Backends: []string{sick.address(), well.address()}}
	b.Healthy = func(_ context.Context, backend string) error {
		if backend == sick.address() {
			return errors.New("not ready")
		}
		return nil
	}
	address := serve(t, b)
	go b.Watch(t.Context())
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, known := b.sick.Load(sick.address()); known {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the sick one was never noticed")
		}
	}
	for range 6 {
		if got, err := ask(t, address, "who"); err != nil || got != "well:who" {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	well.listener.Close()
	if got, err := ask(t, address, "who"); err != nil || got != "sick:who" {
		t.Errorf("with no other: got %q, %v", got, err)
	}
}

func TestWithoutBackendsTheConnectionEnds(t *testing.T) {
	dead := newBackend(t, "dead")
	dead.listener.Close()
	address := serve(t, &Balancer{Backends: []string{dead.address()}})
	if got, _ := ask(t, address, "who"); got != "" {
		t.Errorf("got %q", got)
	}
}
