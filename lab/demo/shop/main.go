// Command shop is a small shop in parts, one subcommand each: the programs of
// the demo cluster. The parts talk HTTP and JSON to each other. None needs root,
// a writable root file system, a capability or a low port, so every restriction
// that a cluster can put on them leaves the shop working.
//
// Settings come from the environment; each part lists its own where it starts.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

// parts are the subcommands. Each runs until the context ends or its work is
// done.
var parts = map[string]func(context.Context, settings, []string) error{
	"front":    runFront,
	"cart":     runCart,
	"worker":   runWorker,
	"payments": runPayments,
	"store":    runStore,
	"shopper":  runShopper,
	"admin":    runAdmin,
	"agent":    runAgent,
	"report":   runReport,
	"wait":     runWait,
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		slog.Error("stopped", "err", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	names := strings.Join(slices.Sorted(maps.Keys(parts)), ", ")
	if len(args) == 0 {
		return errors.New("no part named; there are " + names)
	}
	part, ok := parts[args[0]]
	if !ok {
		return fmt.Errorf("%s: no such part; there are %s", args[0], names)
	}
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stdout, nil)).With("part", args[0]))
	return part(ctx, settings{lookup: os.LookupEnv}, args[1:])
}
