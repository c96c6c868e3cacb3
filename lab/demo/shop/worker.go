package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"
)

// worker fetches orders and ships them.
type worker struct {
	client  *client
	cartURL string
	shipped atomic.Int64
	errors  atomic.Int64
}

// runWorker takes CART_URL and POLL ("500ms").
func runWorker(ctx context.Context, s settings, _ []string) error {
	poll, err := s.duration("POLL", 500*time.Millisecond)
	if err != nil {
		return err
	}
	w := &worker{client: newClient(), cartURL: s.text("CART_URL", "http://cart.shop.svc.cluster.local")}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", w.metrics)
	srv, err := newServer(s, mux)
	if err != nil {
		return err
	}
	go every(ctx, poll, w.work)
	return srv.run(ctx)
}

// work ships until there is nothing left to fetch.
func (w *worker) work(ctx context.Context) {
	for ctx.Err() == nil {
		var orders []order
		err := w.client.post(ctx, w.cartURL+"/queue/next", struct{}{}, &orders)
		if err != nil && ctx.Err() == nil {
			w.errors.Add(1)
			slog.Error("fetching an order", "err", err)
		}
		if len(orders) == 0 {
			return
		}
		for _, o := range orders {
			w.shipped.Add(1)
			slog.Info("shipped", "order", o.ID, "item", o.Item, "quantity", o.Quantity)
		}
	}
}

func (w *worker) metrics(rw http.ResponseWriter, _ *http.Request) {
	fmt.Fprintf(rw, "shipped_total %d\nerrors_total %d\n", w.shipped.Load(), w.errors.Load())
}

// every calls f now and then once per interval until the context ends.
func every(ctx context.Context, interval time.Duration, f func(context.Context)) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		f(ctx)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}
