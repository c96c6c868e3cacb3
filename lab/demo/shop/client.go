package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// client calls other parts. It opens a connection for every request and tries
// once: a pod that is replaced or a policy that changes shows at once, and
// nothing hides a failure.
type client struct {
	http  *http.Client
	token string // sent as a bearer token if not empty
}

func newClient() *client {
	return &client{http: &http.Client{
		Timeout:   8 * time.Second,
		Transport: &http.Transport{DisableKeepAlives: true},
	}}
}

// post sends in and decodes the answer into out.
func (c *client) post(ctx context.Context, url string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return c.do(ctx, http.MethodPost, url, bytes.NewReader(body), out)
}

func (c *client) get(ctx context.Context, url string, out any) error {
	return c.do(ctx, http.MethodGet, url, nil, out)
}

// do decodes the answer into out, unless that is nil.
func (c *client) do(ctx context.Context, method, url string, body io.Reader, out any) error {
	request, err := http.NewRequestWithContext(ctx, method, url, body) //nolint:gosec // the address is the operator's setting
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	response, err := c.http.Do(request) //nolint:gosec // as above
	if err != nil {
		return err // names method and URL
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("%s %s: reading the answer: %w", method, url, err)
	}
	if response.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s %s: %s: %s", method, url, response.Status, strings.TrimSpace(string(answer)))
	}
	if out == nil || len(answer) == 0 {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%s %s: decoding the answer: %w", method, url, err)
	}
	return nil
}
