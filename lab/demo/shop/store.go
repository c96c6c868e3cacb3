package main

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
)

// store keeps the charges. It answers only those who know the token.
type store struct {
	token string

	mu      sync.Mutex
	out     io.Writer // one JSON line per charge; nil keeps the totals only
	entries int
	cents   int
}

// totals is what the store tells of its contents.
type totals struct {
	Entries int `json:"entries"`
	Cents   int `json:"cents"`
}

// runStore takes the secret STORE_TOKEN, and DATA_DIR for a ledger file.
func runStore(ctx context.Context, s settings, _ []string) error {
	token, err := s.secret("STORE_TOKEN")
	if err != nil {
		return err
	}
	st := &store{token: token}
	if dir := s.text("DATA_DIR", ""); dir != "" {
		ledger, err := os.OpenFile(filepath.Join(dir, "ledger.jsonl"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		defer ledger.Close()
		st.out = ledger
	}
	srv, err := newServer(s, st.routes())
	if err != nil {
		return err
	}
	return srv.run(ctx)
}

func (s *store) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /entries", s.guarded(handle(s.add)))
	mux.HandleFunc("GET /totals", s.guarded(handle(s.sum)))
	return mux
}

func (s *store) guarded(next http.HandlerFunc) http.HandlerFunc {
	want := []byte("Bearer " + s.token)
	return func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), want) != 1 {
			http.Error(w, "token is missing or wrong", http.StatusUnauthorized)
			return
		}
		next(w, r)
	}
}

func (s *store) add(_ context.Context, c charge) (totals, error) {
	line, err := json.Marshal(c)
	if err != nil {
		return totals{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out != nil {
		if _, err := s.out.Write(append(line, '\n')); err != nil {
			return totals{}, fmt.Errorf("ledger: %w", err)
		}
	}
	s.entries++
	s.cents += c.Cents
	return totals{s.entries, s.cents}, nil
}

func (s *store) sum(context.Context, struct{}) (totals, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return totals{s.entries, s.cents}, nil
}
