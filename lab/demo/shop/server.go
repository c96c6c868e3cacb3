package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// server answers for one part: its own routes, /healthz while the process
// lives, and /readyz while it wants new work.
type server struct {
	addr     string
	drain    time.Duration
	handler  http.Handler
	stopping atomic.Bool
}

// newServer takes LISTEN (":8080") and DRAIN ("5s") from the settings.
func newServer(s settings, routes *http.ServeMux) (*server, error) {
	drain, err := s.duration("DRAIN", 5*time.Second)
	if err != nil {
		return nil, err
	}
	srv := &server{addr: s.text("LISTEN", ":8080"), drain: drain, handler: routes}
	routes.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	routes.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if srv.stopping.Load() {
			http.Error(w, "stopping", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	return srv, nil
}

// run serves until the context ends, then drains: for a while it still answers
// those who have not heard yet, then it finishes what it has begun.
func (s *server) run(ctx context.Context) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", s.addr)
	if err != nil {
		return err
	}
	return s.serve(ctx, listener)
}

func (s *server) serve(ctx context.Context, listener net.Listener) error {
	httpServer := &http.Server{
		Handler:           logged(s.handler),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      20 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	slog.Info("listening", "addr", listener.Addr().String())
	failed := make(chan error, 1)
	go func() { failed <- httpServer.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	s.stopping.Store(true)
	slog.Info("draining", "for", s.drain.String())
	time.Sleep(s.drain)
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := httpServer.Shutdown(grace); err != nil {
		return fmt.Errorf("finishing requests: %w", err)
	}
	slog.Info("drained")
	return nil
}

// logged writes a line for every request that is not a health check.
func logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" || r.URL.Path == "/readyz" {
			next.ServeHTTP(w, r)
			return
		}
		start := time.Now()
		recorder := &statusRecorder{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(recorder, r)
		slog.Info("served", "method", r.Method, "path", r.URL.Path, "status", recorder.status,
			"client", r.RemoteAddr, "took", time.Since(start).String())
	})
}

type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (r *statusRecorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// httpError is an answer that is not a success; its text may be shown to the
// client.
type httpError struct {
	status int
	text   string
}

func (e *httpError) Error() string { return fmt.Sprintf("%d %s", e.status, e.text) }

func badRequest(format string, args ...any) error {
	return &httpError{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// handle makes a handler of a function that takes and gives JSON. The details
// of an unexpected error stay in the log.
func handle[In, Out any](f func(context.Context, In) (Out, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in In
		if r.Method != http.MethodGet {
			decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(&in); err != nil {
				http.Error(w, "body: "+err.Error(), http.StatusBadRequest)
				return
			}
		}
		out, err := f(r.Context(), in)
		if err != nil {
			var public *httpError
			if !errors.As(err, &public) {
				public = &httpError{http.StatusBadGateway, "a part of the shop did not answer"}
			}
			slog.Error("request", "path", r.URL.Path, "err", err)
			http.Error(w, public.text, public.status)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(out)
	}
}
