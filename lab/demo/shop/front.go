package main

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"

	"golang.org/x/text/language"
)

// greetings are what the front says; the first is for whoever speaks none of them.
var (
	greetings = []string{"the shop is open: POST /purchases", "der Laden ist offen: POST /purchases", "la boutique est ouverte : POST /purchases"}
	languages = language.NewMatcher([]language.Tag{language.English, language.German, language.French})
)

// purchase is what a customer asks for.
type purchase struct {
	Item     string `json:"item"`
	Quantity int    `json:"quantity"`
}

// receipt is what a customer gets.
type receipt struct {
	Order     string `json:"order"`
	Cents     int    `json:"cents"`
	Signature string `json:"signature"`
}

// front is the part that customers see.
type front struct {
	client              *client
	cartURL, paymentURL string
	sold                atomic.Int64
}

// runFront takes CART_URL and PAYMENTS_URL.
func runFront(ctx context.Context, s settings, _ []string) error {
	f := &front{
		client:     newClient(),
		cartURL:    s.text("CART_URL", "http://cart.shop.svc.cluster.local"),
		paymentURL: s.text("PAYMENTS_URL", "http://payments.payments.svc.cluster.local"),
	}
	srv, err := newServer(s, f.routes())
	if err != nil {
		return err
	}
	return srv.run(ctx)
}

func (f *front) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /purchases", handle(f.buy))
	mux.HandleFunc("GET /stats", handle(f.stats))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		tags, _, _ := language.ParseAcceptLanguage(r.Header.Get("Accept-Language")) // none, if it is nonsense
		_, spoken, _ := languages.Match(tags...)
		fmt.Fprintln(w, greetings[spoken])
	})
	return mux
}

// buy places an order, then has it paid.
func (f *front) buy(ctx context.Context, p purchase) (receipt, error) {
	var placed order
	if err := f.client.post(ctx, f.cartURL+"/orders", p, &placed); err != nil {
		return receipt{}, fmt.Errorf("placing the order: %w", err)
	}
	var paid charge
	if err := f.client.post(ctx, f.paymentURL+"/charges", charge{Order: placed.ID, Cents: placed.Cents}, &paid); err != nil {
		return receipt{}, fmt.Errorf("charging order %s: %w", placed.ID, err)
	}
	f.sold.Add(1)
	return receipt{Order: placed.ID, Cents: placed.Cents, Signature: paid.Signature}, nil
}

func (f *front) stats(context.Context, struct{}) (map[string]int64, error) {
	return map[string]int64{"sold": f.sold.Load()}, nil
}
