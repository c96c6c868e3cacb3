package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
)

// charge is a payment; payments adds the signature.
type charge struct {
	Order     string `json:"order"`
	Cents     int    `json:"cents"`
	Signature string `json:"signature,omitempty"`
}

// payments signs charges and has the store keep them.
type payments struct {
	client   *client
	storeURL string
	key      []byte
}

// runPayments takes STORE_URL and the secrets STORE_TOKEN and GATEWAY_PASSWORD.
func runPayments(ctx context.Context, s settings, _ []string) error {
	token, err := s.secret("STORE_TOKEN")
	if err != nil {
		return err
	}
	key, err := s.secret("GATEWAY_PASSWORD")
	if err != nil {
		return err
	}
	p := &payments{client: newClient(), storeURL: s.text("STORE_URL", "http://store.payments.svc.cluster.local"), key: []byte(key)}
	p.client.token = token
	srv, err := newServer(s, p.routes())
	if err != nil {
		return err
	}
	return srv.run(ctx)
}

func (p *payments) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /charges", handle(p.charge))
	return mux
}

func (p *payments) charge(ctx context.Context, c charge) (charge, error) {
	if c.Order == "" || c.Cents <= 0 {
		return charge{}, badRequest("order is %q and cents %d, want a name and more than 0", c.Order, c.Cents)
	}
	mac := hmac.New(sha256.New, p.key)
	fmt.Fprintf(mac, "%s %d", c.Order, c.Cents)
	c.Signature = hex.EncodeToString(mac.Sum(nil))
	if err := p.client.post(ctx, p.storeURL+"/entries", c, nil); err != nil {
		return charge{}, fmt.Errorf("storing the charge of order %s: %w", c.Order, err)
	}
	return c, nil
}
