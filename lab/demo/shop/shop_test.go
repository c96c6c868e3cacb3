package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// shop is the whole shop in one process.
type shop struct {
	front, cart, payments, store *httptest.Server
	storePart                    *store
}

func newShop(t *testing.T) shop {
	t.Helper()
	serve := func(routes http.Handler) *httptest.Server {
		s := httptest.NewServer(routes)
		t.Cleanup(s.Close)
		return s
	}
	var s shop
	s.storePart = &store{token: "right"}
	s.store = serve(s.storePart.routes())
	paying := &payments{client: newClient(), storeURL: s.store.URL, key: []byte("key")}
	paying.client.token = "right"
	s.payments = serve(paying.routes())
	s.cart = serve((&cart{}).routes())
	s.front = serve((&front{client: newClient(), cartURL: s.cart.URL, paymentURL: s.payments.URL}).routes())
	return s
}

func env(pairs ...string) settings {
	return settings{lookup: func(name string) (string, bool) {
		for _, pair := range pairs {
			if key, value, _ := strings.Cut(pair, "="); key == name {
				return value, true
			}
		}
		return "", false
	}}
}

func metricsOf(handler http.HandlerFunc) string {
	recorder := httptest.NewRecorder()
	handler(recorder, httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/metrics", nil))
	return recorder.Body.String()
}

func TestPurchaseGoesThroughEveryPart(t *testing.T) {
	s := newShop(t)
	var got receipt
	if err := newClient().post(t.Context(), s.front.URL+"/purchases", purchase{Item: "mug", Quantity: 2}, &got); err != nil {
		t.Fatal(err)
	}
	if got.Order == "" || got.Cents != 2400 || len(got.Signature) != 64 {
		t.Errorf("receipt is %+v, want an order of 2400 cents with a signature", got)
	}
	if s.storePart.entries != 1 || s.storePart.cents != 2400 {
		t.Errorf("the store holds %d entries of %d cents, want 1 of 2400", s.storePart.entries, s.storePart.cents)
	}
	w := &worker{client: newClient(), cartURL: s.cart.URL}
	w.work(t.Context())
	if got, want := metricsOf(w.metrics), "shipped_total 1\nerrors_total 0\n"; got != want {
		t.Errorf("the worker's metrics are %q, want %q", got, want)
	}
}

func TestShopperCountsFailures(t *testing.T) {
	s := newShop(t)
	sh := &shopper{client: newClient(), frontURL: s.front.URL}
	if !sh.waitForOpening(t.Context()) {
		t.Fatal("the shop does not open")
	}
	for range 3 {
		sh.buy(t.Context())
	}
	if got, want := metricsOf(sh.metrics), "purchases_total 3\nfailures_total 0\n"; got != want {
		t.Errorf("metrics are %q, want %q", got, want)
	}
	s.store.Close()
	sh.buy(t.Context())
	got := metricsOf(sh.metrics)
	if !strings.HasPrefix(got, "purchases_total 4\nfailures_total 1\nlast_error{message=") || !strings.Contains(got, "502") {
		t.Errorf("metrics are %q, want one failure with its reason", got)
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	sh.buy(stopped)
	if metricsOf(sh.metrics) != got {
		t.Error("a purchase that was cut short by stopping counts")
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	s := newShop(t)
	for _, test := range []struct {
		name, url, body, token string
		want                   int
	}{
		{"unknown item", s.cart.URL + "/orders", `{"item":"car","quantity":1}`, "", 400},
		{"no quantity", s.cart.URL + "/orders", `{"item":"tea"}`, "", 400},
		{"unknown field", s.cart.URL + "/orders", `{"item":"tea","quantity":1,"free":true}`, "", 400},
		{"not JSON", s.cart.URL + "/orders", `tea`, "", 400},
		{"charge of nothing", s.payments.URL + "/charges", `{"order":"x"}`, "", 400},
		{"store without a token", s.store.URL + "/entries", `{}`, "", 401},
		{"store with a wrong token", s.store.URL + "/entries", `{}`, "wrong", 401},
		{"route that is not there", s.front.URL + "/admin", `{}`, "", 404},
	} {
		t.Run(test.name, func(t *testing.T) {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, test.url, strings.NewReader(test.body))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Authorization", "Bearer "+test.token)
			response, err := newClient().http.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != test.want {
				t.Errorf("status is %d, want %d", response.StatusCode, test.want)
			}
		})
	}
}

func TestServerDrains(t *testing.T) {
	release := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /slow", func(w http.ResponseWriter, _ *http.Request) {
		<-release
		_, _ = io.WriteString(w, "done")
	})
	srv, err := newServer(env("DRAIN=300ms"), mux)
	if err != nil {
		t.Fatal(err)
	}
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + listener.Addr().String()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- srv.serve(ctx, listener) }()

	c := newClient()
	if err := c.do(t.Context(), http.MethodGet, url+"/readyz", nil, nil); err != nil {
		t.Fatalf("before stopping: %v", err)
	}
	slow := make(chan error, 1)
	go func() { slow <- c.do(t.Context(), http.MethodGet, url+"/slow", nil, nil) }()
	time.Sleep(50 * time.Millisecond)

	stop()
	time.Sleep(50 * time.Millisecond)
	if err := c.get(t.Context(), url+"/readyz", nil); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("while draining readyz says %v, want 503", err)
	}
	if err := c.get(t.Context(), url+"/healthz", nil); err != nil {
		t.Errorf("while draining a new request: %v", err)
	}
	time.Sleep(400 * time.Millisecond)
	if err := c.get(t.Context(), url+"/healthz", nil); err == nil {
		t.Error("after draining a new request is answered")
	}
	close(release)
	if err := <-slow; err != nil {
		t.Errorf("the request that had begun: %v", err)
	}
	if err := <-ended; err != nil {
		t.Errorf("serve: %v", err)
	}
}

func TestSecretComesFromAFileOrTheEnvironment(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		env  settings
		want string
	}{
		{"environment", env("TOKEN=from-env"), "from-env"},
		{"file wins", env("TOKEN=from-env", "TOKEN_FILE="+file), "from-file"},
		{"missing file", env("TOKEN_FILE=" + file + "x"), ""},
		{"empty", env("TOKEN="), ""},
		{"neither", env(), ""},
	} {
		got, err := test.env.secret("TOKEN")
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%s: secret is %q with error %v, want %q", test.name, got, err, test.want)
		}
	}
}

func TestWait(t *testing.T) {
	s := newShop(t)
	if err := runWait(t.Context(), env(), []string{s.front.URL + "/"}); err != nil {
		t.Error(err)
	}
	if err := runWait(t.Context(), env("WAIT=50ms"), []string{"http://127.0.0.1:1/"}); err == nil {
		t.Error("waiting for nothing succeeds")
	}
}

func TestUnknownPart(t *testing.T) {
	for _, args := range [][]string{nil, {"till"}} {
		if err := run(t.Context(), args); err == nil || !strings.Contains(err.Error(), "shopper") {
			t.Errorf("run(%q) says %v, want the list of parts", args, err)
		}
	}
}
