package main

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"sync"
)

// order is a purchase with its price.
type order struct {
	ID       string `json:"id"`
	Item     string `json:"item"`
	Quantity int    `json:"quantity"`
	Cents    int    `json:"cents"`
}

// prices are in cents.
var prices = map[string]int{"tea": 450, "coffee": 790, "mug": 1200, "kettle": 3900}

const (
	maxQuantity = 100
	maxQueue    = 1000 // what is ordered beyond it pushes the oldest out
)

// cart prices orders and keeps them until the worker fetches them. The queue is
// the replica's own and ends with it.
type cart struct {
	mu    sync.Mutex
	queue []order
}

func runCart(ctx context.Context, s settings, _ []string) error {
	c := &cart{}
	srv, err := newServer(s, c.routes())
	if err != nil {
		return err
	}
	err = srv.run(ctx)
	if n := len(c.queue); n > 0 {
		slog.Warn("orders left in the queue", "orders", n)
	}
	return err
}

func (c *cart) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders", handle(c.place))
	mux.HandleFunc("POST /queue/next", handle(c.next))
	return mux
}

func (c *cart) place(_ context.Context, p purchase) (order, error) {
	price, ok := prices[p.Item]
	if !ok {
		return order{}, badRequest("item %q: not sold here", p.Item)
	}
	if p.Quantity < 1 || p.Quantity > maxQuantity {
		return order{}, badRequest("quantity is %d, want 1 to %d", p.Quantity, maxQuantity)
	}
	placed := order{ID: rand.Text(), Item: p.Item, Quantity: p.Quantity, Cents: price * p.Quantity}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = append(c.queue, placed)
	c.queue = c.queue[max(0, len(c.queue)-maxQueue):]
	return placed, nil
}

// next takes the oldest order from the queue; without one the list is empty.
func (c *cart) next(context.Context, struct{}) ([]order, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 {
		return []order{}, nil
	}
	oldest := c.queue[0]
	c.queue = c.queue[1:]
	return []order{oldest}, nil
}
