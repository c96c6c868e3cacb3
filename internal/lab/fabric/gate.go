package fabric

import (
	"context"
	"net"
	"sync"
	"time"
)

const (
	// maxAbsence is how long a client waits for the only backend, if that is
	// being restarted on purpose.
	maxAbsence = 25 * time.Second
	retryEvery = 50 * time.Millisecond
	// burst is how closely the bytes of one request follow each other, on a
	// busy machine: what comes so soon after the last is let through even when
	// held, or a server that finishes what it has begun would wait for the rest
	// of it. A connection that never pauses for so long is held in the first
	// shorter one, once the hold has lasted for busy.
	burst    = 40 * time.Millisecond
	shortest = 4 * time.Millisecond
	busy     = time.Second
	// quiet is how long no byte may have been let through for a backend to
	// count as having received nothing more.
	quiet = 60 * time.Millisecond
)

// gates are what is closed on purpose, by backend.
type gates struct {
	mu      sync.Mutex
	drained map[string]int
	held    map[string]int
	since   map[string]time.Time // when each was held
	opened  chan struct{}        // closed and replaced whenever something is released
	open    map[*crossing]struct{}
}

// crossing is one connection that is being carried.
type crossing struct {
	gates   *gates
	backend string
	last    time.Time // of the last byte let through to the backend
	ended   context.Context
	end     context.CancelFunc
}

// Drain sends new connections elsewhere until release is called. Those that
// stand are left alone.
func (b *Balancer) Drain(backend string) (release func()) {
	return b.gates.close(&b.gates.drained, backend)
}

// Hold stops carrying what clients send to a backend, and returns when it has
// received nothing for a moment or ctx is done. Answers go on. A server that is
// now told to stop has nothing on its way to it: in HTTP/2 it names the last
// request that it has taken, and clients send what was held to another server
// by themselves.
func (b *Balancer) Hold(ctx context.Context, backend string) (release func()) {
	release = b.gates.close(&b.gates.held, backend)
	b.gates.mu.Lock()
	if b.gates.since == nil {
		b.gates.since = map[string]time.Time{}
	}
	b.gates.since[backend] = time.Now()
	b.gates.mu.Unlock()
	for !b.gates.silent(backend) {
		select {
		case <-ctx.Done():
			return release
		case <-time.After(quiet / 4):
		}
	}
	return release
}

func (g *gates) close(which *map[string]int, backend string) func() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if *which == nil {
		*which = map[string]int{}
	}
	(*which)[backend]++
	return sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		(*which)[backend]--
		if g.opened != nil {
			close(g.opened)
			g.opened = nil
		}
	})
}

func (g *gates) isDrained(backend string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.drained[backend] > 0
}

func (g *gates) isHeld(backend string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.held[backend] > 0
}

func (g *gates) anyDrained() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, shut := range []map[string]int{g.drained, g.held} {
		for _, n := range shut {
			if n > 0 {
				return true
			}
		}
	}
	return false
}

func (g *gates) silent(backend string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.open {
		if c.backend == backend && time.Since(c.last) < quiet {
			return false
		}
	}
	return true
}

func (g *gates) enter(backend string) *crossing {
	c := &crossing{gates: g, backend: backend, last: time.Now()}
	c.ended, c.end = context.WithCancel(context.Background())
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open == nil {
		g.open = map[*crossing]struct{}{}
	}
	g.open[c] = struct{}{}
	return c
}

func (g *gates) leave(c *crossing) {
	c.end()
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.open, c)
}

// pass waits until the backend may be written to. It returns false if the
// connection has ended meanwhile.
func (c *crossing) pass() bool {
	for {
		c.gates.mu.Lock()
		pause := burst
		if time.Since(c.gates.since[c.backend]) > busy {
			pause = shortest
		}
		if c.gates.held[c.backend] == 0 || time.Since(c.last) < pause {
			c.last = time.Now()
			c.gates.mu.Unlock()
			return true
		}
		if c.gates.opened == nil {
			c.gates.opened = make(chan struct{})
		}
		opened := c.gates.opened
		c.gates.mu.Unlock()
		select {
		case <-opened:
		case <-c.ended.Done():
			return false
		}
	}
}

// held is a backend's connection behind the gate.
type held struct {
	net.Conn
	crossing *crossing
}

func (h held) Write(p []byte) (int, error) {
	if !h.crossing.pass() {
		return 0, net.ErrClosed
	}
	return h.Conn.Write(p)
}

// CloseWrite passes the client's end on, behind what is held.
func (h held) CloseWrite() error {
	if !h.crossing.pass() {
		return net.ErrClosed
	}
	if half, ok := h.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return h.Close()
}
