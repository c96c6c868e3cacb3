// Command bulwark finds every way into a Kubernetes cluster. See `bulwark --help`.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/bulwark-k8s/bulwark/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(cli.Main(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr))
}
