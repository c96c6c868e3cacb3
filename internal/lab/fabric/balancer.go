package fabric

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Dial opens a connection to an address; net.Dialer.DialContext is one, and so
// is Namespace.Dial.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Balancer carries TCP connections to one of several backends. It looks at no
// byte of them: TLS is between client and backend.
type Balancer struct {
	Dial Dial
	// Backends are addresses, tried in turn from a new one each time.
	Backends []string
	// Healthy asks one backend. Nil means that whoever accepts is healthy.
	Healthy func(ctx context.Context, backend string) error
	Log     *slog.Logger

	next atomic.Uint64
	sick sync.Map // backend -> struct{}, as of the last question

	gates gates
}

const (
	dialTimeout = 2 * time.Second
	askEvery    = time.Second
)

// Watch asks the backends until ctx is done. New connections then avoid those
// that do not hold; those that stand are left alone, since a server that is
// going away finishes what it has begun.
func (b *Balancer) Watch(ctx context.Context) {
	if b.Healthy == nil || len(b.Backends) < 2 {
		return
	}
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		var wg sync.WaitGroup
		for _, backend := range b.Backends {
			wg.Go(func() {
				if err := b.Healthy(ctx, backend); err != nil {
					if _, was := b.sick.Swap(backend, struct{}{}); !was {
						b.Log.Info("backend is not ready", "backend", backend, "error", err)
					}
				} else if _, was := b.sick.LoadAndDelete(backend); was {
					b.Log.Info("backend is ready again", "backend", backend)
				}
			})
		}
		wg.Wait()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Serve accepts until the listener is closed.
func (b *Balancer) Serve(ctx context.Context, l net.Listener) error {
	for {
		client, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			// Out of descriptors, most likely: others will be freed.
			b.Log.Warn("accepting", "error", err)
			time.Sleep(50 * time.Millisecond)
			continue
		}
		go b.carry(ctx, client)
	}
}

func (b *Balancer) carry(ctx context.Context, client net.Conn) {
	defer client.Close()
	backend, name, err := b.connect(ctx)
	if err != nil {
		b.Log.Debug("no backend", "error", err)
		return
	}
	defer backend.Close()
	c := b.gates.enter(name)
	defer b.gates.leave(c)
	done := make(chan struct{})
	go func() {
		defer close(done)
		pour(held{backend, c}, client)
	}()
	pour(client, backend)
	// Whoever is still held waits for a backend that has gone.
	c.end()
	<-done
}

// connect tries the healthy backends first, then the others: a backend that
// was just found sick may have come back, and refusing is certain not to help.
// While a backend is being restarted on purpose and no other answers, the
// client waits: there is one control plane, and it comes back.
func (b *Balancer) connect(ctx context.Context) (net.Conn, string, error) {
	patience := time.Now().Add(maxAbsence)
	for {
		conn, name, err := b.tryAll(ctx)
		if err == nil || !b.gates.anyDrained() || time.Now().After(patience) {
			return conn, name, err
		}
		select {
		case <-ctx.Done():
			return nil, "", ctx.Err()
		case <-time.After(retryEvery):
		}
	}
}

func (b *Balancer) tryAll(ctx context.Context) (net.Conn, string, error) {
	first := b.next.Add(1)
	var errs []error
	for _, want := range []bool{false, true} {
		for i := range b.Backends {
			backend := b.Backends[(first+uint64(i))%uint64(len(b.Backends))]
			_, sick := b.sick.Load(backend)
			drained := b.gates.isDrained(backend)
			// One that is left on purpose is not even a last resort, as long
			// as there are others.
			if (sick || drained) != want || drained && len(b.Backends) > 1 || b.gates.isHeld(backend) {
				continue
			}
			ctx, cancel := context.WithTimeout(ctx, dialTimeout)
			conn, err := b.Dial(ctx, "tcp", backend)
			cancel()
			if err == nil {
				return conn, backend, nil
			}
			errs = append(errs, err)
		}
	}
	if len(errs) == 0 {
		errs = append(errs, errors.New("every backend is being restarted"))
	}
	return nil, "", errors.Join(errs...)
}

// pour copies until one side ends, and passes the end on: half-closing lets a
// client finish its request and still read the answer.
func pour(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if err != nil {
		// The connection is broken, not ended: waking the other direction is
		// all that is left.
		to.Close()
		from.Close()
		return
	}
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
		return
	}
	to.Close()
}
