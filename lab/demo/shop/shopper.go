package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// shopper buys without end and counts, so that whatever is done to the cluster
// meanwhile can be judged by it. It tries each purchase once.
type shopper struct {
	client   *client
	frontURL string

	mu        sync.Mutex
	purchases int
	failures  int
	lastError error
}

// runShopper takes FRONT_URL and INTERVAL ("200ms").
func runShopper(ctx context.Context, s settings, _ []string) error {
	interval, err := s.duration("INTERVAL", 200*time.Millisecond)
	if err != nil {
		return err
	}
	sh := &shopper{client: newClient(), frontURL: s.text("FRONT_URL", "http://front.shop.svc.cluster.local")}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", sh.metrics)
	srv, err := newServer(s, mux)
	if err != nil {
		return err
	}
	go func() {
		if sh.waitForOpening(ctx) {
			every(ctx, interval, sh.buy)
		}
	}()
	return srv.run(ctx)
}

// waitForOpening lets the shop come up; only what breaks afterwards counts. It
// answers false if the context ended first.
func (s *shopper) waitForOpening(ctx context.Context) bool {
	for ctx.Err() == nil {
		var r receipt
		if err := s.client.post(ctx, s.frontURL+"/purchases", purchase{Item: "tea", Quantity: 1}, &r); err == nil {
			slog.Info("the shop is open")
			return true
		}
		time.Sleep(500 * time.Millisecond)
	}
	return false
}

func (s *shopper) buy(ctx context.Context) {
	s.mu.Lock()
	items := slices.Sorted(maps.Keys(prices))
	p := purchase{Item: items[s.purchases%len(items)], Quantity: 1 + s.purchases%3}
	s.mu.Unlock()

	var r receipt
	err := s.client.post(ctx, s.frontURL+"/purchases", p, &r)
	if err == nil && r.Signature == "" {
		err = errors.New("the receipt is not signed")
	}
	if ctx.Err() != nil {
		return // we are being stopped, the shop is not to blame
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.purchases++
	if err != nil {
		s.failures++
		s.lastError = err
		slog.Error("purchase", "err", err)
	}
}

// metrics tells purchases tried, those that failed, and why the last one did.
func (s *shopper) metrics(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(w, "purchases_total %d\nfailures_total %d\n", s.purchases, s.failures)
	if s.lastError != nil {
		fmt.Fprintf(w, "last_error{message=%q} 1\n", s.lastError)
	}
}
