package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// runReport writes one line on how the shop is doing. It takes FRONT_URL.
func runReport(ctx context.Context, s settings, _ []string) error {
	var stats map[string]int64
	url := s.text("FRONT_URL", "http://front.shop.svc.cluster.local") + "/stats"
	if err := newClient().get(ctx, url, &stats); err != nil {
		return err
	}
	slog.Info("report", "sold", stats["sold"])
	return nil
}

// runWait waits until every URL answers, at most WAIT ("2m"): what an init
// container does for a part that is no use without another.
func runWait(ctx context.Context, s settings, urls []string) error {
	if len(urls) == 0 {
		return errors.New("wait: no URL given")
	}
	limit, err := s.duration("WAIT", 2*time.Minute)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c := newClient()
	for _, url := range urls {
		for {
			err := c.get(ctx, url, nil)
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return fmt.Errorf("waiting for %s: %w", url, err)
			}
			time.Sleep(250 * time.Millisecond)
		}
	}
	return nil
}
