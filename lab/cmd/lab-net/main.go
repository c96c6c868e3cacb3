// Command lab-net is the network agent of a lab node. It runs in the node's
// network namespace, beside the kubelet, and needs root there.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/bulwark-k8s/bulwark/lab/internal/agent"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "lab-net: error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("lab-net", flag.ExitOnError)
	kubeconfig := flags.String("kubeconfig", "", "`file` that says how to reach the API server")
	node := flags.String("node", "", "`name` of this node's Node object")
	cniDir := flags.String("cni-dir", "/etc/cni/net.d", "`folder` for the CNI configuration")
	noPolicy := flags.Bool("no-policy", false, "leave NetworkPolicies unenforced")
	if err := flags.Parse(args); err != nil {
		return err
	}

	if *kubeconfig == "" { // the library would go on to guess
		return errors.New("kubeconfig: no file given")
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	klog.SetSlogLogger(log.With("from", "client-go"))

	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return fmt.Errorf("kubeconfig: %w", err)
	}
	config.UserAgent = "lab-net"
	config.ContentType = runtime.ContentTypeProtobuf
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("kubeconfig: %w", err)
	}
	a, err := agent.New(client, log, agent.Options{Node: *node, CNIDir: *cniDir, Policy: !*noPolicy})
	if err != nil {
		return err
	}
	return a.Run(ctx)
}
